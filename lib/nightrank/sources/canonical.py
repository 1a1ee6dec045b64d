"""The canonical convention: the shapes of events, searches and items as they are, in Parquet, JSON lines or CSV."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nightrank.config import Config
from nightrank.contract import DATE, STRINGS, columns
from nightrank.errors import ConfigError, ContractError
from nightrank.sources.parsing import fits, from_text, twin, widened
from nightrank.sources.reading import Arrivals, arriving
from nightrank.sources.tabular import read_parquet, read_text_columns, require_columns
from nightrank.tables import CATALOGUE, EVENT, RAW_EVENTS, RAW_ITEMS, RAW_SEARCHES, SEARCH

REQUIRED = {
    "events": frozenset({"ts", "user_id", "action", "item_id"}),
    "searches": frozenset({"query_id", "ts", "user_id", "query", "slate"}),
    "items": frozenset({"item_id", "title"}),
}
IN_SLATE = frozenset({"item_id", "position"})


def read_events(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_EVENTS; an event without event_id gets a hash of its columns, so that a repeated row is a duplicate."""
    shape = columns(**EVENT)
    rows = arriving(_read(spark, config, config.source.format, config.source.events, "events", shape, asked), asked)
    told = F.to_json(F.struct(*[name for name in EVENT if name != "event_id"]))
    return rows.withColumn("event_id", F.coalesce("event_id", F.sha2(told, 256))).select(*RAW_EVENTS.names)


def read_searches(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_SEARCHES; empty where the config names no searches."""
    if config.source.searches is None:
        return spark.createDataFrame([], RAW_SEARCHES)
    rows = _read(spark, config, config.source.format, config.source.searches, "searches", columns(**SEARCH), asked)
    return arriving(rows, asked).withColumn("derived", F.coalesce("derived", F.lit(False))).select(*RAW_SEARCHES.names)


def read_items(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_ITEMS, in the source's own format."""
    return read_catalogue(spark, config, asked, config.source.format)


def read_catalogue(spark: SparkSession, config: Config, asked: Arrivals, form: str) -> DataFrame:
    """RAW_ITEMS from files of `form`. A static catalogue arrives whole every night: the newest version of an item wins.

    Raises ConfigError where the config names no items.
    """
    if config.source.items is None:
        raise ConfigError("source.items: expected a path for this convention, found null. Name the catalogue's files.")
    rows = _read(spark, config, form, config.source.items, "items", columns(**CATALOGUE), asked)
    return rows.withColumn("arrived", F.coalesce("night", F.lit(asked.last))).select(*RAW_ITEMS.names)


def _read(
    spark: SparkSession, config: Config, form: str, template: str, kind: str, shape: T.StructType, asked: Arrivals
) -> DataFrame:
    if form == "parquet":
        rows = read_parquet(spark, template, shape, asked, config.source.allow_empty)
        require_columns(rows, REQUIRED[kind], template)
        return _taken(rows, shape, template)
    rows = read_text_columns(spark, form, template, shape, asked, config.source.allow_empty)
    if rows.columns != ["_bad", "night"]:
        require_columns(rows, REQUIRED[kind], template)
    absent = {name: F.lit(None).cast(twin(shape[name].dataType)) for name in shape.names if name not in rows.columns}
    return from_text(rows.withColumns(absent), shape)


def _taken(rows: DataFrame, shape: T.StructType, template: str) -> DataFrame:
    there = {field.name: field.dataType for field in rows.schema.fields}
    wrong = [
        f"{field.name}: expected {field.dataType.simpleString()}, found {there[field.name].simpleString()}"
        for field in shape.fields
        if field.name in there and not fits(there[field.name], field.dataType, IN_SLATE)
    ]
    if wrong:
        raise ContractError(
            f"Source '{template}' cannot be used: {'; '.join(wrong)}. Write the columns in these types."
        )
    values = [
        widened(F.col(field.name), there[field.name], field.dataType).alias(field.name)
        if field.name in there
        else F.lit(None).cast(field.dataType).alias(field.name)
        for field in shape.fields
    ]
    return rows.select(*values, F.array().cast(STRINGS).alias("problems"), F.col("night").cast(DATE).alias("night"))
