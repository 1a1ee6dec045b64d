"""Behaviour events: judged by their contract, with the facets that their items had on arrival."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.bots import is_whole, quarantine_bots
from nightrank.steps.once import evaluated_once
from nightrank.steps.pseudonyms import shopper
from nightrank.steps.reasons import any_infinite, blank, finite, impossible_time, overlong, reasons, wrong_time_unit
from nightrank.tables import EVENTS, RAW_EVENTS

FIGURES = ("quantity", "price", "rating")
IDS = ("event_id", "user_id", "item_id", "session_id", "query_id")


def build_events(raw_events: DataFrame, items: DataFrame, events: DataFrame, night: Night, config: Config) -> DataFrame:
    """The table `events` with run_date, the night in which each row arrived: accepted rows, and the rest with reasons.

    raw_events: RAW_EVENTS; items: tonight's catalogue; events: rows of the nights before that tonight's may repeat.
    Of rows with one event_id the first good one stays, by arrival and then by a hash of the row without its file; whose
    bot or super-user it is, is asked after that.
    """
    facets = items.select("item_id", "facets", F.lit(True).alias("_known"))
    # What was a bot's or too much is not accepted when it is sent again: it has been here.
    seen = events.filter(is_whole(F.col("reasons"))).select("event_id").distinct().withColumn("_seen", F.lit(True))
    joined = (
        raw_events.filter(F.col("arrived").between(F.lit(night.first_arrival), F.lit(night.run_date)))
        .withColumn("_hash", F.xxhash64(*[name for name in RAW_EVENTS.names if name != "source_file"]))
        .join(facets, on="item_id", how="left")
        .join(seen, on="event_id", how="left")
    )
    first_pass = joined.withColumn("reasons", reasons(F.col("problems"), _conditions(config)))
    return (
        _by_event(first_pass)
        .withColumn("_turn", F.row_number().over(_same_event()))
        .withColumn("reasons", reasons(F.col("reasons"), {"duplicate": _is_duplicate()}))
        .transform(quarantine_bots, config)
        .withColumns({name: finite(F.col(name)) for name in FIGURES})
        .withColumn("facets", F.coalesce("facets", F.array().cast("array<string>")))
        .withColumn("user_id", shopper(F.col("user_id"), config))
        .withColumn("accepted", F.size("reasons") == 0)
        .withColumn("run_date", F.col("arrived"))
        .select(*EVENTS.schema.names)
    )


def _conditions(config: Config) -> dict[str, Column]:
    return {
        "missing_key": blank("event_id", "item_id", "action") | F.col("ts").isNull(),
        "impossible_time": impossible_time(config.events.earliest),
        "wrong_time_unit": wrong_time_unit(config.events.earliest),
        "not_finite": any_infinite(*FIGURES),
        "unknown_action": ~F.col("action").isin(*config.events.actions),
        "overlong_id": overlong(config.events.longest_id, *IDS),
        "unknown_item": F.col("_known").isNull() & ~blank("item_id"),
    }


def _by_event(rows: DataFrame) -> DataFrame:
    """The rows with `_event`, those of one event in one partition: the one shuffle of the log.

    What follows (counting who may be a bot, judging those, marking) reads its result: in the plan `ReusedExchange`,
    not another scan. That takes that all of them need all its columns, which a generator sees to: Spark prunes none
    through it. It stands below the window, which Spark leaves out for those that do not ask for the turn.
    """
    # Rows without an id are no duplicates of each other: each is its own group.
    group = F.coalesce("event_id", F.col("_hash").cast("string"))
    together = rows.withColumn("_event", group).repartition("_event")
    return together.select("_event", evaluated_once(F.struct(*rows.columns)))


def _same_event() -> WindowSpec:
    good_first = F.size("reasons") > 0
    return Window.partitionBy("_event").orderBy(good_first, "arrived", "_hash", "source_file")


def _is_duplicate() -> Column:
    return F.col("event_id").isNotNull() & ((F.col("_turn") > 1) | F.col("_seen").isNotNull())
