"""The convention of Google Analytics 4's BigQuery export: one row an event, as JSON lines or Parquet.

There is no query id: a search is a `view_item_list` of a search term, the list's own or the last one that its session
saw results for (`view_search_results`); an action belongs to the session's last search that showed its item. Day
tables are rewritten for some days, so they are read again for source.rewritten_days: what is new there arrives
tonight, what was seen before is a duplicate.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.contract import DOUBLE, LONG, STRING, columns, rows
from nightrank.sources.canonical import read_catalogue, read_catalogue_lines
from nightrank.sources.lists import LISTED, listed_searches, rows_of_items, with_query_ids
from nightrank.sources.parsing import filled
from nightrank.sources.reading import Arrivals, arriving, is_dated
from nightrank.sources.seen_items import seen_items
from nightrank.sources.tabular import Shape, read_shaped
from nightrank.tables import ANONYMOUS, RAW_EVENT_LINES, RAW_EVENTS, RAW_SEARCHES

ACTIONS = {
    "view_item": "view", "select_item": "click", "add_to_cart": "cart", "purchase": "buy", "add_to_wishlist": "like",
    "share": "share",
}  # fmt: skip
SEARCHED, LISTED_ITEMS = "view_search_results", "view_item_list"
CATEGORIES = ("item_category", *(f"item_category{level}" for level in range(2, 6)))
VALUE = columns(string_value=STRING, int_value=LONG, float_value=DOUBLE, double_value=DOUBLE)
ITEM = {
    "item_id": STRING, "item_name": STRING, "item_brand": STRING, **dict.fromkeys(CATEGORIES, STRING),
    "price": DOUBLE, "quantity": DOUBLE, "item_list_id": STRING, "item_list_name": STRING, "item_list_index": STRING,
}  # fmt: skip
EXPORT = Shape(
    columns(
        event_timestamp=LONG, event_name=STRING, event_params=rows(key=STRING, value=VALUE), user_id=STRING,
        user_pseudo_id=STRING, device=columns(category=STRING), items=rows(**ITEM),
    ),
    required=frozenset({"event_timestamp", "event_name", "items"}),
    required_inside=frozenset({"item_id"}),
)  # fmt: skip
# A session, and a run of pages of one search, may have begun on the day before.
CONTEXT_DAYS = 1


def read_events(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_EVENTS: a row an item of each event whose name is in ACTIONS, and every row that cannot be read.

    The export has no event id: it is a hash of what the row says of the item, and the item's place in it.
    """
    export = _export(spark, config, asked, config.source.rewritten_days)
    searches = listed_searches(_listed(export, config), config.source.search_window_seconds)
    events = _item_events(_of_nights(export, asked, config))
    seconds = round(config.searches.attribution_hours * 3600)
    return with_query_ids(events, searches, seconds).select(*RAW_EVENTS.names)


def read_event_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_EVENT_LINES: a row of the export becomes one for each of its items; events of other names are no rows."""
    export = _of_nights(_export(spark, config, asked, config.source.rewritten_days), asked, config)
    return export.withColumn("event_rows", rows_of_items(_is_behaviour(), "items")).select(*RAW_EVENT_LINES.names)


def read_searches(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_SEARCHES from the lists that were shown for a search term; see lists.py."""
    export = _export(spark, config, asked, 0)
    searches = listed_searches(_listed(export, config), config.source.search_window_seconds)
    return searches.where(F.col("arrived") >= F.lit(asked.first)).select(*RAW_SEARCHES.names)


