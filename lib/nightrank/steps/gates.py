"""gates: gain of personalising by class, evidence and agreement, on searches that the ranker has not seen.

Searches of the held-out nights, which the ranker did not train on, are scored with rows compiled from what stood the
night before them: rows up to some nights older than those that shoppers are served. A kind of search gets the alpha
that is expected to gain most, and 0 where the interval of the gain touches 0: learned cell by cell where there are
searches enough (models/gate_cells.py), else by class and evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import pandas
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.artefact import Ranker
from nightrank.models.catalogue import Catalogue
from nightrank.models.gate import ndcg_by_alpha
from nightrank.models.gate_cells import UNKNOWN, Judged
from nightrank.models.gate_table import class_gates
from nightrank.nights import Night, end_of, night_before_held_out
from nightrank.steps.arrays import Arrays, collect_arrays
from nightrank.steps.catalogue import Loader
from nightrank.steps.compiling import compile_profiles, share_indexed
from nightrank.steps.consent import not_forgotten
from nightrank.steps.gating import without_gates
from nightrank.steps.judging import organic, served_sums, slates_after, with_row
from nightrank.steps.priors import slates_with_priors
from nightrank.steps.rankers import Contender, contenders
from nightrank.steps.slates import flat_slates
from nightrank.tables import CLASSES, GATES

SEED = 20  # of the bootstrap; any fixed number: a rerun must draw the same samples
TRIED = (
    "query_id string, user_id string, query_class string, evidence bigint, agreement double, weight double, "
    "ndcgs array<double>"
)


def build_gates(
    searches: DataFrame,
    user_profiles: DataFrame,
    segments: DataFrame,
    item_neighbours: DataFrame,
    query_classes: DataFrame,
    item_tokens: DataFrame,
    propensities: DataFrame,
    ranker_runs: DataFrame,
    promotions: DataFrame,
    people: DataFrame,
    people_tonight: DataFrame,
    night: Night,
    config: Config,
) -> DataFrame:
    """One row a ranker, class and cell of evidence and agreement; none where no search of the held-out nights counts.

    searches: of the held-out nights; user_profiles, segments, item_neighbours, query_classes, people: snapshots of the
    night before them. people_tonight: whose searches are not looked at.
    """
    counted = not_forgotten(searches, people_tonight, F.to_date("ts"))
    slates = flat_slates(counted, propensities, query_classes, config)
    made_on = night_before_held_out(night.run_date, config.training_examples.held_out_nights)
    judged = organic(slates_after(slates, end_of(made_on), config.gates.share_of_searches))
    catalogue_of = share_indexed(item_tokens, item_neighbours, config)
    adds = config.item_tokens.prior_added
    clips = {} if adds else _clips(judged, config)
    rows: list[tuple[object, ...]] = []
    for contender in contenders(ranker_runs, promotions, night.run_date, config):
        if contender.ranker is not None:
            catalogue = catalogue_of(contender.ranker.code_version)
            ranked = slates_with_priors(judged, catalogue) if adds else judged
            compiled = compile_profiles(user_profiles, people, segments, catalogue, contender.ranker, config, judged)
            own, groups = (without_gates(some) for some in compiled)
            served = with_row(ranked, own, groups, contender.role)
            rows += _gates_of(contender, contender.ranker, served, catalogue, clips or _clips(ranked, config), config)
    return searches.sparkSession.createDataFrame(rows, GATES.columns)


def _clips(slates: DataFrame, config: Config) -> dict[str, float]:
    """The most that a row may move a score, by class, in units of the base score."""
    spreads = _spreads(slates)
    return {c: config.gates.bound_spreads * spreads.get(c, 1.0) for c in CLASSES}


def _gates_of(
    contender: Contender, ranker: Ranker, served: DataFrame, catalogue: Loader, clips: dict[str, float], config: Config
) -> list[tuple[object, ...]]:
    alphas = {c: _alphas(ranker, i, config) for i, c in enumerate(CLASSES)}
    tried = served.mapInPandas(
        _tried(catalogue, contender.role, alphas, clips, config.evaluations.cutoff), schema=TRIED
    )
    found = collect_arrays(
        tried, config.gates.max_searches, "searches of the gates", "gates.share_of_searches", ["user_id", "query_id"]
    )
    if not len(found["query_id"]):
        return []
    ranker_id = contender.ranker_id
    return [row for c in CLASSES for row in _rows_of_class(ranker_id, found, c, alphas[c], clips[c], config)]


def _alphas(ranker: Ranker, class_index: int, config: Config) -> list[float]:
    """The alphas to try: multiples of what brings the row's unit (logits) to that of the base score."""
    unit = 1.0 / float(ranker.engine_coefficients[class_index, 0])
    return [multiple * unit for multiple in config.gates.alphas]


