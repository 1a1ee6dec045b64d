"""A shop's log as canonical Parquet, of any size: every column is a hash of its row's number, so it is always the same.

Items are asked for by Zipf's law with exponent 1; shoppers come less unevenly, the busiest of a million some 10,000
times less often than all together. A search shows 20 items and brings three events.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

FIRST_DAY, DAYS = date(2026, 1, 1), 30
LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)
EVENTS_PER_SHOPPER, EVENTS_PER_ITEM, EVENTS_PER_SEARCH, SLATE = 60, 1000, 3, 20
ROWS_PER_FILE = 500_000
# A shopper's number is shoppers * u ** SHOPPER_SKEW with u uniform in 0..1.
SHOPPER_SKEW = 1.5
# Upper ends in 0..1: most of what follows a search is a click.
ACTIONS = {"view": 0.1, "click": 0.8, "cart": 0.92, "buy": 0.98, "like": 1.0}
# How many of each thing the shop has.
BRANDS, CATEGORIES, LEAVES, SELLERS, WORDS, QUERIES, PRICES = 200, 20, 200, 500, 400, 20_000, 12


@dataclass(frozen=True)
class Log:
    """What is written. super_user: the share of events that one shopper leaves; hot_item: that are of one item."""

    events: int
    super_user: float = 0.0
    hot_item: float = 0.0

    @property
    def shoppers(self) -> int:
        """How many shoppers the log is about."""
        return max(1, self.events // EVENTS_PER_SHOPPER)

    @property
    def items(self) -> int:
        """How many items the shop sells: more than a slate holds."""
        return max(2 * SLATE, self.events // EVENTS_PER_ITEM)


def write_log(spark: SparkSession, log: Log, folder: str) -> None:
    """Writes events, searches and items below the folder, as the canonical convention reads them."""
    for name, frame in {
        "events": log_events(spark, log),
        "searches": log_searches(spark, log),
        "items": log_items(spark, log),
    }.items():
        frame.write.mode("overwrite").parquet(f"{folder}/{name}")


def log_events(spark: SparkSession, log: Log) -> DataFrame:
    """The events, in the order of their times, which are all different."""
    search, hot = F.floor(F.col("id") / EVENTS_PER_SEARCH), uniform("hot", F.col("id")) < log.hot_item
    position = zipf(SLATE, uniform("position", F.col("id")))
    drawn = uniform("action", F.col("id"))
    action = F.coalesce(*[F.when(drawn < upper, name) for name, upper in ACTIONS.items()])
    return _numbers(spark, log.events).select(
        F.concat(F.lit("e"), "id").alias("event_id"),
        _at(F.col("id"), log).alias("ts"),
        _shopper(search, log).alias("user_id"),
        action.alias("action"),
        F.when(hot, "i0").otherwise(_shown(search, position, log)).alias("item_id"),
        F.concat(F.lit("s"), search).alias("session_id"),
        F.when(~hot, F.concat(F.lit("q"), search)).alias("query_id"),
        F.lit(1.0).alias("quantity"),
        F.lit("desktop").alias("device"),
    )


def with_facets(events: DataFrame) -> DataFrame:
    """The events as they are once parsed: on the night of their own day, with eight tokens of their items."""
    item = F.substring("item_id", 2, 20).cast("long")
    kinds = {"brand": BRANDS, "category": CATEGORIES, "price": PRICES, "seller": SELLERS}
    tokens = [F.concat(F.lit(f"{kind}:{kind} "), _one_of(kind, item, many)) for kind, many in kinds.items()]
    words = [F.concat(F.lit("keyword:word "), _one_of(f"word {n}", item, WORDS)) for n in range(3)]
    leaf = F.concat(F.lit("category:category "), _one_of("category", item, CATEGORIES), F.lit(" > leaf "),
                    _one_of("leaf", item, LEAVES))  # fmt: skip
    return events.withColumns({"run_date": F.to_date("ts"), "facets": F.array(*tokens, leaf, *words)})


def log_searches(spark: SparkSession, log: Log) -> DataFrame:
    """The searches that the events followed, each shown SLATE items in a row of the catalogue."""
    number = F.col("id")
    shown = F.transform(
        F.sequence(F.lit(0), F.lit(SLATE - 1)),
        lambda place: F.struct(
            _shown(number, place, log).alias("item_id"),
            (place + 1).alias("position"),
            (F.lit(10.0) - place / 10).alias("base_score"),
            F.lit(False).alias("sponsored"),
        ),
    )
    return _numbers(spark, ceil(log.events / EVENTS_PER_SEARCH)).select(
        F.concat(F.lit("q"), "id").alias("query_id"),
        _at(number * EVENTS_PER_SEARCH, log).alias("ts"),
        _shopper(number, log).alias("user_id"),
        F.concat(F.lit("query "), F.pmod(_asked(number, log), F.lit(QUERIES))).alias("query"),
        shown.alias("slate"),
        F.concat(F.lit("s"), "id").alias("session_id"),
        F.lit("desktop").alias("device"),
    )


def log_items(spark: SparkSession, log: Log) -> DataFrame:
    """The catalogue, which does not change."""
    item = F.col("id")
    words = [F.concat(F.lit("word"), _one_of(f"word {n}", item, WORDS)) for n in range(3)]
    category, leaf = _one_of("category", item, CATEGORIES), _one_of("leaf", item, LEAVES)
    return _numbers(spark, log.items).select(
        F.concat(F.lit("i"), "id").alias("item_id"),
        F.concat_ws(" ", *words).alias("title"),
        F.concat(F.lit("brand "), _one_of("brand", item, BRANDS)).alias("brand"),
        F.concat(F.lit("category "), category, F.lit(" > leaf "), leaf).alias("category"),
        (1.0 + F.pow(F.lit(2.0), _one_of("price", item, PRICES))).alias("price"),
        F.concat(F.lit("seller "), _one_of("seller", item, SELLERS)).alias("seller"),
        F.lit(True).alias("in_stock"),
        F.lit(datetime.combine(FIRST_DAY, time(), UTC)).alias("updated_at"),
    )


def uniform(purpose: str, number: Column) -> Column:
    """A number in [0, 1) that belongs to the purpose and the row's number."""
    return F.pmod(F.xxhash64(F.lit(purpose), number), F.lit(1 << 53)) / F.lit(float(1 << 53))