def read_items(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_ITEMS from the catalogue's JSON lines; without one, from what events say of their items."""
    if config.source.items is not None:
        return read_catalogue(spark, config, asked, "json")
    item = _export(spark, config, asked, 0).select("ts", "arrived", F.explode("items").alias("item"))
    path = F.concat_ws(" > ", *[filled(F.col(f"item.{level}")) for level in CATEGORIES])
    return seen_items(
        item.where(F.col("arrived") >= F.lit(asked.first)).select(
            filled(F.col("item.item_id")).alias("item_id"),
            "ts",
            "arrived",
            filled(F.col("item.item_name")).alias("title"),
            filled(F.col("item.item_brand")).alias("brand"),
            filled(path).alias("category"),
            F.when(~F.isnan("item.price"), F.col("item.price")).alias("price"),
        )
    )


def read_item_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_ITEM_LINES of the catalogue; none without one, as an item is then made of many lines."""
    return read_catalogue_lines(spark, config, asked, "json")


def looks_back(config: Config) -> int:
    """How many days before its first night a run reads day tables of."""
    return config.source.rewritten_days + CONTEXT_DAYS


def _export(spark: SparkSession, config: Config, asked: Arrivals, days: int) -> DataFrame:
    """Rows of the day tables of the nights asked for, and of `days` and the context's before them."""
    source = config.source
    wider = replace(asked, first=asked.first - timedelta(days=days + CONTEXT_DAYS))
    found = read_shaped(spark, source.format, source.events, EXPORT, wider, source.allow_empty)
    pseudo, session = filled(F.col("user_pseudo_id")), _parameter("ga_session_id")
    with_ids = found.withColumns(
        {
            "ts": F.timestamp_micros("event_timestamp"),
            # A session's number is its user's own; where no cookie was allowed there is neither.
            "session_id": F.when(pseudo.isNotNull() & session.isNotNull(), F.concat_ws(".", pseudo, session)),
            "user_id": F.coalesce(filled(F.col("user_id")), pseudo, F.lit(ANONYMOUS)),
            "term": filled(_parameter("search_term")),
        }
    )
    rows_of_days = arriving(with_ids.withColumn("session_key", F.coalesce("session_id", pseudo)), wider)
    # A day table ends with the shop's day: west of Greenwich its last hours are the next day's, and arrive with that.
    next_day = F.date_add("arrived", 1)
    return rows_of_days.withColumn("arrived", F.when(F.to_date("ts") == next_day, next_day).otherwise(F.col("arrived")))


def _item_events(export: DataFrame) -> DataFrame:
    """RAW_EVENTS but query_id, with session_key and list_name: a row an item of each event."""
    named = F.create_map(*[F.lit(word) for pair in ACTIONS.items() for word in pair])
    each = export.where(_is_behaviour()).select("*", F.posexplode_outer("items").alias("place", "item"))
    told = F.to_json(F.struct("ts", "session_key", "event_name", "item", "place", "problems"))
    return each.select(
        F.sha2(told, 256).alias("event_id"),
        "ts",
        "user_id",
        named[F.col("event_name")].alias("action"),
        filled(F.col("item.item_id")).alias("item_id"),
        "session_id",
        "session_key",
        _list_name(F.col("item")).alias("list_name"),
        "item.quantity",
        "item.price",
        F.lit(None).cast(DOUBLE).alias("rating"),
        F.col("device.category").alias("device"),
        "arrived",
        "problems",
        "source_file",
    )


def _is_behaviour() -> Column:
    return F.col("event_name").isin(*ACTIONS) | F.col("event_name").isNull()


def _of_nights(export: DataFrame, asked: Arrivals, config: Config) -> DataFrame:
    """Rows of the nights asked for, and of day tables what is read again, which arrives now."""
    again = config.source.rewritten_days if is_dated(config.source.events) else 0
    since = asked.first - timedelta(days=again)
    kept = export.where(F.col("arrived") >= F.lit(since))
    return kept.withColumn("arrived", F.greatest("arrived", F.lit(asked.first)))


def _listed(export: DataFrame, config: Config) -> DataFrame:
    """LISTED rows: lists that are search results, and terms that results were seen for."""
    lists = (F.col("event_name") == LISTED_ITEMS) & (F.col("term").isNotNull() | _is_search_list(config))
    terms = (F.col("event_name") == SEARCHED) & F.col("term").isNotNull()
    shown = F.when(lists, F.filter("items", lambda item: F.trim(item["item_id"]) != ""))
    items = F.coalesce(shown, F.array().cast(EXPORT.columns["items"].dataType))
    told = export.where((lists | terms) & F.col("session_key").isNotNull() & (F.size("problems") == 0))
    return told.select(
        "ts",
        "session_key",
        "session_id",
        "user_id",
        _list_name(F.get("items", F.lit(0))).alias("list_name"),
        "term",
        F.transform(items, lambda item: item["item_id"]).alias("item_ids"),
        F.transform(items, lambda item: item["item_list_index"].try_cast("int")).alias("indexes"),
        F.col("device.category").alias("device"),
        "arrived",
    ).select(*LISTED.names)


def _is_search_list(config: Config) -> Column:
    return F.coalesce(_list_name(F.get("items", F.lit(0))).rlike(config.source.search_lists), F.lit(False))


def _list_name(item: Column) -> Column:
    """The name of the item's list, else its id, else that of its event."""
    own = [filled(item["item_list_name"]), filled(item["item_list_id"])]
    return F.coalesce(*own, *[filled(_parameter(name)) for name in ("item_list_name", "item_list_id")])


def _parameter(name: str) -> Column:
    found = F.get(F.filter("event_params", lambda one: one["key"] == name), F.lit(0))["value"]
    return F.coalesce(found["string_value"], found["int_value"].cast(STRING))
