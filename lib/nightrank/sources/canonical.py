"""The canonical convention: the shapes of events, searches and items as they are, in Parquet, JSON lines or CSV."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.contract import columns
from nightrank.errors import ConfigError
from nightrank.sources.reading import Arrivals, arriving, read_lines
from nightrank.sources.tabular import Shape, read_shaped
from nightrank.tables import (
    CATALOGUE,
    EVENT,
    RAW_EVENT_LINES,
    RAW_EVENTS,
    RAW_ITEM_LINES,
    RAW_ITEMS,
    RAW_SEARCH_LINES,
    RAW_SEARCHES,
    SEARCH,
)  # fmt: skip

SHAPES = {
    "events": Shape(columns(**EVENT), required=frozenset({"ts", "user_id", "action", "item_id"})),
    "searches": Shape(
        columns(**SEARCH),
        required=frozenset({"query_id", "ts", "user_id", "query", "slate"}),
        required_inside=frozenset({"item_id", "position"}),
    ),
    "items": Shape(columns(**CATALOGUE), required=frozenset({"item_id", "title"})),
}


def read_events(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_EVENTS; an event without event_id gets a hash of its columns, so that a repeated row is a duplicate."""
    told = F.to_json(F.struct(*[name for name in EVENT if name != "event_id"]))
    known = F.coalesce("event_id", F.sha2(told, 256))
    return _rows_of_events(spark, config, asked).withColumn("event_id", known).select(*RAW_EVENTS.names)


def read_event_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_EVENT_LINES: each line is an event."""
    rows = _rows_of_events(spark, config, asked).withColumn("event_rows", F.lit(1))
    return rows.select(*RAW_EVENT_LINES.names)


def _rows_of_events(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    source = config.source
    rows = read_shaped(spark, source.format, source.events, SHAPES["events"], asked, source.allow_empty)
    return arriving(rows, asked)


def read_searches(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_SEARCHES; empty where the config names no searches."""
    if config.source.searches is None:
        return spark.createDataFrame([], RAW_SEARCHES)
    rows = _rows_of_searches(spark, config, config.source.searches, asked)
    return rows.withColumn("derived", F.coalesce("derived", F.lit(False))).select(*RAW_SEARCHES.names)


def read_search_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_SEARCH_LINES: each line is a search."""
    if config.source.searches is None:
        return spark.createDataFrame([], RAW_SEARCH_LINES)
    rows = _rows_of_searches(spark, config, config.source.searches, asked)
    return rows.withColumn("search_rows", F.lit(1)).select(*RAW_SEARCH_LINES.names)


def _rows_of_searches(spark: SparkSession, config: Config, path: str, asked: Arrivals) -> DataFrame:
    source = config.source
    return arriving(read_shaped(spark, source.format, path, SHAPES["searches"], asked, source.allow_empty), asked)


def read_items(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_ITEMS, in the source's own format."""
    return read_catalogue(spark, config, asked, config.source.format)


def read_item_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_ITEM_LINES, in the source's own format."""
    return read_catalogue_lines(spark, config, asked, config.source.format)


def read_catalogue(spark: SparkSession, config: Config, asked: Arrivals, form: str) -> DataFrame:
    """RAW_ITEMS from files of `form`. A static catalogue arrives whole every night: the newest version of an item wins.

    Raises ConfigError where the config names no items.
    """
    if config.source.items is None:
        raise ConfigError("source.items: expected a path for this convention, found null. Name the catalogue's files.")
    rows = read_shaped(spark, form, config.source.items, SHAPES["items"], asked, config.source.allow_empty)
    return rows.withColumn("arrived", _arrived(asked)).select(*RAW_ITEMS.names)


def read_catalogue_lines(spark: SparkSession, config: Config, asked: Arrivals, form: str) -> DataFrame:
    """RAW_ITEM_LINES of files of `form`: each line is a version of an item; none where the config names no items."""
    path, allow_empty = config.source.items, config.source.allow_empty
    if path is None:
        return spark.createDataFrame([], RAW_ITEM_LINES)
    if form == "json":  # what a line says need not be known to count it
        rows = read_lines(spark, path, asked, allow_empty)
    else:
        rows = read_shaped(spark, form, path, SHAPES["items"], asked, allow_empty)
    return rows.withColumns({"arrived": _arrived(asked), "item_rows": F.lit(1)}).select(*RAW_ITEM_LINES.names)


def _arrived(asked: Arrivals) -> Column:
    return F.coalesce("night", F.lit(asked.last))
