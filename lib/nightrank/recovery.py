"""How much of what was planted in the simulated shop the night has found: against the truth beside its logs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank import tables
from nightrank.config import Config
from nightrank.models.bootstrap import mean_interval, sums_by_user
from nightrank.models.metrics import ndcg_at_k
from nightrank.models.report_card import PRIOR
from nightrank.report import all_nights, last_night
from nightrank.shop.truth import Truth, load_truth, true_utility
from nightrank.steps.judging import organic
from nightrank.steps.slates import flat_slates

Floats = NDArray[np.float64]

ORDERS = ("shop", "challenger", PRIOR)
ENOUGH_TAKES = 10
FIRST_POSITIONS = 10
FAVOURITES_LOOKED_AT = 3


@dataclass(frozen=True)
class Recovery:
    """Figures of one run; nDCG is at evaluations.cutoff, weighted by inverse propensity, over all judged nights.

    gain_share: (personalised - shop) / (oracle - shop); returning_share: of searches by shoppers of whom something was
    known; returning_share_of_priors: what an engine has of it that adds priors and knows no rows. indifferent_gain:
    personalised - shop of shoppers without tastes, with its 95 % interval. position_error: greatest relative error of
    the position curve at positions 1..10, over devices. favourite_found: share of returning shoppers with 10 takes or
    more whose planted favourite brand is among their three heaviest brand weights.
    """

    shop_ndcg: float
    personalised_ndcg: float
    oracle_ndcg: float
    gain_share: float
    returning_share: float
    returning_share_of_priors: float
    indifferent_gain: float
    indifferent_lower: float
    indifferent_upper: float
    position_error: float
    favourite_found: float
    favourite_shoppers: int
    judged_searches: int


def measure_recovery(spark: SparkSession, config: Config) -> Recovery:
    """The figures of the lake that config names, against the truth in shop.path."""
    truth = load_truth(config.shop.path)
    found = _judged(spark, config, truth)
    kinds = {line["user_id"]: line["kind"] for line in truth.shoppers}
    no_taste = np.array([kinds.get(user) == "indifferent" for user in found.users])
    of_these = found.users[no_taste], (found.own - found.shop)[no_taste], found.weights[no_taste]
    indifferent = _gain(*of_these, config.promotions.bootstrap)
    favourites, shoppers = _favourites_found(spark, config, truth)
    shop, own, best = (float(np.average(one, weights=found.weights)) for one in (found.shop, found.own, found.best))
    return Recovery(
        shop_ndcg=shop,
        personalised_ndcg=own,
        oracle_ndcg=best,
        gain_share=(own - shop) / (best - shop),
        returning_share=_share_of_returning(found, found.own),
        returning_share_of_priors=_share_of_returning(found, found.prior),
        indifferent_gain=indifferent[0],
        indifferent_lower=indifferent[1],
        indifferent_upper=indifferent[2],
        position_error=_position_error(spark, config, truth),
        favourite_found=favourites,
        favourite_shoppers=shoppers,
        judged_searches=len(found.users),
    )


@dataclass(frozen=True)
class Judged:
    """The judged searches: whose they are, whether of a returning shopper, their weight, and nDCG of some orders.

    shop: the shop's order; own: the personalised one; prior: by base scores and priors alone; best: the oracle's.
    """

    users: NDArray[np.str_]
    returning: NDArray[np.bool_]
    weights: Floats
    shop: Floats
    own: Floats
    prior: Floats
    best: Floats


def _judged(spark: SparkSession, config: Config, truth: Truth) -> Judged:
    rows = all_nights(spark, config, tables.EVALUATIONS).where("part = 'organic'")
    rows = rows.where(F.col("method").isin(*ORDERS)).orderBy("run_date", "query_id")
    by_search: dict[tuple[Any, str], dict[str, Any]] = defaultdict(dict)
    for row in rows.select("run_date", "query_id", "user_id", "returning", "method", "ndcg", "weight").collect():
        by_search[(row.run_date, row.query_id)][row.method] = row
    oracle = _oracle_ndcg(spark, config, truth)
    keys = [key for key, methods in by_search.items() if len(methods) == len(ORDERS) and key in oracle]
    shown = [by_search[key]["shop"] for key in keys]
    shop, own, prior = (np.array([by_search[key][method].ndcg for key in keys]) for method in ORDERS)
    return Judged(
        users=np.array([row.user_id for row in shown]),
        returning=np.array([row.returning for row in shown]),
        weights=np.array([row.weight for row in shown]),
        shop=shop,
        own=own,
        prior=prior,
        best=np.array([oracle[key] for key in keys]),
    )


def _share_of_returning(found: Judged, own: Floats) -> float:
    """The share of the oracle's gain that `own` has on searches of returning shoppers; 0 where there are none."""
    weights = found.weights * found.returning
    gain, to_gain = (float((weights * (ndcg - found.shop)).sum()) for ndcg in (own, found.best))
    return gain / to_gain if to_gain > 0 else 0.0


