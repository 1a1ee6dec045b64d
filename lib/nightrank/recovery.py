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
from nightrank.report import all_nights, last_night
from nightrank.shop.truth import Truth, load_truth, true_utility
from nightrank.steps.judging import organic
from nightrank.steps.slates import flat_slates

ENOUGH_TAKES = 10
FIRST_POSITIONS = 10
FAVOURITES_LOOKED_AT = 3


@dataclass(frozen=True)
class Recovery:
    """Figures of one run; nDCG is at evaluations.cutoff, weighted by inverse propensity, over all judged nights.

    gain_share: (personalised - shop) / (oracle - shop). indifferent_gain: personalised - shop of shoppers without
    tastes, with its 95 % interval. position_error: greatest relative error of the position curve at positions 1..10,
    over devices. favourite_found: share of returning shoppers with 10 takes or more whose planted favourite brand is
    among their three heaviest brand weights.
    """

    shop_ndcg: float
    personalised_ndcg: float
    oracle_ndcg: float
    gain_share: float
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
    judged, oracle = _judged(spark, config), _oracle_ndcg(spark, config, truth)
    keys = [key for key in judged if key in oracle]
    users = np.array([judged[key].user_id for key in keys])
    weights, shop, own = (np.array([getattr(judged[k], c) for k in keys]) for c in ("weight", "shop", "personalised"))
    best = np.array([oracle[key] for key in keys])
    mean_shop, mean_own, mean_best = (float((weights * ndcg).sum() / weights.sum()) for ndcg in (shop, own, best))
    kinds = {line["user_id"]: line["kind"] for line in truth.shoppers}
    no_taste = np.array([kinds.get(user) == "indifferent" for user in users])
    indifferent = _gain(users[no_taste], (own - shop)[no_taste], weights[no_taste], config.promotions.bootstrap)
    found, shoppers = _favourites_found(spark, config, truth)
    return Recovery(
        shop_ndcg=mean_shop,
        personalised_ndcg=mean_own,
        oracle_ndcg=mean_best,
        gain_share=(mean_own - mean_shop) / (mean_best - mean_shop),
        indifferent_gain=indifferent[0],
        indifferent_lower=indifferent[1],
        indifferent_upper=indifferent[2],
        position_error=_position_error(spark, config, truth),
        favourite_found=found,
        favourite_shoppers=shoppers,
        judged_searches=len(keys),
    )


@dataclass(frozen=True)
class Pair:
    """One judged search: nDCG of the shop's order and of the personalised one."""

    user_id: str
    weight: float
    shop: float
    personalised: float


def _judged(spark: SparkSession, config: Config) -> dict[tuple[Any, str], Pair]:
    rows = all_nights(spark, config, tables.EVALUATIONS).where("part = 'organic'")
    rows = rows.where(F.col("method").isin("shop", "challenger")).orderBy("run_date", "query_id")
    found: dict[tuple[Any, str], dict[str, Any]] = defaultdict(dict)
    for row in rows.select("run_date", "query_id", "user_id", "method", "ndcg", "weight").collect():
        found[(row.run_date, row.query_id)][row.method] = row
    return {
        key: Pair(both["shop"].user_id, both["shop"].weight, both["shop"].ndcg, both["challenger"].ndcg)
        for key, both in found.items()
        if len(both) == 2
    }


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
