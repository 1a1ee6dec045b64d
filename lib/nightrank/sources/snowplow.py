"""The convention of Snowplow's e-commerce plugin: enriched events as JSON lines or Parquet.

An event is an e-commerce action with its product entities. There is no query id: a search is a `list_view` of a
search term, what a site search of its session last asked for, or what the list's name says in quotes (`Search results:
"red shoes"`); an action belongs to the session's last search that showed its product.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.contract import DOUBLE, INT, STRING, STRINGS, TIME, columns, rows
from nightrank.sources.canonical import read_catalogue, read_catalogue_lines
from nightrank.sources.lists import LISTED, listed_searches, rows_of_items, with_query_ids
from nightrank.sources.parsing import filled
from nightrank.sources.reading import Arrivals, arriving
from nightrank.sources.seen_items import seen_items
from nightrank.sources.tabular import Shape, read_shaped
from nightrank.tables import ANONYMOUS, RAW_EVENT_LINES, RAW_EVENTS, RAW_SEARCHES

ACTIONS = {"product_view": "view", "list_click": "click", "add_to_cart": "cart", "transaction": "buy"}
LIST_VIEW = "list_view"
VENDOR = "com_snowplowanalytics_snowplow"
ACTION = f"unstruct_event_{VENDOR}_ecommerce_snowplow_ecommerce_action_1"
PRODUCTS = f"contexts_{VENDOR}_ecommerce_product_1"
SITE_SEARCH = f"unstruct_event_{VENDOR}_site_search_1"
PRODUCT = {
    "id": STRING, "name": STRING, "brand": STRING, "category": STRING, "price": DOUBLE, "quantity": DOUBLE,
    "position": INT,
}  # fmt: skip
ENRICHED = Shape(
    columns(
        event_id=STRING, collector_tstamp=TIME, derived_tstamp=TIME, user_id=STRING, domain_userid=STRING,
        domain_sessionid=STRING, dvce_type=STRING,
        **{ACTION: columns(type=STRING, name=STRING), PRODUCTS: rows(**PRODUCT), SITE_SEARCH: columns(terms=STRINGS)},
    ),
    required=frozenset({"event_id", "collector_tstamp", ACTION, PRODUCTS}),
    required_inside=frozenset({"type", "id"}),
)  # fmt: skip
QUOTED = '["\u201c]([^"\u201d]+)["\u201d]'
# A session, and a run of pages of one search, may have begun on the day before.
CONTEXT_DAYS = 1


def read_events(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_EVENTS: a row a product of each event whose type is in ACTIONS, and every row that cannot be read.

    Where an event names several products, each has the event's id with its place among them.
    """
    enriched = _enriched(spark, config, asked)
    searches = listed_searches(_listed(enriched, config), config.source.search_window_seconds)
    events = _product_events(enriched.where(F.col("arrived") >= F.lit(asked.first)))
    seconds = round(config.searches.attribution_hours * 3600)
    return with_query_ids(events, searches, seconds).select(*RAW_EVENTS.names)


def read_event_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_EVENT_LINES: an event becomes a row for each of its products; events of other types are no rows."""
    enriched = _enriched(spark, config, asked).where(F.col("arrived") >= F.lit(asked.first))
    return enriched.withColumn("event_rows", rows_of_items(_is_behaviour(), PRODUCTS)).select(*RAW_EVENT_LINES.names)


def read_searches(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_SEARCHES from the lists that were shown for a search term; see lists.py."""
    searches = listed_searches(_listed(_enriched(spark, config, asked), config), config.source.search_window_seconds)
    return searches.where(F.col("arrived") >= F.lit(asked.first)).select(*RAW_SEARCHES.names)


