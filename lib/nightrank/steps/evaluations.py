"""evaluations: every method's figures for each judged search: nothing behind the rows has seen it.

Tonight's searches are ranked with rows compiled from what stood last night (`challenger`, `champion`), and beside them
by base scores alone (`shop`), as they were shown (`shown`), by the named baselines (steps/baselines.py), and by the
challenger's whole ranker, of which its rows are made (`full`, steps/uncut.py): on the same searches, of whose slates
alone it scores the items, so that evaluations.share_of_searches bounds what that costs too. Where boosts are chosen
diversely, rows without that are judged beside them (`undiversified`). `prior`, `with_prior`: base scores alone and the
challenger's rows, of an engine that adds each item's prior to its base scores; with item_tokens.prior_added the shop's
is one, and every ranker is judged so: `prior` is then what alpha 0 gives, `shop` what the shop had without nightrank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.catalogue import Catalogue, positions
from nightrank.models.diversity import cosines_of, intra_list_diversity
from nightrank.models.metrics import mrr, ndcg_at_k, recall_at_k
from nightrank.models.report_card import FULL, PRIOR, WITH_PRIOR
from nightrank.models.scorer import reranked_scores
from nightrank.models.scorers.shop_order import shop_scores
from nightrank.nights import ONE_DAY, Night, end_of
from nightrank.steps.arrays import collect_arrays
from nightrank.steps.baselines import Known, baseline_scores, share_baselines
from nightrank.steps.catalogue import Loader
from nightrank.steps.compiling import compile_profiles, share_indexed
from nightrank.steps.consent import not_forgotten
from nightrank.steps.gating import gated_rows
from nightrank.steps.habits import without_habits
from nightrank.steps.judging import ROW_COLUMNS, served_sums, slates_after, with_row
from nightrank.steps.persons import profiles_by_id
from nightrank.steps.priors import with_priors
from nightrank.steps.rankers import CHALLENGER, Contender, contenders
from nightrank.steps.shoppers import flat_shoppers
from nightrank.steps.slates import flat_slates
from nightrank.steps.uncut import UNCUT_COLUMNS, Uncut, uncut_ranker, uncut_sums
from nightrank.steps.undiversified import settings_of, with_undiversified
from nightrank.tables import EVALUATIONS

SHOP, SHOWN = "shop", "shown"
ORGANIC, SPONSORED = "organic", "sponsored"
GATE = ("alpha", "expected_gain")


@dataclass(frozen=True)
class Judges:
    """What a worker judges searches with.

    head: the popularity from which an item is a popular one. indexes: what the index has for each role's rows.
    ranker_ids: of each method that is a ranker's. uncut: whose whole ranker is judged too.
    """

    known: Known
    head: float
    indexes: Mapping[str, Catalogue]
    ranker_ids: Mapping[str, str]
    uncut: Uncut | None
    config: Config


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
    served = asked = slates_after(slates, end_of(night.run_date - ONE_DAY), config.evaluations.share_of_searches)
    catalogue_of = share_indexed(item_tokens, item_neighbours, config)
    contending = contenders(ranker_runs, promotions, night.run_date, config)
    judges = with_undiversified([c for c in contending if _was_gated(gates, c)], config)
    catalogues = {c.role: catalogue_of(_code_version(c, rerank_weights)) for c in judges}
    for judge in judges:
        if judge.ranker is None:
            published = rerank_weights.withColumn("expected_gain", F.lit(None).cast("map<string, double>"))
            served = with_row(served, published, published, judge.role)
        else:
            catalogue = catalogues[judge.role]
            own = settings_of(judge.role, config)
            compiled = compile_profiles(user_profiles, people, segments, catalogue, judge.ranker, own, asked)
            rows, groups = (gated_rows(some, gates, judge.ranker_id) for some in compiled)
            served = with_row(served, rows, groups, judge.role, (*ROW_COLUMNS, *UNCUT_COLUMNS))
    indexed = next((catalogues[judge.role] for judge in judges if judge.ranker is not None), None)
    uncut = uncut_ranker(judges, CHALLENGER, segments, config)
    known = _known_shoppers(user_profiles, people, uncut, config)
    baselines = share_baselines(user_profiles, item_neighbours, indexed, people_tonight, config)
    judged = _judged(baselines, catalogues, judges, uncut, config)
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


def _known_shoppers(user_profiles: DataFrame, people: DataFrame, uncut: Uncut | None, config: Config) -> DataFrame:
    """The flat shoppers by id. No baseline asks for habits: without a whole ranker they are left out."""
    profiles = profiles_by_id(user_profiles.withColumn("as_of", F.col("run_date")), people, config)
    shoppers = flat_shoppers(profiles, config).drop("as_of")
    return shoppers if uncut else without_habits(shoppers)


def _judged(
    baselines: Callable[[], Known],
    catalogues: dict[str, Loader],
    contending: list[Contender],
    uncut: Uncut | None,
    config: Config,
) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    ranker_ids = {contender.role: contender.ranker_id for contender in contending}
    if uncut is not None:
        ranker_ids |= dict.fromkeys((FULL, PRIOR, WITH_PRIOR), ranker_ids[uncut.role])

    def judged(batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        indexes = {role: catalogue() for role, catalogue in catalogues.items()}
        known = baselines()
        head = _head(known.popular, config.evaluations.head_share)
        judges = Judges(known, head, indexes, ranker_ids, uncut, config)
        for batch in batches:
            rows = [
                judged_row
                for row in batch.itertuples(index=False)
                for part in (ORGANIC, SPONSORED)
                for judged_row in _judged_rows(judges, row, part)
            ]
            yield pandas.DataFrame(rows, columns=EVALUATIONS.columns.names)

    return judged


def _head(popular: Catalogue, share: float) -> float:
    """The popularity that the most popular share of the items has at least."""
    return float(np.quantile(popular.popularity, 1 - share)) if len(popular.item_ids) else 0.0


def _judged_rows(judges: Judges, row: Any, part: str) -> Iterator[tuple[Any, ...]]:
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
    slices = _slices(judges.known.popular, judges.head, row, item_ids, logged[kept])
    ties, cosines = np.argsort(np.argsort(item_ids)), _cosines(judges.known.indexed, item_ids)
    for method, scores in _scores(judges, row, item_ids, kept, part).items():
        figures = _figures(scores, gains, logged[kept], ties, cosines, judges.config.evaluations.cutoff)
        gate = [getattr(row, f"{method}_{column}") if method in judges.indexes else None for column in GATE]
        yield (row.query_id, row.user_id, method, part, judges.ranker_ids.get(method), *slices, *figures, *gate)


def _slices(
    popular: Catalogue, head: float, row: Any, item_ids: Any, logged: Any
) -> tuple[str, bool, bool, bool, str | None]:
    """query_class, returning (something is known of the shopper), head (the take is popular), derived, segment."""
    best = positions(popular.item_ids, item_ids[[int(np.argmax(logged))]])[0]
    returning = not pandas.isna(row.evidence) and row.evidence > 0
    is_head = bool(best >= 0 and popular.popularity[best] >= head)
    return row.query_class, returning, is_head, bool(row.derived), row.segment


def _scores(
    judges: Judges, row: Any, item_ids: NDArray[np.str_], kept: NDArray[np.bool_], part: str
) -> dict[str, NDArray[np.float64]]:
    """The scores that each method ranks the items by."""
    shown = -np.asarray(row.slate_positions, dtype=np.float64)[kept]
    if part == SPONSORED:
        return {SHOWN: shown}
    base = np.asarray(row.slate_base, dtype=np.float64)[kept]
    told = baseline_scores(judges.known, row, item_ids, judges.config)
    scores = {SHOP: shop_scores(base), SHOWN: shown, **told}
    for role, index in judges.indexes.items():
        served = served_sums(index, row, role, item_ids)
        prior = with_priors(index, base, item_ids)
        ranked = prior if judges.config.item_tokens.prior_added else base
        sums = {role: (ranked, served)}
        if judges.uncut is not None and judges.uncut.role == role:
            scores[PRIOR] = prior
            sums |= {FULL: (ranked, uncut_sums(judges.uncut, index, row, item_ids)), WITH_PRIOR: (prior, served)}
        gate = getattr(row, f"{role}_alpha"), getattr(row, f"{role}_bound")
        scores |= {name: reranked_scores(on, some, *gate) for name, (on, some) in sums.items() if some is not None}
    return scores


def _cosines(indexed: Catalogue | None, item_ids: NDArray[np.str_]) -> NDArray[np.float64]:
    """Of the items with each other, NaN where the index has no vector of one."""
    if indexed is None:
        return np.full((len(item_ids), len(item_ids)), np.nan)
    return cosines_of(indexed, positions(indexed.item_ids, item_ids))


def _figures(
    scores: Any, gains: Any, logged: Any, ties: Any, cosines: Any, cutoff: int
) -> tuple[float, float, float, float, float]:
    """nDCG, MRR, recall, diversity of the first items, and the weight of self-normalised IPS.

    That is the mean inverse propensity of what was taken.
    """
    return (
        float(ndcg_at_k(scores, gains, cutoff, ties)),
        float(mrr(scores, logged, ties)),
        float(recall_at_k(scores, logged, cutoff, ties)),
        intra_list_diversity(cosines, np.lexsort((ties, -scores))[:cutoff]),
        float(gains.sum() / logged.sum()),
    )
