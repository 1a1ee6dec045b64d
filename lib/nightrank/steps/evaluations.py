"""evaluations: every method's figures for each judged search: nothing behind the rows has seen it.

Tonight's searches are ranked with rows compiled from what stood last night (`challenger`, `champion`), and beside them
by base scores alone (`shop`), as they were shown (`shown`), by popularity and by the shopper's own repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import numpy as np
import pandas
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.catalogue import Catalogue, positions
from nightrank.models.metrics import mrr, ndcg_at_k, recall_at_k
from nightrank.models.scorer import reranked_scores
from nightrank.nights import ONE_DAY, Night, end_of
from nightrank.sections import EvaluationsConfig
from nightrank.steps.arrays import collect_arrays
from nightrank.steps.catalogue import Loader, share_catalogue
from nightrank.steps.compiling import compile_profiles
from nightrank.steps.gating import gated_rows
from nightrank.steps.judging import organic, scored_slates, slates_after, sponsored
from nightrank.steps.rankers import Contender, contenders
from nightrank.steps.shoppers import flat_shoppers, read_shopper
from nightrank.steps.slates import flat_slates
from nightrank.tables import EVALUATIONS

SHOP, SHOWN, POPULARITY, REPEATS = "shop", "shown", "popularity", "repeats"
ORGANIC, SPONSORED = "organic", "sponsored"
RANKED = (
    "query_id string, user_id string, method string, part string, ranker_id string, query_class string, "
    "evidence bigint, derived boolean, alpha double, bound double, slate_item_ids array<string>, "
    "slate_base array<double>, slate_sums array<double>, slate_gains array<double>, slate_logged_gains array<double>"
)


def build_evaluations(
    searches: DataFrame,
    user_profiles: DataFrame,
    item_neighbours: DataFrame,
    query_classes: DataFrame,
    item_tokens: DataFrame,
    propensities: DataFrame,
    gates: DataFrame,
    ranker_runs: DataFrame,
    promotions: DataFrame,
    rerank_weights: DataFrame,
    night: Night,
    config: Config,
) -> DataFrame:
    """One row a judged search and method. A ranker without gates was judged on nothing yet and has no rows.

    searches: tonight's. user_profiles, item_neighbours, query_classes, rerank_weights: what stood last night.
    """
    shown = flat_slates(searches, propensities, query_classes, config)
    shown = slates_after(shown, end_of(night.run_date - ONE_DAY))
    slates = organic(shown).orderBy(F.xxhash64("query_id"), "query_id").limit(config.evaluations.max_searches)
    popularity = _popularity(item_neighbours, config)
    baselines = _baselines(slates, user_profiles, popularity, config)
    ranked = [baselines, _as_shown(sponsored(shown), SPONSORED)]
    for contender in contenders(ranker_runs, promotions, night.run_date, config):
        if _was_gated(gates, contender):
            rows, anonymous, catalogue = _rows_of(
                contender, slates, user_profiles, item_tokens, item_neighbours, gates, rerank_weights, config
            )
            scored = scored_slates(slates, rows, anonymous, catalogue)
            ranked.append(_named(scored, contender.role, contender.ranker_id))
    return reduce(DataFrame.unionByName, ranked).mapInPandas(
        _judged(popularity, config.evaluations), schema=EVALUATIONS.columns
    )


def _was_gated(gates: DataFrame, contender: Contender) -> bool:
    wanted = gates.where(F.col("ranker_id") == contender.ranker_id).select("ranker_id").limit(1)
    return contender.ranker is None or bool(len(collect_arrays(wanted, 1, "gates of a ranker")["ranker_id"]))


def _rows_of(
    contender: Contender,
    slates: DataFrame,
    user_profiles: DataFrame,
    item_tokens: DataFrame,
    item_neighbours: DataFrame,
    gates: DataFrame,
    rerank_weights: DataFrame,
    config: Config,
) -> tuple[DataFrame, DataFrame, Loader]:
    """The rows that the contender would have served today, those of groups, and the catalogue that they speak of.

    A champion that cannot be scored any more is judged by the rows that it published last night.
    """
    if contender.ranker is None:
        versions = rerank_weights.select("code_version").distinct()
        indexed = item_tokens.join(F.broadcast(versions), on="code_version", how="left_semi")
        return rerank_weights, rerank_weights, share_catalogue(indexed, item_neighbours, config)
    compiled = compile_profiles(user_profiles, item_tokens, item_neighbours, contender.ranker, config, slates)
    own, groups = (gated_rows(rows, gates, contender.ranker_id) for rows in (compiled.rows, compiled.groups))
    return own, groups, compiled.catalogue


def _popularity(item_neighbours: DataFrame, config: Config) -> Loader:
    """A catalogue of nothing but ids and popularity."""
    no_tokens, no_vector = F.array().cast("array<string>"), F.array(F.lit(0).cast("float"))
    items = item_neighbours.where(F.col("rank") == 0).select(
        "item_id", no_tokens.alias("tokens"), no_vector.alias("vector")
    )
    return share_catalogue(items, item_neighbours.where(F.col("rank") == 0), config)


def _named(scored: DataFrame, method: str, ranker_id: str | None) -> DataFrame:
    names = {"method": F.lit(method), "part": F.lit(ORGANIC), "ranker_id": F.lit(ranker_id).cast("string")}
    return scored.withColumns(names).select(*[column.split()[0] for column in RANKED.split(", ")])


def _as_shown(slates: DataFrame, part: str) -> DataFrame:
    """Slates in the order that they were shown in."""
    nothing = F.transform("slate_base", lambda _: F.lit(0.0))
    order = F.transform("slate_positions", lambda position: -position.cast("double"))
    zero = F.lit(0.0)
    columns = {
        "slate_base": order,
        "slate_sums": nothing,
        "evidence": F.lit(0).cast("bigint"),
        "alpha": zero,
        "bound": zero,
    }
    return _named(slates.withColumns(columns), SHOWN, None).withColumn("part", F.lit(part))


def _baselines(slates: DataFrame, user_profiles: DataFrame, popularity: Loader, config: Config) -> DataFrame:
    profiles = user_profiles.withColumn("as_of", F.col("run_date"))
    shoppers = flat_shoppers(profiles, config).drop("as_of", "segment")
    decay = config.training_examples.recent_decay
    return slates.join(shoppers, on="user_id", how="left").mapInPandas(
        _ranked_by_baselines(popularity, decay), schema=RANKED
    )


def _ranked_by_baselines(
    popularity: Loader, recent_decay: float
) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    names = [column.split()[0] for column in RANKED.split(", ")]

    def ranked(batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        items = popularity()
        for batch in batches:
            rows = [
                _ranked_row(row, method, scores)
                for row in batch.itertuples(index=False)
                for method, scores in _baseline_scores(items, row, recent_decay).items()
            ]
            yield pandas.DataFrame(rows, columns=names)

    return ranked


def _baseline_scores(items: Catalogue, row: Any, recent_decay: float) -> dict[str, np.ndarray]:
    index = positions(items.item_ids, np.asarray(row.slate_item_ids, dtype=np.str_))
    popular = (
        np.where(index >= 0, np.log1p(items.popularity[np.maximum(index, 0)]), 0.0)
        if len(items.item_ids)
        else np.zeros(len(index))
    )
    shopper = read_shopper(items, row, recent_decay)
    own = dict(zip(shopper.own.tolist(), shopper.own_values.tolist(), strict=True))
    repeats = np.array([own.get(int(i), 0.0) for i in index])
    return {
        SHOP: np.asarray(row.slate_base, dtype=np.float64),
        SHOWN: -np.asarray(row.slate_positions, dtype=np.float64),
        POPULARITY: popular,
        # Own items first, the most taken first; the rest by popularity, which stays below the smallest step.
        REPEATS: repeats + popular * 1e-3,
    }


def _ranked_row(row: Any, method: str, scores: np.ndarray) -> tuple[Any, ...]:
    evidence = 0 if pandas.isna(row.evidence) else int(row.evidence)
    return (
        row.query_id, row.user_id, method, ORGANIC, None, row.query_class, evidence, row.derived, 0.0, 0.0,
        row.slate_item_ids, scores, np.zeros(len(scores)), row.slate_gains, row.slate_logged_gains,
    )  # fmt: skip


def _judged(
    popularity: Loader, config: EvaluationsConfig
) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    def judged(batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        items = popularity()
        head = float(np.quantile(items.popularity, 1 - config.head_share)) if len(items.item_ids) else 0.0
        for batch in batches:
            rows = [_judged_row(items, head, row, config.cutoff) for row in batch.itertuples(index=False)]
            yield pandas.DataFrame(rows, columns=EVALUATIONS.columns.names)

    return judged


def _judged_row(items: Catalogue, head: float, row: Any, cutoff: int) -> tuple[Any, ...]:
    """Figures of one slate. Its weight is that of self-normalised IPS: the mean inverse propensity of its takes."""
    base, sums = np.asarray(row.slate_base, dtype=np.float64), np.asarray(row.slate_sums, dtype=np.float64)
    scores = reranked_scores(base, sums, row.alpha, row.bound)
    gains, logged = np.asarray(row.slate_gains), np.asarray(row.slate_logged_gains)
    tie_order = np.argsort(np.argsort(row.slate_item_ids))
    best = positions(items.item_ids, np.asarray([row.slate_item_ids[int(np.argmax(logged))]], dtype=np.str_))[0]
    return (
        row.query_id, row.user_id, row.method, row.part, row.ranker_id, row.query_class, bool(row.evidence > 0),
        bool(best >= 0 and items.popularity[best] >= head), bool(row.derived),
        float(ndcg_at_k(scores, gains, cutoff, tie_order)), float(mrr(scores, logged, tie_order)),
        float(recall_at_k(scores, logged, cutoff, tie_order)), float(gains.sum() / logged.sum()),
    )  # fmt: skip