def _spreads(slates: DataFrame) -> dict[str, float]:
    """The mean over searches of the standard deviation of a slate's base scores, by class."""
    count = F.size("slate_base")
    mean = F.aggregate("slate_base", F.lit(0.0), lambda total, base: total + base) / count
    squares = F.aggregate("slate_base", F.lit(0.0), lambda total, base: total + base * base) / count
    spread = F.sqrt(F.greatest(squares - mean * mean, F.lit(0.0)))
    millionths = F.sum(F.round(spread * 1_000_000).cast("bigint")) / F.count(F.lit(1)) / 1_000_000
    found = collect_arrays(
        slates.groupBy("query_class").agg(millionths.alias("spread")),
        len(CLASSES),
        "query classes",
        order=["query_class"],
    )
    return {c: s for c, s in zip(found["query_class"].tolist(), found["spread"].tolist(), strict=True) if s > 0}


def _tried(
    catalogue: Loader, role: str, alphas: dict[str, list[float]], clips: dict[str, float], cutoff: int
) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    names = [column.split()[0] for column in TRIED.split(", ")]

    def tried(batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        items = catalogue()
        for batch in batches:
            rows = [_tried_row(items, row, role, alphas, clips, cutoff) for row in batch.itertuples(index=False)]
            yield pandas.DataFrame([row for row in rows if row is not None], columns=names)

    return tried


def _tried_row(
    items: Catalogue, row: Any, role: str, alphas: dict[str, list[float]], clips: dict[str, float], cutoff: int
) -> tuple[Any, ...] | None:
    """nDCG of one search with each alpha; None where nobody's row could be served."""
    item_ids = np.asarray(row.slate_item_ids, dtype=np.str_)
    sums = served_sums(items, row, role, item_ids)
    if sums is None:
        return None
    base, gains = np.asarray(row.slate_base), np.asarray(row.slate_gains)
    of_class = alphas[row.query_class], clips[row.query_class]
    ndcgs = ndcg_by_alpha(base, sums, gains, np.argsort(np.argsort(item_ids)), *of_class, cutoff)
    weight = float(gains.sum() / np.sum(row.slate_logged_gains))
    evidence, agreement = getattr(row, f"{role}_evidence"), getattr(row, f"{role}_agreement")
    known = UNKNOWN if pandas.isna(agreement) else agreement
    return row.query_id, row.user_id, row.query_class, evidence, known, weight, ndcgs


def _rows_of_class(
    ranker_id: str, tried: Arrays, query_class: str, alphas: Sequence[float], clip: float, config: Config
) -> list[tuple[object, ...]]:
    chosen = tried["query_class"] == query_class
    judged = Judged(tried["user_id"][chosen], tried["weight"][chosen], np.stack(list(tried["ndcgs"]))[chosen])
    of_shopper = tried["evidence"][chosen], tried["agreement"][chosen]
    gates = class_gates(judged, *of_shopper, alphas, clip, config.gates, SEED)
    return [(ranker_id, query_class, low, least, *astuple(gate)) for low, least, gate in gates]
