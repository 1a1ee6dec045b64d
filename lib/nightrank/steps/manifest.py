"""manifest: each file of events, searches and items as it was delivered, its lines, and what became of each row."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial, reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.contract import LONG, STRINGS
from nightrank.nights import Night
from nightrank.spans import attribution_nights
from nightrank.steps.items import is_taken
from nightrank.steps.searches import closing_night
from nightrank.tables import MANIFEST

FILE = ("run_date", "input", "source_file")
COUNTS = tuple(field.name for field in MANIFEST.columns.fields if field.dataType == LONG)


def build_manifest(
    raw_event_lines: DataFrame,
    raw_search_lines: DataFrame,
    raw_item_lines: DataFrame,
    events: DataFrame,
    searches: DataFrame,
    items: DataFrame,
    attributed_events: DataFrame,
    closed_searches: DataFrame,
    night: Night,
    config: Config,
) -> DataFrame:
    """The table `manifest` with run_date: a row a file, what it was read as (`input`), and the night that took it in.

    That is the night of arrival for events, for a search the one in which its window closes, and for items the
    snapshot. raw_*_lines: counted apart from the rows that were made of them. events, searches, items: what stands of
    the night, accepted or not. lines = other_lines + those that hold rows; rows: how many they hold. Where nothing was
    lost and nothing came twice, rows = good + quarantined + duplicates: deliveries.py refuses a night where it is not.

    query_ids: accepted events (attributed_events) that name a search, told of on the night by which the windows of
    such searches have closed, so that one may arrive after its event; without_search: those whose search is none of
    closed_searches. They stay accepted: whoever clicked did click, whatever became of the search's own log, and only
    the gains of that search, which is not there, are made from the name. What a convention joins or derives is named
    by this program and not asked.
    """
    item_lines = raw_item_lines.where(is_taken(night, config))
    counted = (
        _lines("events", raw_event_lines, "event_rows", F.col("arrived")),
        _lines("searches", raw_search_lines, "search_rows", closing_night(config)),
        _lines("items", item_lines, "item_rows", F.lit(night.run_date)),
        _judged("events", events),
        _judged("searches", searches),
        _versions(items),
        _named(attributed_events, closed_searches, config),
    )
    every = reduce(partial(DataFrame.unionByName, allowMissingColumns=True), counted)
    return (
        every.where(F.col("run_date").between(F.lit(night.first_arrival), F.lit(night.run_date)))
        .where(F.col("source_file").isNotNull())  # what was made of many lines
        .groupBy(*FILE)
        # Rows of a file that no line was counted of are as wrong as lines without rows.
        .agg(
            F.coalesce(F.max("readable"), F.lit(False)).alias("readable"),
            *[F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in COUNTS],
        )
        .select(*MANIFEST.schema.names)
    )


def _lines(name: str, lines: DataFrame, rows: str, taken_in: Column) -> DataFrame:
    counts = {"lines": F.col(rows).isNotNull(), "other_lines": F.col(rows) == 0, "rows": F.col(rows)}
    return lines.select(*_file(name, taken_in), F.col(rows).isNotNull().alias("readable"), *_counts(counts))


def _judged(name: str, stored: DataFrame) -> DataFrame:
    """What became of rows that are stored each by itself."""
    only_repeated = F.col("reasons") == F.array(F.lit("duplicate"))
    became = {"good": F.col("accepted"), "quarantined": ~F.col("accepted") & ~only_repeated}
    return stored.select(*_file(name, F.col("run_date")), *_counts({**became, "duplicates": only_repeated}))


def _versions(items: DataFrame) -> DataFrame:
    """What became of versions of items: each is a duplicate but the one that stands."""
    files = F.coalesce("delivered_in", F.array().cast(STRINGS))
    standing = F.array(_became(F.col("source_file"), good=1, duplicates=-1))
    versions = F.concat(F.transform(files, lambda file: _became(file, duplicates=1)), standing)
    refused = F.array(_became(F.col("source_file"), quarantined=1))
    told = F.when(F.col("accepted"), versions).otherwise(refused)
    return items.select("run_date", F.lit("items").alias("input"), F.inline(told))


def _became(file: Column, good: int = 0, quarantined: int = 0, duplicates: int = 0) -> Column:
    counts = {"good": F.lit(good), "quarantined": F.lit(quarantined), "duplicates": F.lit(duplicates)}
    return F.struct(file.alias("source_file"), *_counts(counts))


def _named(events: DataFrame, searches: DataFrame, config: Config) -> DataFrame:
    """How many events of each file name a search, and how many of those one that never arrived."""
    same = events.where(F.trim("query_id") != "").groupBy("query_id", "run_date", "source_file")
    named = same.agg(F.count("*").alias("events"))
    there = searches.select("query_id").distinct().withColumn("there", F.lit(True))
    counts = {"query_ids": F.col("events"), "without_search": F.when(F.col("there").isNull(), F.col("events"))}
    told_in = F.date_add("run_date", attribution_nights(config).days)
    joined = named.join(there, on="query_id", how="left")
    return joined.select(*_file("events", told_in), F.lit(True).alias("readable"), *_counts(counts))


def _file(name: str, taken_in: Column) -> list[Column]:
    return [taken_in.alias("run_date"), F.lit(name).alias("input"), F.col("source_file")]


def _counts(counts: Mapping[str, Column]) -> list[Column]:
    return [count.cast(LONG).alias(name) for name, count in counts.items()]