def read_items(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_ITEMS from the catalogue's JSON lines; without one, from the events' product entities."""
    if config.source.items is not None:
        return read_catalogue(spark, config, asked, "json")
    enriched = _enriched(spark, config, asked).where(F.col("arrived") >= F.lit(asked.first))
    product = enriched.select("ts", "arrived", F.explode(PRODUCTS).alias("product"))
    path = F.array_join(F.transform(F.split("product.category", "[/>]"), F.trim), " > ")
    return seen_items(
        product.select(
            filled(F.col("product.id")).alias("item_id"),
            "ts",
            "arrived",
            filled(F.col("product.name")).alias("title"),
            filled(F.col("product.brand")).alias("brand"),
            filled(path).alias("category"),
            F.when(~F.isnan("product.price"), F.col("product.price")).alias("price"),
        )
    )


def read_item_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_ITEM_LINES of the catalogue; none without one, as an item is then made of many lines."""
    return read_catalogue_lines(spark, config, asked, "json")


def looks_back(_: Config) -> int:
    """How many days before its first night a run reads logs of."""
    return CONTEXT_DAYS


def _enriched(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """Events of the nights asked for and of the context's days before them."""
    source = config.source
    wider = replace(asked, first=asked.first - timedelta(days=CONTEXT_DAYS))
    found = read_shaped(spark, source.format, source.events, ENRICHED, wider, source.allow_empty)
    cookie, session = filled(F.col("domain_userid")), filled(F.col("domain_sessionid"))
    known = found.withColumns(
        {
            "ts": F.coalesce("derived_tstamp", "collector_tstamp"),
            "user_id": F.coalesce(filled(F.col("user_id")), cookie, F.lit(ANONYMOUS)),
            "session_id": session,
            "session_key": F.coalesce(session, cookie),
            "type": F.col(ACTION)["type"],
            "list_name": filled(F.col(ACTION)["name"]),
        }
    )
    return arriving(known, wider)


def _product_events(enriched: DataFrame) -> DataFrame:
    """RAW_EVENTS but query_id, with session_key and list_name: a row a product of each event."""
    named = F.create_map(*[F.lit(word) for pair in ACTIONS.items() for word in pair])
    each = enriched.where(_is_behaviour()).select("*", F.posexplode_outer(PRODUCTS).alias("place", "product"))
    further = F.concat_ws(":", filled(F.col("event_id")), "place")
    return each.select(
        F.when(F.coalesce("place", F.lit(0)) == 0, filled(F.col("event_id"))).otherwise(further).alias("event_id"),
        "ts",
        "user_id",
        named[F.col("type")].alias("action"),
        filled(F.col("product.id")).alias("item_id"),
        "session_id",
        "session_key",
        F.when(F.col("type") == "list_click", F.col("list_name")).alias("list_name"),
        "product.quantity",
        "product.price",
        F.lit(None).cast(DOUBLE).alias("rating"),
        F.lower("dvce_type").alias("device"),
        "arrived",
        "problems",
        "source_file",
    )


def _is_behaviour() -> Column:
    return F.col("type").isin(*ACTIONS) | (F.col("type").isNull() & (F.size("problems") > 0))


def _listed(enriched: DataFrame, config: Config) -> DataFrame:
    """LISTED rows: lists that are search results, and terms that were searched for."""
    lists = (F.col("type") == LIST_VIEW) & F.coalesce(
        F.col("list_name").rlike(config.source.search_lists), F.lit(False)
    )
    searched = filled(F.array_join(F.col(SITE_SEARCH)["terms"], " "))
    quoted = filled(F.regexp_extract("list_name", QUOTED, 1))
    shown = F.when(lists, F.filter(PRODUCTS, lambda product: F.trim(product["id"]) != ""))
    products = F.coalesce(shown, F.array().cast(ENRICHED.columns[PRODUCTS].dataType))
    told = (lists | searched.isNotNull()) & F.col("session_key").isNotNull() & (F.size("problems") == 0)
    return (
        enriched.where(F.coalesce(told, F.lit(False)))
        .select(
            "ts",
            "session_key",
            "session_id",
            "user_id",
            F.when(lists, F.col("list_name")).alias("list_name"),
            F.when(lists, quoted).otherwise(searched).alias("term"),
            F.transform(products, lambda product: product["id"]).alias("item_ids"),
            F.transform(products, lambda product: product["position"]).alias("indexes"),
            F.lower("dvce_type").alias("device"),
            "arrived",
        )
        .select(*LISTED.names)
    )
