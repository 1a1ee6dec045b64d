"""Searches of a log that names none: the lists that a session was shown, joined by session, list and search term.

What conventions without a query id hand over, one row a list that was shown or a term that was searched for:
LISTED, with `item_ids` and `indexes` (their places, where the log says them) empty for a term alone.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from nightrank.contract import DATE, DOUBLE, FLAG, INT, INTS, LONG, STRING, STRINGS, TIME, columns
from nightrank.tables import RAW_SEARCHES

LISTED = columns(
    ts=TIME, session_key=STRING, session_id=STRING, user_id=STRING, list_name=STRING, term=STRING, item_ids=STRINGS,
    indexes=INTS, device=STRING, arrived=DATE,
)  # fmt: skip
# What the lists of one search have in common.
KEYS = ("session_key", "list_name", "term")


def listed_searches(listed: DataFrame, window_seconds: int) -> DataFrame:
    """RAW_SEARCHES and session_key, list_name: a search a run of lists of one session, name and term.

    A list without a term of its own answers the session's last term, if that is no older than the window; one that
    answers none is no search. Lists that follow each other within the window are pages of one search: its items are
    theirs, in the order shown, each at its first place. Places are the log's where it says all of them, counted from
    0 or 1, and the order shown where it does not or says one twice.
    """
    answering = _with_terms(listed, window_seconds).where((F.size("item_ids") > 0) & F.col("term").isNotNull())
    runs = _runs(answering, window_seconds)
    made = {
        "query_id": F.sha2(F.concat_ws("\n", *KEYS, F.unix_micros("ts").cast(STRING)), 256),
        "query": F.col("term"),
        "slate": _slate(F.col("shown")),
        "policy_id": F.lit(None).cast(STRING),
        "derived": F.lit(False),
        "problems": F.array().cast(STRINGS),
        "source_file": F.lit(None).cast(STRING),
    }
    return runs.withColumns(made).select("session_key", "list_name", *RAW_SEARCHES.names)


def with_query_ids(events: DataFrame, searches: DataFrame, window_seconds: int) -> DataFrame:
    """Events (session_key, list_name, ts, item_id, …) with query_id: the session's last search that showed the item.

    Not one that began later, or longer ago than the window, or under another list's name where the event has one.
    """
    shown = F.struct("ts", "query_id", "list_name", F.transform("slate", lambda one: one["item_id"]).alias("item_ids"))
    asked = searches.groupBy("session_key").agg(F.collect_list(shown).alias("asked"))

    def answers(one: Column) -> Column:
        in_time = _micros_between(one["ts"], F.col("ts")).between(0, window_seconds * 1_000_000)
        same_list = F.coalesce(one["list_name"] == F.col("list_name"), F.lit(True))
        return in_time & same_list & F.array_contains(one["item_ids"], F.col("item_id"))

    answered = F.transform(F.filter("asked", answers), lambda one: F.struct(one["ts"], one["query_id"]))
    joined = events.join(asked, on="session_key", how="left")
    return joined.withColumn("query_id", F.array_max(answered)["query_id"]).drop("asked")


def rows_of_items(behaviour: Column, items: str) -> Column:
    """How many rows of RAW_EVENTS a line of such a log becomes: one an item, one without any item, none if it is no
    behaviour."""
    return F.when(behaviour, F.greatest(F.coalesce(F.size(items), F.lit(0)), F.lit(1))).otherwise(F.lit(0))


def _with_terms(listed: DataFrame, window_seconds: int) -> DataFrame:
    own = F.when(F.trim("term") != "", F.struct(F.col("term").alias("term"), F.col("ts").alias("since")))
    latest = F.last(own, ignorenulls=True).over(_in_session())
    fresh = _micros_between(latest["since"], F.col("ts")) <= window_seconds * 1_000_000
    return listed.select(*LISTED.names).withColumn("term", F.when(fresh, latest["term"]))


def _in_session() -> WindowSpec:
    # A term searched for in the very moment of its list comes before it.
    order = ("ts", F.size("item_ids"), "list_name", F.xxhash64("item_ids", "indexes"))
    return Window.partitionBy("session_key").orderBy(*order).rowsBetween(Window.unboundedPreceding, 0)


def _runs(lists: DataFrame, window_seconds: int) -> DataFrame:
    """A row a run of lists that follow each other within the window: KEYS, ts, `shown` in order, and whose it is."""
    in_order = Window.partitionBy(*KEYS).orderBy("ts", F.xxhash64("item_ids", "indexes"))
    gap = _micros_between(F.lag("ts").over(in_order), F.col("ts"))
    begins = F.coalesce(gap > window_seconds * 1_000_000, F.lit(True)).cast(INT)
    page = F.struct("ts", F.arrays_zip("item_ids", "indexes").alias("shown"))
    return (
        lists.withColumn("begins", begins)
        .withColumn("turn", F.sum("begins").over(in_order))
        .groupBy(*KEYS, "turn")
        .agg(
            F.min("ts").alias("ts"),
            F.min("arrived").alias("arrived"),
            *[F.min(name).alias(name) for name in ("session_id", "user_id", "device")],
            F.flatten(F.transform(F.sort_array(F.collect_list(page)), lambda one: one["shown"])).alias("shown"),
        )
    )


def _slate(shown: Column) -> Column:
    """The slate of the items shown, from an array of (item_ids, indexes)."""
    ids = F.array_distinct(F.transform(shown, lambda one: one["item_ids"]))
    places = F.transform(ids, lambda item: F.element_at(F.filter(shown, lambda s: s["item_ids"] == item), 1)["indexes"])
    possible = F.forall(places, lambda place: F.coalesce(place >= 0, F.lit(False)))
    said = possible & (F.size(F.array_distinct(places)) == F.size(places))
    base = F.when(F.array_min(places) == 0, F.lit(1)).otherwise(F.lit(0))

    def entry(item: Column, at: Column) -> Column:
        return F.struct(
            item.alias("item_id"),
            F.when(said, (F.get(places, at).cast(LONG) + base).try_cast(INT)).otherwise(at + 1).alias("position"),
            F.lit(None).cast(DOUBLE).alias("base_score"),
            F.lit(False).cast(FLAG).alias("sponsored"),
            F.lit(None).cast(DOUBLE).alias("propensity"),
        )

    return F.transform(ids, entry)


def _micros_between(one: Column, other: Column) -> Column:
    """Null where either is, or where a log says times so far from each other that they are none."""
    return F.try_subtract(F.unix_micros(other), F.unix_micros(one))
