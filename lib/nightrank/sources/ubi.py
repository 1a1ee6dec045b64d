"""The convention of OpenSearch's User Behavior Insights: queries and events as JSON lines, in one file or two.

An event is a document with action_name, a query one without. A bulk file's action lines (`{"index": …}`) are no rows.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.contract import DOUBLE, INT, STRING, STRINGS, TIME, columns
from nightrank.sources.canonical import read_catalogue, read_catalogue_lines
from nightrank.sources.parsing import BAD, filled, ill_typed, moment, parsed_lines, problems, typed
from nightrank.sources.reading import Arrivals, arriving, read_lines
from nightrank.sources.seen_items import seen_items
from nightrank.sources.ubi_slates import HIT_IDS, quickly_typed, slate, slate_is_ill_typed, with_shown
from nightrank.steps.once import evaluated_once
from nightrank.tables import ANONYMOUS, RAW_EVENT_LINES, RAW_EVENTS, RAW_SEARCH_LINES, RAW_SEARCHES

ACTIONS = {
    "click": "click", "item_click": "click", "product_click": "click", "add_to_cart": "cart", "cart": "cart",
    "purchase": "buy", "buy": "buy", "checkout": "buy", "view": "view", "item_view": "view", "product_view": "view",
    "like": "like", "dislike": "dislike", "hide": "hide", "share": "share", "rate": "rate",
}  # fmt: skip
BULK = ("index", "create", "update", "delete")
OBJECT = columns(object_id=STRING, object_id_field=STRING, title=STRING, name=STRING, description=STRING)
EVENT_ATTRIBUTES = columns(
    session_id=STRING, quantity=DOUBLE, price=DOUBLE, rating=DOUBLE, device=STRING, object=OBJECT,
    position=columns(ordinal=STRING),
)  # fmt: skip
QUERY_ATTRIBUTES = columns(
    base_scores=STRINGS, sponsored=STRINGS, propensities=STRINGS, device=STRING, policy_id=STRING
)
DOCUMENT = columns(
    action_name=STRING, event_id=STRING, message_id=STRING, query_id=STRING, client_id=STRING, user_id=STRING,
    session_id=STRING, timestamp=TIME, user_query=STRING, application=STRING, query_attributes=QUERY_ATTRIBUTES,
    event_attributes=EVENT_ATTRIBUTES, **dict.fromkeys(HIT_IDS, STRINGS), **dict.fromkeys(BULK, STRING),
)  # fmt: skip
FIGURES = ("quantity", "price", "rating")


def read_events(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_EVENTS: every document with action_name, and every line that cannot be read, but impressions.

    An action that is not in ACTIONS stays as it is, for the contract to judge; so do events without an item.
    """
    figures = [F.col(f"event_attributes.{name}") for name in FIGURES]
    return (
        _lines(spark, config.source.events, asked, config)
        .filter(_is_behaviour(config))
        .withColumns({name: typed(text, DOUBLE) for name, text in zip(FIGURES, figures, strict=True)})
        .withColumn("problems", problems(_time_is_ill(), *[ill_typed(text, DOUBLE) for text in figures]))
        .withColumn("item_id", _item_id(config))
        .withColumn("user_id", _user())
        .withColumn("session_id", F.coalesce("session_id", "event_attributes.session_id"))
        .withColumn("device", F.col("event_attributes.device"))
        .withColumn("event_id", _event_id())
        .withColumn("action", _action())
        .select(*RAW_EVENTS.names)
    )


def read_event_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_EVENT_LINES: impressions, queries and a bulk file's actions are no rows.

    Parsed as whole as the events are: of a broken line a shorter document would tell other fields.
    """
    lines = _lines(spark, config.source.events, asked, config)
    return lines.withColumn("event_rows", _is_behaviour(config).cast(INT)).select(*RAW_EVENT_LINES.names)


def read_search_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_SEARCH_LINES: in a file that holds both, events are no rows."""
    lines = _lines(spark, config.source.searches or config.source.events, asked, config)
    is_query = _is_document() & ~_is_event(config) if _is_shared(config) else _is_document()
    return lines.withColumn("search_rows", is_query.cast(INT)).select(*RAW_SEARCH_LINES.names)


