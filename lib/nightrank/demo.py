"""`nightrank demo`: a simulated shop, a bulk load and some nights of it, and what a newcomer wants to see of them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from nightrank import tables
from nightrank.asked import nights_to_run
from nightrank.config import Config
from nightrank.ledger_report import shares_in_words
from nightrank.models.scorer import ranked_order, reranked_scores, row_sums
from nightrank.recovery import Recovery, measure_recovery
from nightrank.report import all_nights, last_night, query_in_words, shopper_in_words, shown_queries
from nightrank.runner import run_nights
from nightrank.session import build_session
from nightrank.shop.ubi_log import write_shop
from nightrank.steps.slates import DEFAULT_CLASS

TOP = 5


def run_demo(config: Config, config_path: str) -> str:
    """What the demo ends with, as text. Writes the shop's logs and a new lake, and runs the calendar's nights."""
    for folder in (config.shop.path, config.lake.path):
        shutil.rmtree(folder, ignore_errors=True)
    write_shop(config.shop, Path(config.shop.path))
    spark = build_session(config.spark)
    run_nights(spark, config, "nightly", nights_to_run(spark, config, None))
    shopper = _telling_shopper(spark, config)
    parts = [
        _figures_in_words(spark, config),
        _shoppers_in_words(spark, config),
        _recovery_in_words(measure_recovery(spark, config)),
        shopper_in_words(spark, config, shopper),
        _before_and_after(spark, config, shopper),
        _where_to_look(config, config_path, shopper),
    ]
    return "\n\n".join(parts)


def _figures_in_words(spark: SparkSession, config: Config) -> str:
    """nDCG and MRR of the shop's order and of the personalised one, and the paired difference, from the ledger."""
    ledger = last_night(spark, config, tables.PROMOTIONS).collect()[0]
    found = {(f.method, f.versus, f.metric): f for f in ledger.figures if f.slice == "all"}
    k, judged = config.evaluations.cutoff, found[("shop", "", "ndcg")].searches
    lines = [f"Judged on {judged} searches of {ledger.judged_nights} nights, never seen before:"]
    for method, called in (("shop", "the shop's own order"), ("challenger", "personalised")):
        ndcg, mrr = _interval(found[(method, "", "ndcg")]), _interval(found[(method, "", "mrr")])
        lines.append(f"  {called:<22} nDCG@{k} {ndcg}   MRR {mrr}")
    lines.append(f"  {'difference':<22} nDCG@{k} {_interval(found[('challenger', 'shop', 'ndcg')], '+')}")
    return "\n".join([*lines, f"  the ledger: promoted={ledger.promoted}: {ledger.reason}"])


def _interval(figure: Any, sign: str = "") -> str:
    return f"{figure.value:{sign}.4f} [{figure.lower:{sign}.4f}, {figure.upper:{sign}.4f}]"


def _shoppers_in_words(spark: SparkSession, config: Config) -> str:
    """Whom the challenger of the last night helped and harmed, by the ledger."""
    figures = last_night(spark, config, tables.PROMOTIONS).collect()[0].figures
    return shares_in_words([figure for figure in figures if figure.method == "challenger"])


def _recovery_in_words(found: Recovery) -> str:
    return "\n".join(
        [
            "Against the truth that was planted in this shop:",
            f"  {found.gain_share:.0%} of the gain of an oracle who knows every taste (nDCG {found.oracle_ndcg:.4f})",
            f"  on searches of returning shoppers alone {found.returning_share:.0%}; "
            f"the items' priors without any row have {found.returning_share_of_priors:.0%}",
            f"  favourite brand among the three heaviest brand weights: {found.favourite_found:.0%} "
            f"of {found.favourite_shoppers} returning shoppers with ten takes or more",
            f"  position curve within {found.position_error:.0%} at positions 1 to 10",
            f"  shoppers without tastes: {found.indifferent_gain:+.4f} "
            f"[{found.indifferent_lower:+.4f}, {found.indifferent_upper:+.4f}]",
        ]
    )


