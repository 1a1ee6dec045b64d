"""The convention of a shop without search logs: purchase lines by the column map `source.order_columns`.

Lines with a quantity or a price of 0 or less are returns, gifts and corrections, not purchases: they are no rows, and
so are lines of source.drop_user_ids. source.searches and source.items are not read.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nightrank.config import Config
from nightrank.contract import DOUBLE, INT, STRING, STRINGS
from nightrank.errors import ConfigError
from nightrank.sources.derived_searches import derived_searches
from nightrank.sources.parsing import LINE_PROBLEMS, ill_typed, moment, problems, typed
from nightrank.sources.reading import Arrivals, arriving
from nightrank.sources.tabular import read_parquet, read_text_columns, require_columns
from nightrank.steps.text import head_noun
from nightrank.tables import CATALOGUE, EVENT, RAW_EVENT_LINES, RAW_EVENTS, RAW_ITEMS, RAW_SEARCHES

NEEDED = ("order_id", "item_id", "user_id", "ts")
NAMES = (*NEEDED, "quantity", "price", "title", "description", "category", "brand")
# Recent popularity, the base score of a derived search, counts the purchases of this many days.
POPULARITY_DAYS = 14


def read_events(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_EVENTS: each purchase line as a `buy` of the search that may be derived from it.

    Lines have no id: two lines alike in everything are one event and its duplicate.
    """
    lines = _lines(spark, config, asked)
    told = F.to_json(F.struct("order_id", "item_id", "user_id", "ts", "quantity", "price"))
    made = {
        "event_id": F.sha2(told, 256),
        "action": F.lit("buy"),
        "query_id": search_id(),
        "session_id": F.col("order_id"),
    }
    unsaid = {name: F.lit(None).cast(kind) for name, kind in EVENT.items() if name not in {*lines.columns, *made}}
    return lines.withColumns({**made, **unsaid}).select(*RAW_EVENTS.names)


def read_event_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_EVENT_LINES: returns, gifts and lines of source.drop_user_ids are no rows."""
    return _all_lines(spark, config, asked).select(*RAW_EVENT_LINES.names)


def read_items(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_ITEMS: what the latest line with a title says of each item; without a category, its title's head noun.

    An item that no line names keeps its id for a title, until one does.
    """
    lines = _lines(spark, config, asked)
    said = [F.col(name) for name in ("title", "description", "category", "brand", "price")]
    updated = F.when(F.col("title").isNotNull(), F.col("ts")).alias("updated_at")
    newest = F.max(F.struct(updated, *said, "order_id", "arrived")).alias("newest")
    items = lines.filter("item_id IS NOT NULL").groupBy("item_id").agg(newest).select("item_id", "newest.*")
    known = {
        "title": F.coalesce("title", "item_id"),
        "category": F.coalesce("category", head_noun(F.col("title"), config.words)),
        "problems": F.array().cast(STRINGS),
    }
    columns = {**CATALOGUE, "source_file": STRING}
    unsaid = {name: F.lit(None).cast(kind) for name, kind in columns.items() if name not in items.columns}
    return items.withColumns({**known, **unsaid}).select(*RAW_ITEMS.names)


def read_searches(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_SEARCHES derived from purchases, marked so; see derived_searches."""
    before = replace(asked, first=asked.first - timedelta(days=POPULARITY_DAYS))
    lines = _lines(spark, config, before).filter(F.size("problems") == 0).withColumn("query_id", search_id())
    named = lines.withColumn("category", F.coalesce("category", head_noun(F.col("title"), config.words)))
    return derived_searches(named, asked.first, POPULARITY_DAYS, config.searches).select(*RAW_SEARCHES.names)


def looks_back(_: Config) -> int:
    """How many days before its first night a run reads purchases of."""
    return POPULARITY_DAYS


def search_id() -> Column:
    """The id of the search that a purchase line may become; its event names it."""
    return F.concat_ws(":", F.lit("order"), "order_id", "item_id")


def _lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """Purchase lines, typed: NAMES, problems, arrived, source_file."""
    return _all_lines(spark, config, asked).filter("event_rows = 1")


def _all_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """Every line, typed: NAMES, problems, arrived, source_file, and whether it is a purchase (event_rows 1, else 0)."""
    amounts = {name: typed(F.col(name), DOUBLE) for name in ("quantity", "price")}
    ill = [ill_typed(F.col(name), DOUBLE) for name in amounts]
    time = _time(config.source.time_format)
    ids = {name: F.regexp_replace(F.trim(name), r"^(\d+)\.0+$", "$1") for name in ("order_id", "item_id", "user_id")}
    named = _text_lines(spark, config, asked).withColumn("wanted", _is_wanted(config))
    lines = (
        named.withColumn("problems", problems(*ill, F.col("ts").isNotNull() & time.isNull()))
        .withColumns({**amounts, **ids, "ts": time})
        .withColumn("event_rows", (F.col("wanted") & _is_wanted(config) & _is_purchase()).cast(INT))
    )
    return arriving(lines, asked).select(*NAMES, "problems", "arrived", "source_file", "event_rows")


def _is_wanted(config: Config) -> Column:
    return ~F.coalesce(F.col("user_id").isin(*config.source.drop_user_ids), F.lit(False))


def _is_purchase() -> Column:
    return F.coalesce(F.col("quantity") > 0, F.lit(True)) & F.coalesce(F.col("price") > 0, F.lit(True))


def _text_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    source = config.source
    lacking = [name for name in NEEDED if name not in source.order_columns]
    strange = [name for name in source.order_columns if name not in NAMES]
    if lacking or strange:
        raise ConfigError(
            f"source.order_columns: expected {', '.join(NEEDED)} and any of {', '.join(NAMES[4:])}; "
            f"lacking: {', '.join(lacking) or 'none'}, unknown: {', '.join(strange) or 'none'}."
        )
    shape = T.StructType([T.StructField(actual, STRING) for actual in source.order_columns.values()])
    if source.format == "parquet":
        rows = read_parquet(spark, source.events, shape, asked, source.allow_empty)
        rows = rows.withColumn(LINE_PROBLEMS, F.array().cast(STRINGS))
    else:
        rows = read_text_columns(spark, source.format, source.events, shape, asked, source.allow_empty)
    require_columns(rows, frozenset(shape.names), source.events)
    absent = [F.lit(None).cast(STRING).alias(name) for name in NAMES if name not in source.order_columns]
    named = [_as_text(rows, actual).alias(name) for name, actual in source.order_columns.items()]
    return rows.select(*named, *absent, LINE_PROBLEMS, "night", "source_file")


def _as_text(rows: DataFrame, name: str) -> Column:
    # As a string 12345678.0 would be 1.2345678E7.
    if isinstance(rows.schema[name].dataType, (T.DoubleType, T.FloatType)):
        whole = F.when(F.col(name) == F.floor(name), F.col(name).try_cast("bigint").cast(STRING))
        return F.coalesce(whole, F.col(name).cast(STRING))
    return F.col(name).cast(STRING)


def _time(form: str | None) -> Column:
    text = F.col("ts")
    return moment(text) if form is None else F.coalesce(F.try_to_timestamp(text, F.lit(form)), moment(text))
