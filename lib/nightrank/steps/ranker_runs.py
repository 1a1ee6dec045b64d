"""ranker_runs: tonight's ranker, trained, kept and registered, as one row."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.artefact import Floats, Ranker, code_version, project
from nightrank.nights import Night
from nightrank.steps.arrays import collect_arrays
from nightrank.steps.encoders import with_encoder_in_force
from nightrank.steps.item_order import item_order
from nightrank.steps.petastorm_feed import Feed, feed_folder, petastorm_feed
from nightrank.tables import CLASSES, RANKER_RUNS

log = logging.getLogger("nightrank")
NO_RANKER = "none"


@dataclass(frozen=True)
class Tower:
    """Projection and codebook of items, and the night that they were fitted in."""

    projection: Floats
    codebook: Floats
    night: date


def build_ranker_runs(
    training_examples: DataFrame,
    items: DataFrame,
    item_embeddings: DataFrame,
    ranker_runs: DataFrame,
    encoder_runs: DataFrame,
    night: Night,
    config: Config,
) -> DataFrame:
    """One row: the ranker trained on tonight's examples, status 'trained'; or 'skipped' and why none was.

    Tower and codebook are the last ranker's (of `ranker_runs`, earlier nights) until `_standing_tower` says otherwise.
    """
    from nightrank.models.encoder import encoder_version

    version = encoder_version(with_encoder_in_force(encoder_runs, config).item_embeddings)
    with petastorm_feed(training_examples, feed_folder(config)) as feed:
        known = {"encoder_version": version, **{f"{fold}_examples": rows for fold, rows in feed.rows.items()}}
        if reason := _why_not(feed, config):
            row = {"status": "skipped", "reason": reason, "ranker_id": NO_RANKER, **known}
        else:
            embeddings = _catalogue(items, item_embeddings, version, config)
            tower = _standing_tower(ranker_runs, version, night, config)
            row = {"status": "trained", **_train(feed, embeddings, tower, version, night, config), **known}
    values = tuple(map(row.get, RANKER_RUNS.columns.names))
    return training_examples.sparkSession.createDataFrame([values], RANKER_RUNS.columns)


def note_versions(ranker_runs: DataFrame, versions: Mapping[str, int], config: Config) -> None:
    """Notes for MLflow which Delta version of each table the night's ranker was made from."""
    from nightrank.models.outbox import Note, keep_note

    trained = ranker_runs.where(F.col("status") == "trained").select("run_date").orderBy("run_date")
    for night in collect_arrays(trained, 1, "rankers trained in one night")["run_date"]:
        tags = {f"delta_version.{table}": str(version) for table, version in sorted(versions.items())}
        keep_note(config, Note(str(night), "train", "versions", tags=tags))


def _why_not(feed: Feed, config: Config) -> str | None:
    least = config.ranker_runs.min_examples
    if feed.rows["train"] < least:
        return f"{feed.rows['train']} training examples, fewer than ranker_runs.min_examples = {least}"
    gains = (part["gains"].max() > 0 for part in feed.examples("train"))
    return None if any(list(gains)) else "no training example has a gain"


def _catalogue(items: DataFrame, item_embeddings: DataFrame, version: str, config: Config) -> Floats:
    """Encoder vectors of tonight's items, float32 [items, encoder dims], rows by item_index.

    Raises ContractError where an item has no vector: the rows would not be those that training_examples numbered.
    """
    latest = item_embeddings.where(F.col("encoder_version") == version).groupBy("content_hash")
    texts = items.groupBy("item_id").agg(F.min("content_hash").alias("content_hash"))
    found = collect_arrays(
        item_order(items)
        .join(texts, on="item_id", how="inner")
        .join(latest.agg(F.min_by("vector", "run_date").alias("vector")), on="content_hash", how="left")
        .select("item_index", F.coalesce("vector", F.array().cast("array<float>")).alias("vector"))
        .orderBy("item_index"),
        config.ranker_runs.max_items,
        "vectors of the catalogue",
        "ranker_runs.max_items",
    )["vector"]
    lengths = sorted({len(vector) for vector in found})
    if len(lengths) != 1 or not lengths[0]:
        raise ContractError(
            f"A ranker cannot be trained: expected a vector of one length by encoder {version} for every item, found "
            f"lengths {lengths}. Run the stage item_embeddings of this night again."
        )
    return np.stack(list(found)).astype(np.float32)