def _telling_shopper(spark: SparkSession, config: Config) -> str:
    """The shopper with the most evidence among those whose judged searches gained most: ties by id."""
    rows = all_nights(spark, config, tables.EVALUATIONS).where("part = 'organic' AND user_id != 'anonymous'")
    signed = F.when(F.col("method") == "challenger", F.col("ndcg")).when(F.col("method") == "shop", -F.col("ndcg"))
    gained = rows.groupBy("user_id").agg(F.sum(F.round(signed * 1_000_000).cast("bigint")).alias("gained"))
    known = last_night(spark, config, tables.RERANK_WEIGHTS).select("user_id", "evidence")
    best = (
        gained.join(known, on="user_id", how="inner").orderBy(F.desc("gained"), F.desc("evidence"), "user_id").first()
    )
    return str(best["user_id"]) if best else tables.ANONYMOUS


def _before_and_after(spark: SparkSession, config: Config, user_id: str) -> str:
    """One search of the shopper, in the shop's order and reranked by the published row with the formula itself."""
    row = last_night(spark, config, tables.RERANK_WEIGHTS).where(F.col("user_id") == user_id).collect()[0]
    search = _telling_search(spark, config, user_id, row.alpha)
    if search is None:
        return f"{user_id} has made no search."
    ids = [item.item_id for item in search.slate if not item.sponsored]
    base = np.array([item.base_score for item in search.slate if not item.sponsored])
    known = last_night(spark, config, tables.ITEM_TOKENS).where(F.col("code_version") == row.code_version)
    index = {item.item_id: item for item in known.where(F.col("item_id").isin(ids)).collect()}
    sums = row_sums(ids, [index[i].tokens if i in index else [] for i in ids], row.facet_weights, row.item_boosts)
    adds = config.item_tokens.prior_added
    priors = np.array([index[i].prior if adds and i in index else 0.0 for i in ids])
    after = reranked_scores(base + priors, sums, row.alpha[search.query_class], row.bound[search.query_class])
    orders = [[ids[i] for i in ranked_order(scores, ids)[:TOP]] for scores in (base, after)]
    query = query_in_words(spark, config, search.normalised_query, search.query_class)
    return _side_by_side(spark, config, f"{user_id} searches {query} ({search.query_class}):", orders)


def _telling_search(spark: SparkSession, config: Config, user_id: str, alpha: Mapping[str, float]) -> Row | None:
    """The shopper's newest search of a class that is personalised for them, else of any; with its query_class.

    If there is one, a search whose words may be shown.
    """
    classes = last_night(spark, config, tables.QUERY_CLASSES).select("normalised_query", "query_class")
    searches = all_nights(spark, config, tables.SEARCHES)
    shown = shown_queries(searches, config).withColumn("is_shown", F.lit(True))
    own = searches.where((F.col("user_id") == user_id) & (F.size("slate") > TOP))
    classed = own.join(classes, on="normalised_query", how="left").join(shown, on="normalised_query", how="left")
    named = classed.withColumn("query_class", F.coalesce("query_class", F.lit(DEFAULT_CLASS)))
    personalised = F.col("query_class").isin([name for name, value in alpha.items() if value > 0])
    return named.orderBy(personalised.desc(), F.desc_nulls_last("is_shown"), F.desc("ts"), "query_id").first()


def _side_by_side(spark: SparkSession, config: Config, heading: str, orders: Sequence[Sequence[str]]) -> str:
    shown = sorted({item for order in orders for item in order})
    items = last_night(spark, config, tables.ITEMS).where(F.col("item_id").isin(shown))
    titles = {item.item_id: item.title for item in items.select("item_id", "title").collect()}
    lines = [heading, f"     {'the shop':<44} with the row"]
    for rank, (before, after) in enumerate(zip(*orders, strict=True), 1):
        lines.append(f"  {rank}. {titles.get(before, before)[:42]:<44} {titles.get(after, after)[:42]}")
    return "\n".join(lines)


def _where_to_look(config: Config, config_path: str, shopper: str) -> str:
    """Where everything lies, and commands that can be copied as they stand."""
    return "\n".join(
        [
            f"The lake lies in {config.lake.path}, the logs in {config.shop.path}. To look further:",
            f"  {_program('nightrank')} tables --config {config_path}",
            f"  {_program('nightrank')} show {shopper} --config {config_path}",
            f"  {_program('mlflow')} ui --backend-store-uri {config.mlflow.tracking_uri}",
        ]
    )


def _program(name: str) -> str:
    """How the program is called from here: by its name, or by its path in the environment that runs this."""
    return name if shutil.which(name) else os.path.relpath(Path(sys.executable).parent / name)