def read_item_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_ITEM_LINES of the catalogue; none without one, as an item is then made of many lines."""
    return read_catalogue_lines(spark, config, asked, "json")


def read_searches(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_SEARCHES: the slate is the query's hit ids, else its impressions by ordinal.

    Queries lie in source.searches, or among the events where that is null or names the same path.
    """
    path, shared = config.source.searches or config.source.events, _is_shared(config)
    documents = _documents(spark, path, asked, config)
    queries = documents.filter(~_is_event(config)) if shared else documents
    events = documents if shared else _documents(spark, config.source.events, asked, config)
    attributes = F.col("query_attributes")
    return (
        with_shown(queries, _with_impressions(events).withColumn("item_id", _item_id(config)))
        .select("*", evaluated_once(F.struct(quickly_typed(attributes).alias("quick"))))
        .withColumn("problems", problems(_time_is_ill(), slate_is_ill_typed(attributes, F.col("quick"))))
        .withColumn("slate", slate(F.col("shown"), attributes, F.col("quick")))
        .withColumn("user_id", _user())
        .withColumn("query", F.col("user_query"))
        .withColumn("device", attributes["device"])
        .withColumn("policy_id", attributes["policy_id"])
        .withColumn("derived", F.lit(False))
        .select(*RAW_SEARCHES.names)
    )


def read_items(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_ITEMS from the catalogue's JSON lines; without one, from what the events say about their objects.

    Such an item's title is the object's title, name or description, else its id; a version with a title counts as
    updated when it was seen, one without never replaces it.
    """
    if config.source.items is not None:
        return read_catalogue(spark, config, asked, "json")
    events = _documents(spark, config.source.events, asked, config).filter("action_name IS NOT NULL")
    known = F.lower("action_name").isin(*ACTIONS, *config.source.ignored_actions)
    said = F.col("event_attributes.object")
    title = F.coalesce(*[filled(said[name]) for name in ("title", "name", "description")])
    item = _item_id(config).alias("item_id")
    return seen_items(events.filter(known).select(item, title.alias("title"), "ts", "arrived"))


def _documents(spark: SparkSession, path: str, asked: Arrivals, config: Config) -> DataFrame:
    return _lines(spark, path, asked, config).filter(_is_document())


def _with_impressions(events: DataFrame) -> DataFrame:
    """The events, or none of them where none is an impression: many shops write the slate into the query.

    Only lines whose text mentions the word are parsed to see. With none of the events Spark has one `FileScan text` in
    the plan of a search, the queries'; with them it has three, for the base of the ordinals and for the impressions.
    """
    # In JSON any letter may also be written as \u0069.
    mentions = F.lower("value").contains("impression") | F.col("value").contains(r"\u")
    impressions = events.filter(mentions).filter(F.lower("action_name") == "impression")
    return events.limit(0) if impressions.isEmpty() else events


def _lines(spark: SparkSession, path: str, asked: Arrivals, config: Config) -> DataFrame:
    lines = parsed_lines(read_lines(spark, path, asked, config.source.allow_empty), DOCUMENT)
    return arriving(lines.withColumn("ts", moment(F.col("timestamp"))), asked)


def _is_document() -> Column:
    """Whether a line is more than a bulk file's action."""
    return F.coalesce(*BULK).isNull() | F.coalesce("action_name", "query_id", "user_query", BAD).isNotNull()


def _is_behaviour(config: Config) -> Column:
    ignored = F.coalesce(F.lower("action_name").isin(*config.source.ignored_actions), F.lit(False))
    return _is_document() & _is_event(config) & ~ignored


def _is_event(config: Config) -> Column:
    """In a shared file a document without action_name but with a query_id is a query; a broken line is an event."""
    return F.col("action_name").isNotNull() | F.col("query_id").isNull() if _is_shared(config) else F.lit(True)


def _is_shared(config: Config) -> bool:
    return config.source.searches in {None, config.source.events}


def _item_id(config: Config) -> Column:
    said = F.col("event_attributes.object")
    if config.source.object_id_field is None:
        return filled(said["object_id"])
    named = F.coalesce(said["object_id_field"] == config.source.object_id_field, F.lit(True))
    return F.when(named, filled(said["object_id"]))


def _user() -> Column:
    return F.coalesce(filled(F.col("client_id")), filled(F.col("user_id")), F.lit(ANONYMOUS))


def _event_id() -> Column:
    """The log's own id, else a hash of what the document says: a line sent twice is then a duplicate."""
    said = F.to_json(F.struct("user_id", "action_name", "query_id", "session_id", "timestamp", "event_attributes"))
    hashed = F.sha2(F.when(F.col(BAD).isNull(), said).otherwise(F.col("value")), 256)
    return F.coalesce(filled(F.col("event_id")), filled(F.col("message_id")), hashed)


def _action() -> Column:
    named = F.lower(F.trim("action_name"))
    names = F.create_map(*[F.lit(word) for pair in ACTIONS.items() for word in pair])
    return F.coalesce(F.try_element_at(names, named), named)


def _time_is_ill() -> Column:
    return ill_typed(F.col("timestamp"), TIME)