def _standing_tower(ranker_runs: DataFrame, version: str, night: Night, config: Config) -> Tower | None:
    """The last ranker's tower; None where it is to be fitted anew.

    That is: there is none, it is `codebook_every` nights old, the encoder or a size has changed, or its file is gone.
    """
    from nightrank.models.registry import fetch_ranker

    settings = config.ranker_runs
    oldest = night.run_date - timedelta(days=settings.codebook_every - 1)
    last = ranker_runs.where(F.col("status") == "trained").orderBy(F.col("run_date").desc(), "ranker_id").limit(1)
    young = last.where((F.col("tower_night") >= F.lit(oldest)) & (F.col("encoder_version") == version))
    found = collect_arrays(young.select("ranker_id", "artefact_uri"), 1, "last rankers")
    if not len(found["ranker_id"]):
        return None
    try:
        ranker = fetch_ranker(config, str(found["artefact_uri"][0]), str(found["ranker_id"][0]))
    except ContractError as error:
        log.warning("tower=refitted reason=%s", error)
        return None
    same = ranker.codebook.shape == (settings.levels, settings.codes, settings.dims)
    return Tower(ranker.projection, ranker.codebook, ranker.tower_night) if same else None


def _train(
    feed: Feed, embeddings: Floats, tower: Tower | None, version: str, night: Night, config: Config
) -> dict[str, Any]:
    """What the row says of a ranker that is trained, kept in the lake and registered."""
    from nightrank.models.registry import Training, keep_ranker, log_ranker
    from nightrank.models.training import train_ranker

    settings = config.ranker_runs
    trained = train_ranker(feed.examples, embeddings, settings, tower.projection if tower else None)
    tower = tower or _fitted_tower(trained.projection, embeddings, night, config)
    ranker = _ranker(trained, tower, version, config)
    coefficients, metrics = _coefficients(ranker), {**trained.metrics, **_explained(tower, embeddings)}
    params = {**settings.model_dump(exclude={"feed_folder", "threads"}), "encoder_version": version}
    ranker_id = keep_ranker(config, ranker)
    told = Training(night.run_date, params, trained.curves, {**metrics, **coefficients}, feed.rows)
    registered = log_ranker(config, ranker, ranker_id, told)
    return {
        "ranker_id": ranker_id,
        "code_version": ranker.code_version,
        "tower_night": tower.night,
        "epochs": trained.best_epoch,
        "coefficients": coefficients,
        "metrics": metrics,
        **asdict(registered),
    }


def _fitted_tower(projection: Floats, embeddings: Floats, night: Night, config: Config) -> Tower:
    from nightrank.models.codebook import fit_codebook

    settings = config.ranker_runs
    vectors = project(embeddings, projection)
    known = vectors[vectors.any(axis=1)]
    return Tower(projection, fit_codebook(known, None, settings.levels, settings.codes, settings.seed), night.run_date)


def _ranker(trained: Any, tower: Tower, version: str, config: Config) -> Ranker:
    return Ranker(
        code_version=code_version(tower.projection, tower.codebook),
        encoder_version=version,
        tower_night=tower.night,
        projection=tower.projection,
        codebook=tower.codebook,
        a=trained.a,
        shopper_coefficients=trained.shopper_coefficients,
        engine_coefficients=trained.engine_coefficients,
        mean_shopper=trained.mean_shopper,
        recent=config.training_examples.recent,
        recent_decay=config.training_examples.recent_decay,
    )


def _coefficients(ranker: Ranker) -> dict[str, float]:
    """a, c_<feature>, b_<class>_<feature>."""
    shopper = zip(ranker.shopper_features, ranker.shopper_coefficients, strict=True)
    named = {"a": ranker.a, **{f"c_{name}": float(value) for name, value in shopper}}
    for query_class, values in zip(CLASSES, ranker.engine_coefficients, strict=True):
        engine = zip(ranker.engine_features, values, strict=True)
        named |= {f"b_{query_class}_{name}": float(value) for name, value in engine}
    return named


def _explained(tower: Tower, embeddings: Floats) -> dict[str, float]:
    """code_explained: the share of the item vectors' variance that their codes keep."""
    from nightrank.models.codebook import assign_codes, decode

    vectors = project(embeddings, tower.projection).astype(np.float64)
    left = ((vectors - decode(assign_codes(vectors, tower.codebook), tower.codebook)) ** 2).sum()
    spread = ((vectors - vectors.mean(axis=0)) ** 2).sum()
    return {"code_explained": float(1 - left / spread)} if spread > 0 else {}
