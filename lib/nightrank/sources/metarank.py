"""The convention of Metarank: item, user, ranking and interaction events as JSON lines, in one log.

A ranking is a search where it has a field `query`; one without is a list that nobody searched for, and no row here. An
interaction names its ranking. Metadata of users are not read. An item event tells all that is known of its item.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nightrank.config import Config
from nightrank.contract import DOUBLE, FLAG, INT, LONG, STRING, TIME, columns, rows
from nightrank.sources.parsing import BAD, filled, ill_typed, moment, parsed_lines, problems, typed
from nightrank.sources.reading import Arrivals, arriving, read_lines
from nightrank.steps.reasons import any_of
from nightrank.tables import (
    ANONYMOUS,
    CATALOGUE,
    RAW_EVENT_LINES,
    RAW_EVENTS,
    RAW_ITEM_LINES,
    RAW_ITEMS,
    RAW_SEARCH_LINES,
    RAW_SEARCHES,
)  # fmt: skip

ACTIONS = {
    "click": "click", "impression_click": "click", "view": "view", "cart": "cart", "add_to_cart": "cart",
    "purchase": "buy", "buy": "buy", "order": "buy", "like": "like", "dislike": "dislike", "hide": "hide",
    "share": "share", "rate": "rate",
}  # fmt: skip
ITEM, RANKING, INTERACTION = "item", "ranking", "interaction"
FIELD = {"name": STRING, "value": STRING}
LINE = columns(
    event=STRING, id=STRING, timestamp=TIME, user=STRING, session=STRING, item=STRING, type=STRING, ranking=STRING,
    fields=rows(**FIELD), items=rows(id=STRING, relevancy=STRING, fields=rows(**FIELD)),
)  # fmt: skip
FIGURES = ("quantity", "price", "rating")
# What an engine's own score of an item may be called.
SCORES = ("relevancy", "score", "base_score")
# Fields of an item that are columns of the catalogue; all others are attributes.
COLUMNS: dict[str, T.DataType] = {
    "title": STRING, "description": STRING, "brand": STRING, "category": STRING, "price": DOUBLE, "seller": STRING,
    "in_stock": FLAG, "rating_mean": DOUBLE, "rating_count": LONG, "review_summary": STRING,
}  # fmt: skip


def read_events(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_EVENTS: every interaction, and every line that cannot be read or says no kind of event.

    A type that is not in ACTIONS stays as it is, for the contract to judge.
    """
    lines = _lines(spark, config.source.events, asked, config)
    named = F.lower(F.trim("type"))
    names = F.create_map(*[F.lit(word) for pair in ACTIONS.items() for word in pair])
    figures = [_field("fields", name) for name in FIGURES]
    wrong = [_time_is_ill(), *[ill_typed(text, DOUBLE) for text in figures]]
    return (
        lines.where(_is_behaviour())
        .withColumns({name: typed(text, DOUBLE) for name, text in zip(FIGURES, figures, strict=True)})
        .withColumn("problems", problems(*wrong))
        .withColumn("event_id", F.coalesce(filled(F.col("id")), F.sha2("value", 256)))
        .withColumn("action", F.coalesce(F.try_element_at(names, named), named))
        .withColumn("query_id", filled(F.col("ranking")))
        .withColumn("item_id", filled(F.col("item")))
        .withColumn("device", _field("fields", "device"))
        .select(*RAW_EVENTS.names)
    )


def read_event_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_EVENT_LINES: rankings, items and users are no rows."""
    lines = _lines(spark, config.source.events, asked, config)
    return lines.withColumn("event_rows", _is_behaviour().cast(INT)).select(*RAW_EVENT_LINES.names)


def _is_behaviour() -> Column:
    return (F.col("event") == INTERACTION) | F.col("event").isNull()


def read_searches(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_SEARCHES: every ranking with a query; its items are the slate, in their order.

    Metarank's log says what the shop's engine ranked: positions are places in it, the score is its relevancy.
    """
    rankings = _lines(spark, config.source.searches or config.source.events, asked, config).where(_is_search())
    ill_score = F.exists("items", lambda one: ill_typed(_score(one), DOUBLE))
    return (
        rankings.withColumn("problems", problems(_time_is_ill(), F.coalesce(ill_score, F.lit(False))))
        .withColumn("query_id", filled(F.col("id")))
        .withColumn("query", _field("fields", "query"))
        .withColumn("slate", F.transform("items", _entry))
        .withColumn("device", _field("fields", "device"))
        .withColumn("policy_id", _field("fields", "policy_id"))
        .withColumn("derived", F.lit(False))
        .select(*RAW_SEARCHES.names)
    )