def _oracle_ndcg(spark: SparkSession, config: Config, truth: Truth) -> Mapping[tuple[Any, str], float]:
    """nDCG of the order by true utility, of each organic slate of the judged nights."""
    nights = all_nights(spark, config, tables.EVALUATIONS).select("run_date").distinct()
    searches = all_nights(spark, config, tables.SEARCHES).join(nights, on="run_date", how="left_semi")
    slates = organic(
        flat_slates(
            searches,
            last_night(spark, config, tables.PROPENSITIES),
            last_night(spark, config, tables.QUERY_CLASSES),
            config,
        )
    )
    rows = slates.select("run_date", "query_id", "user_id", "ts", "normalised_query", "slate_item_ids", "slate_gains")
    return {(row.run_date, row.query_id): _best_ndcg(row, truth, config.evaluations.cutoff) for row in rows.collect()}


def _best_ndcg(row: Any, truth: Truth, cutoff: int) -> float:
    items = row.slate_item_ids
    asked = [row.normalised_query] * len(items)
    utility = true_utility(truth, [row.user_id] * len(items), items, row.ts.date(), asked)
    return float(ndcg_at_k(utility, row.slate_gains, cutoff, np.argsort(np.argsort(items))))


def _gain(
    users: NDArray[np.str_], gains: NDArray[np.float64], weights: NDArray[np.float64], draws: int
) -> tuple[float, float, float]:
    _, numerator, denominator = sums_by_user(users, gains, weights)
    return mean_interval(numerator, denominator, draws, seed=22)


def _position_error(spark: SparkSession, config: Config, truth: Truth) -> float:
    """Greatest relative error over positions 1..10 of each device whose curve was harvested; 1 where none was."""
    rows = last_night(spark, config, tables.PROPENSITIES).where(F.col("position") <= FIRST_POSITIONS).collect()
    errors = [
        abs(row.propensity / (truth.curve[row.device][row.position - 1] / truth.curve[row.device][0]) - 1)
        for row in rows
        if row.device in truth.curve and row.method == "harvested"
    ]
    return max(errors, default=1.0)


def _favourites_found(spark: SparkSession, config: Config, truth: Truth) -> tuple[float, int]:
    rows = _brand_weights(spark, config)
    night = last_night(spark, config, tables.RERANK_WEIGHTS).agg(F.max("run_date")).collect()[0][0]
    lines = {line["user_id"]: line for line in truth.shoppers}
    hits = []
    for row in rows.collect():
        line = lines.get(row.user_id)
        if line is None or line["strength"] == 0:
            continue
        changed = line["after"] and line["changes_on"] <= str(night)
        # The favourite of today; one who has changed lately is still owed the time that profiles take to follow.
        favourite = (line["after"] if changed else line)["brand"]
        heaviest = sorted(row.brands, key=lambda pair: (-pair["weight"], pair["token"]))[:FAVOURITES_LOOKED_AT]
        hits.append(f"brand:{favourite.lower()}" in {pair["token"] for pair in heaviest if pair["weight"] > 0})
    return (float(np.mean(hits)) if hits else 0.0), len(hits)


def _brand_weights(spark: SparkSession, config: Config) -> DataFrame:
    """Brand weights of the shoppers with enough takes, in the last night's rows."""
    enough = last_night(spark, config, tables.USER_PROFILES).where(F.col("takes") >= ENOUGH_TAKES).select("user_id")
    brands = F.filter(F.map_entries("facet_weights"), lambda entry: entry["key"].startswith("brand:"))
    named = F.transform(brands, lambda e: F.struct(e["key"].alias("token"), e["value"].alias("weight")))
    rows = last_night(spark, config, tables.RERANK_WEIGHTS).join(enough, on="user_id", how="left_semi")
    return rows.select("user_id", named.alias("brands"))
