"""evaluations: every method's figures for each judged search: nothing behind the rows has seen it.

Tonight's searches are ranked with rows compiled from what stood last night (`challenger`, `champion`), and beside them
by base scores alone (`shop`), as they were shown (`shown`) and by the named baselines (steps/baselines.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.catalogue import Catalogue, positions
from nightrank.models.metrics import mrr, ndcg_at_k, recall_at_k
from nightrank.models.scorer import reranked_scores
from nightrank.models.scorers.shop_order import shop_scores
from nightrank.nights import ONE_DAY, Night, end_of
from nightrank.steps.arrays import collect_arrays
from nightrank.steps.baselines import Known, baseline_scores, share_baselines
from nightrank.steps.catalogue import Loader
from nightrank.steps.compiling import compile_profiles, share_indexed
from nightrank.steps.consent import not_forgotten
from nightrank.steps.gating import gated_rows
from nightrank.steps.judging import served_sums, slates_after, with_row
from nightrank.steps.persons import profiles_by_id
from nightrank.steps.rankers import Contender, contenders
from nightrank.steps.shoppers import flat_shoppers
from nightrank.steps.slates import flat_slates
from nightrank.tables import EVALUATIONS

SHOP, SHOWN = "shop", "shown"
ORGANIC, SPONSORED = "organic", "sponsored"


def build_evaluations(
    searches: DataFrame,
    user_profiles: DataFrame,
    segments: DataFrame,
    item_neighbours: DataFrame,
    query_classes: DataFrame,
    item_tokens: DataFrame,
    propensities: DataFrame,
    gates: DataFrame,
    ranker_runs: DataFrame,
    promotions: DataFrame,
    rerank_weights: DataFrame,
    people: DataFrame,
    people_tonight: DataFrame,
    night: Night,
    config: Config,
) -> DataFrame:
    """One row a judged search and method. A ranker without gates was judged on nothing yet and has no rows.

    searches: tonight's. user_profiles, segments, item_neighbours, query_classes, rerank_weights, people: what stood
    last night. people_tonight: whose searches are not looked at.
    """
    counted = not_forgotten(searches, people_tonight, F.to_date("ts"))
    slates = flat_slates(counted, propensities, query_classes, config)
    served = slates_after(slates, end_of(night.run_date - ONE_DAY), config.evaluations.share_of_searches)
    catalogues: dict[str, Loader] = {}
    catalogue_of = share_indexed(item_tokens, item_neighbours, config)
    judges = [c for c in contenders(ranker_runs, promotions, night.run_date, config) if _was_gated(gates, c)]
    for contender in judges:
        catalogues[contender.role] = catalogue_of(_code_version(contender, rerank_weights))
        rows = groups = rerank_weights.withColumn("expected_gain", F.lit(None).cast("map<string, double>"))
        if contender.ranker is not None:
            catalogue = catalogues[contender.role]
            compiled = compile_profiles(user_profiles, people, segments, catalogue, contender.ranker, config, served)
            rows, groups = (gated_rows(some, gates, contender.ranker_id) for some in compiled)
        served = with_row(served, rows, groups, contender.role)
    profiles = profiles_by_id(user_profiles.withColumn("as_of", F.col("run_date")), people, config)
    known = flat_shoppers(profiles, config).drop("as_of")
    ranker_ids = {contender.role: contender.ranker_id for contender in judges}
    indexed = next((catalogues[contender.role] for contender in judges if contender.ranker is not None), None)
    baselines = share_baselines(user_profiles, item_neighbours, indexed, people_tonight, config)
    judged = _judged(baselines, catalogues, ranker_ids, config)
    return served.join(known, on="user_id", how="left").mapInPandas(judged, schema=EVALUATIONS.columns)


def _was_gated(gates: DataFrame, contender: Contender) -> bool:
    wanted = gates.where(F.col("ranker_id") == contender.ranker_id).select("ranker_id").limit(1)
    return contender.ranker is None or bool(len(collect_arrays(wanted, 1, "gates of a ranker")["ranker_id"]))


def _code_version(contender: Contender, rerank_weights: DataFrame) -> str:
    """The tokens that the contender's rows speak of; of a champion that cannot be scored, those it published."""
    if contender.ranker is not None:
        return contender.ranker.code_version
    published = rerank_weights.select("code_version").distinct().orderBy("code_version")
    found = collect_arrays(published.limit(1), 1, "code versions of published rows")["code_version"]
    return str(found[0]) if len(found) else ""