def zipf(many: int, drawn: Column) -> Column:
    """A rank 0..many-1, rank r in proportion to log((r + 2) / (r + 1)): about 1 / (r + 1)."""
    return (F.floor(F.pow(F.lit(float(many + 1)), drawn)) - 1).cast("long")


def _one_of(purpose: str, number: Column, many: int) -> Column:
    return F.pmod(F.xxhash64(F.lit(purpose), number), F.lit(many))


def _numbers(spark: SparkSession, many: int) -> DataFrame:
    return spark.range(0, many, 1, ceil(many / ROWS_PER_FILE))


def _at(event: Column, log: Log) -> Column:
    """The time of an event number: they are spread evenly over the days."""
    step = DAYS * 86_400_000_000 // log.events
    first = int(datetime.combine(FIRST_DAY, time(), UTC).timestamp()) * 1_000_000
    return F.timestamp_micros(F.lit(first) + event.cast("long") * F.lit(step))


def _shopper(search: Column, log: Log) -> Column:
    drawn = F.pow(uniform("shopper", search), F.lit(SHOPPER_SKEW))
    number = F.floor(drawn * log.shoppers)
    return F.concat(F.lit("c"), F.when(uniform("super", search) < log.super_user, F.lit(0)).otherwise(number))


def _asked(search: Column, log: Log) -> Column:
    return zipf(log.items, uniform("asked", search))


def _shown(search: Column, place: Column, log: Log) -> Column:
    return F.concat(F.lit("i"), F.pmod(_asked(search, log) + place, F.lit(log.items)))
