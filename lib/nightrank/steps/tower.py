"""The tower and its codebook: fitted on a schedule, frozen between, and looked at every night."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.artefact import Floats, code_version, project
from nightrank.models.coding import Coding, coding, drift
from nightrank.models.feature_names import Doubles
from nightrank.models.row import code_token
from nightrank.models.tower_artefact import Images, Towers, image_dims, longest_of, takes_of, tower_vectors
from nightrank.nights import Night
from nightrank.steps.arrays import collect_arrays
from nightrank.steps.sequences import longest_read

log = logging.getLogger("nightrank")
FITTED_ERROR = "code_error_fitted"


@dataclass(frozen=True)
class Tower:
    """Projection and codebook of items, the night that they were fitted in, and the codes' error in that night.

    error None: the row that the tower comes from does not tell it. towers, tower_id: where vectors are not projected
    words; the projection is then theirs.
    """

    projection: Floats
    codebook: Floats
    night: date
    error: float | None
    towers: Towers | None = None
    tower_id: str | None = None


@dataclass(frozen=True)
class Known:
    """Tonight's items in order of item_index: item_ids [n] sorted, embeddings [n, encoder dims].

    images: for towers that learn from sequences, those as long as items.image_dims says; None: no item has one.
    """

    item_ids: NDArray[np.str_]
    embeddings: Floats
    images: Images | None = None


def standing_tower(ranker_runs: DataFrame, version: str, night: Night, config: Config) -> Tower | None:
    """The last ranker's tower; None where it is to be fitted anew.

    That is: there is none, it is `codebook_every` nights old, the encoder or a size has changed (of images that it has
    seen, too), its file is gone, or it learned from sequences and none is to do so any more.
    """
    settings = config.ranker_runs
    oldest = night.run_date - timedelta(days=settings.codebook_every - 1)
    last = last_tower(ranker_runs, version, config)
    if last is None or last.night < oldest:
        return None
    if last.towers is not None and longest_of(last.towers.shopper) != longest_read(config):
        return None
    if last.towers is not None and image_dims(last.towers) not in {0, config.items.image_dims}:
        return None
    return last if last.codebook.shape == (settings.levels, settings.codes, settings.dims) else None


def last_tower(ranker_runs: DataFrame, version: str, config: Config) -> Tower | None:
    """The last ranker's tower, however old; None where there is none of that encoder version or its file is gone."""
    from nightrank.models.registry import fetch_ranker
    from nightrank.models.tower_store import fetch_towers

    last = ranker_runs.where(F.col("status") == "trained").orderBy(F.col("run_date").desc(), "ranker_id").limit(1)
    fitted_error = F.try_element_at("metrics", F.lit(FITTED_ERROR)).alias("fitted_error")
    same_words = last.where(F.col("encoder_version") == version)
    found = collect_arrays(same_words.select("ranker_id", "artefact_uri", fitted_error), 1, "last rankers")
    if not len(found["ranker_id"]):
        return None
    try:
        ranker = fetch_ranker(config, str(found["artefact_uri"][0]), str(found["ranker_id"][0]))
        towers = fetch_towers(config, ranker.tower_id) if ranker.tower_id else None
    except ContractError as gone:
        log.warning("tower=refitted reason=%s", gone)
        return None
    told = float(found["fitted_error"][0])  # NaN for NULL
    error = None if np.isnan(told) else told
    return Tower(ranker.projection, ranker.codebook, ranker.tower_night, error, towers, ranker.tower_id)


def fitted_tower(projection: Floats, embeddings: Floats, night: Night, config: Config) -> Tower:
    """The tower with that projection [encoder dims, dims] and a codebook fitted to the items' embeddings."""
    vectors = project(embeddings, projection)
    codebook = _codebook(vectors, None, config)
    return Tower(projection, codebook, night.run_date, coding(vectors, codebook).error)


def sequence_tower(towers: Towers, items: Known, night: Night, config: Config) -> Tower:
    """The tower of those towers, kept in the lake, with a codebook of tonight's items as they see them.

    An item counts by the root of its takes: without, codes go to what nobody takes; in full, to a few best sellers.
    """
    from nightrank.models.tower_store import keep_towers

    vectors = tower_vectors(towers, items.item_ids, items.embeddings, items.images)
    codebook = _codebook(vectors, np.sqrt(takes_of(towers, items.item_ids) + 1), config)
    error = coding(vectors, codebook).error
    return Tower(towers.projection, codebook, night.run_date, error, towers, keep_towers(config, towers))


def vectors_of(tower: Tower, items: Known) -> Floats:
    """Unit vectors of items, float32 [n, dims], as the tower sees them."""
    if tower.towers is None:
        return project(items.embeddings, tower.projection)
    return tower_vectors(tower.towers, items.item_ids, items.embeddings, items.images)


def _codebook(vectors: Floats, weights: Doubles | None, config: Config) -> Floats:
    from nightrank.models.codebook import fit_codebook

    settings, known = config.ranker_runs, vectors.any(axis=1)
    counted = None if weights is None else weights[known]
    return fit_codebook(vectors[known], counted, settings.levels, settings.codes, settings.seed)


def code_figures(tower: Tower, vectors: Floats, config: Config) -> dict[str, float]:
    """How the tower's codes serve tonight's items of these vectors [n, dims], also in the log.

    code_error, code_explained: see Coding. code_largest_share: of one code, in fair shares; codes_crowded: how many
    hold too much. code_error_fitted, code_drift: the error in the night of the fit, and the growth since.
    refit_proposed: 1.0 where that is more than ranker_runs.refit_drift.
    """
    found = coding(vectors, tower.codebook)
    grown = {} if tower.error is None else {FITTED_ERROR: tower.error, "code_drift": drift(found.error, tower.error)}
    figures = {
        "code_error": found.error,
        "code_explained": found.explained,
        "code_largest_share": float(found.fair_shares().max()),
        "codes_crowded": float(len(found.crowded())),
        "refit_proposed": float(grown.get("code_drift", 0.0) > config.ranker_runs.refit_drift),
        **grown,
    }
    _say(tower, found, figures, config)
    return figures


def _say(tower: Tower, found: Coding, figures: dict[str, float], config: Config) -> None:
    version = code_version(tower.projection, tower.codebook)
    told = " ".join(f"{name}={value:.4g}" for name, value in sorted(figures.items()))
    log.info("codes=%s fitted=%s %s", version, tower.night, told)
    for level, code, shares in found.crowded():
        log.warning("code=%s holds=%.1f fair shares of the items", code_token(version, level, code), shares)
    if figures["refit_proposed"]:
        log.warning(
            "codes=%s a refit is proposed: error %+.0f%% since they were fitted, ranker_runs.refit_drift is %g. "
            "Run the next night with ranker_runs.codebook_every: 1.",
            version,
            100 * figures["code_drift"],
            config.ranker_runs.refit_drift,
        )