def _judged(
    baselines: Callable[[], Known], catalogues: dict[str, Loader], ranker_ids: dict[str, str], config: Config
) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    names = EVALUATIONS.columns.names

    def judged(batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        indexes = {role: catalogue() for role, catalogue in catalogues.items()}
        known = baselines()
        head = _head(known.popular, config.evaluations.head_share)
        for batch in batches:
            rows = [
                judged_row
                for row in batch.itertuples(index=False)
                for part in (ORGANIC, SPONSORED)
                for judged_row in _judged_rows(known, head, indexes, ranker_ids, row, part, config)
            ]
            yield pandas.DataFrame(rows, columns=names)

    return judged


def _head(popular: Catalogue, share: float) -> float:
    """The popularity that the most popular share of the items has at least."""
    return float(np.quantile(popular.popularity, 1 - share)) if len(popular.item_ids) else 0.0


def _judged_rows(
    known: Known,
    head: float,
    indexes: dict[str, Catalogue],
    ranker_ids: dict[str, str],
    row: Any,
    part: str,
    config: Config,
) -> Iterator[tuple[Any, ...]]:
    """The rows of one slate's organic or sponsored part: one a method; none where nothing of the part was taken."""
    slots = np.asarray(row.slate_sponsored, dtype=bool)
    of_part = slots if part == SPONSORED else ~slots
    logged = np.where(of_part, row.slate_logged_gains, 0.0)
    if not logged.any():
        return
    # Organic items are ranked among themselves; a sponsored one is judged where it was shown, among all.
    kept = ~slots if part == ORGANIC else np.ones(len(slots), dtype=bool)
    item_ids = np.asarray(row.slate_item_ids, dtype=np.str_)[kept]
    gains = np.where(of_part, row.slate_gains, 0.0)[kept]
    slices = _slices(known.popular, head, row, item_ids, logged[kept])
    ties = np.argsort(np.argsort(item_ids))
    for method, scores in _scores(known, indexes, row, item_ids, kept, part, config).items():
        figures = _figures(scores, gains, logged[kept], ties, config.evaluations.cutoff)
        gate = [
            getattr(row, f"{method}_{column}") if method in indexes else None for column in ("alpha", "expected_gain")
        ]
        yield (row.query_id, row.user_id, method, part, ranker_ids.get(method), *slices, *figures, *gate)


def _slices(
    popular: Catalogue, head: float, row: Any, item_ids: Any, logged: Any
) -> tuple[str, bool, bool, bool, str | None]:
    """query_class, returning (something is known of the shopper), head (the take is popular), derived, segment."""
    best = positions(popular.item_ids, item_ids[[int(np.argmax(logged))]])[0]
    returning = not pandas.isna(row.evidence) and row.evidence > 0
    is_head = bool(best >= 0 and popular.popularity[best] >= head)
    return row.query_class, returning, is_head, bool(row.derived), row.segment


def _scores(
    known: Known,
    indexes: dict[str, Catalogue],
    row: Any,
    item_ids: NDArray[np.str_],
    kept: NDArray[np.bool_],
    part: str,
    config: Config,
) -> dict[str, NDArray[np.float64]]:
    """The scores that each method ranks the items by."""
    shown = -np.asarray(row.slate_positions, dtype=np.float64)[kept]
    if part == SPONSORED:
        return {SHOWN: shown}
    base = np.asarray(row.slate_base, dtype=np.float64)[kept]
    scores = {SHOP: shop_scores(base), SHOWN: shown, **baseline_scores(known, row, item_ids, config)}
    for role, index in indexes.items():
        sums = served_sums(index, row, role, item_ids)
        if sums is not None:
            scores[role] = reranked_scores(base, sums, getattr(row, f"{role}_alpha"), getattr(row, f"{role}_bound"))
    return scores


def _figures(scores: Any, gains: Any, logged: Any, ties: Any, cutoff: int) -> tuple[float, float, float, float]:
    """nDCG, MRR, recall, and the weight of self-normalised IPS: the mean inverse propensity of what was taken."""
    return (
        float(ndcg_at_k(scores, gains, cutoff, ties)),
        float(mrr(scores, logged, ties)),
        float(recall_at_k(scores, logged, cutoff, ties)),
        float(gains.sum() / logged.sum()),
    )