def read_search_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_SEARCH_LINES: what is no ranking with a query is no row."""
    lines = _lines(spark, config.source.searches or config.source.events, asked, config)
    return lines.withColumn("search_rows", _is_search().cast(INT)).select(*RAW_SEARCH_LINES.names)


def _is_search() -> Column:
    return F.coalesce(F.col("event") == RANKING, F.lit(False)) & _field("fields", "query").isNotNull()


def read_items(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_ITEMS: every item event, each a whole version of its item as of its time."""
    items = _lines(spark, config.source.items or config.source.events, asked, config).where(_is_item())
    wrong = [_time_is_ill(), *[ill_typed(_field("fields", name), kind) for name, kind in COLUMNS.items()]]
    told = {name: typed(_field("fields", name), kind) for name, kind in COLUMNS.items()}
    unsaid = {
        name: F.lit(None).cast(kind)
        for name, kind in CATALOGUE.items()
        if name not in {*told, "item_id", "attributes", "updated_at"}
    }
    return (
        items.withColumns({**told, **unsaid, "problems": problems(*wrong)})
        .withColumn("item_id", filled(F.col("item")))
        .withColumn("category", _path(F.col("category")))
        .withColumn("attributes", _attributes())
        .withColumn("updated_at", F.col("ts"))
        .select(*RAW_ITEMS.names)
    )


def read_item_lines(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_ITEM_LINES: what is no item event is no row."""
    lines = _lines(spark, config.source.items or config.source.events, asked, config)
    return lines.withColumn("item_rows", _is_item().cast(INT)).select(*RAW_ITEM_LINES.names)


def _is_item() -> Column:
    return F.coalesce(F.col("event") == ITEM, F.lit(False))


def _lines(spark: SparkSession, path: str, asked: Arrivals, config: Config) -> DataFrame:
    lines = parsed_lines(read_lines(spark, path, asked, config.source.allow_empty), LINE)
    known = lines.withColumns(
        {
            "ts": moment(F.col("timestamp")),
            "user_id": F.coalesce(filled(F.col("user")), F.lit(ANONYMOUS)),
            "session_id": filled(F.col("session")),
        }
    )
    return arriving(known, asked)


def _entry(one: Column, at: Column) -> Column:
    return F.struct(
        one["id"].alias("item_id"),
        (at + 1).cast(INT).alias("position"),
        typed(_score(one), DOUBLE).alias("base_score"),
        F.coalesce(typed(_named(one["fields"], "sponsored"), FLAG), F.lit(False)).alias("sponsored"),
        typed(_named(one["fields"], "propensity"), DOUBLE).alias("propensity"),
    )


def _score(one: Column) -> Column:
    return F.coalesce(one["relevancy"], *[_named(one["fields"], name) for name in SCORES])


def _attributes() -> Column:
    """The fields that are no columns as a map; of two of one name the first counts, as a map may hold a key once."""
    names = F.transform("fields", lambda one: one["name"])

    def is_attribute(one: Column, at: Column) -> Column:
        is_first = F.array_position(names, one["name"]) == at + 1
        return ~one["name"].isin(*COLUMNS) & one["value"].isNotNull() & is_first

    return F.map_from_entries(F.filter("fields", is_attribute))


def _path(text: Column) -> Column:
    """A category, or the path of an array of them."""
    levels = F.from_json(text, "array<string>")
    return F.when(text.startswith("["), F.array_join(levels, " > ")).otherwise(text)


def _field(fields: str, name: str) -> Column:
    return _named(F.col(fields), name)


def _named(fields: Column, name: str) -> Column:
    """The value of the field of that name, as text; blank is none."""
    return filled(F.get(F.filter(fields, lambda one: one["name"] == name), F.lit(0))["value"])


def _time_is_ill() -> Column:
    return any_of([ill_typed(F.col("timestamp"), TIME), F.col(BAD).isNotNull()])
