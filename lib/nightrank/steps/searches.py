"""Searches whose attribution window has closed: query, slate in order, graded gains."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.bots import quarantine_searches_of_bots
from nightrank.steps.entries import is_full, together
from nightrank.steps.once import evaluated_once
from nightrank.steps.pseudonyms import shopper
from nightrank.steps.reasons import any_of, blank, finite, impossible_time, infinite, overlong, reasons, wrong_time_unit
from nightrank.steps.text import search_text
from nightrank.tables import RAW_SEARCHES, SEARCHES


def build_searches(raw_searches: DataFrame, events: DataFrame, night: Night, config: Config) -> DataFrame:
    """The table `searches` with run_date, the night in which the window closed: accepted rows, the rest with reasons.

    raw_searches: RAW_SEARCHES and events: all events, both of the nights whose windows may close tonight. The window
    closes on the day of ts + attribution_hours, or on arrival if that is later. Of rows with one query_id the first
    good one stays. An accepted event counts for the search that it names by query_id, within the window, if it arrived
    by the closing night; the slate's gain is the largest among the actions on the item. Whose events of those nights
    are a bot's, their search is too.
    """
    closes_tonight = F.col("run_date").between(F.lit(night.first_arrival), F.lit(night.run_date))
    return (
        _judged(raw_searches, config)
        .filter(closes_tonight)
        .join(_graded(events.filter("accepted"), config), on="query_id", how="left")
        .select("*", evaluated_once(F.struct(_taken_in_time(config).alias("counted"), _is_ranked().alias("ranked"))))
        .withColumn("slate", _with_gains())
        .withColumn("user_id", shopper(F.col("user_id"), config))
        .transform(quarantine_searches_of_bots, events.filter("NOT accepted"))
        .withColumn("normalised_query", search_text(F.col("query"), config.words))
        .withColumn("derived", F.coalesce("derived", F.lit(False)))
        .withColumn("accepted", F.size("reasons") == 0)
        .select(*SEARCHES.schema.names)
    )


def _judged(raw_searches: DataFrame, config: Config) -> DataFrame:
    """Searches with slate in order, reasons and run_date; duplicates are sought before other nights are left out."""
    return (
        raw_searches.select(*RAW_SEARCHES.names)
        .withColumn("_hash", F.xxhash64(*[name for name in RAW_SEARCHES.names if name != "source_file"]))
        .withColumn("slate", _in_order(config.searches.longest_slate))
        .withColumn("reasons", reasons(F.col("problems"), _conditions(config)))
        .withColumn("_turn", F.row_number().over(_same_search()))
        .withColumn("reasons", reasons(F.col("reasons"), {"duplicate": _is_duplicate()}))
        .withColumn("run_date", closing_night(config))
    )


def _in_order(longest: int) -> Column:
    """The slate by position (an entry without one has its place in the array), at most `longest` entries."""
    in_order = ("position", "item_id", "base_score", "sponsored", "propensity")
    entries, size = _entries(*in_order), F.size("slate")
    simple = (
        size.between(1, longest)
        & (entries["position"] == F.sequence(F.lit(1), size))
        & is_full(entries["sponsored"], size)
        # Anything from this character on is more than a blank, so no item has a blank name where the least is so.
        & (F.get(F.sort_array(entries["item_id"]), F.lit(0)) >= "!")
    )
    return F.when(simple, together(**entries)).otherwise(_placed(longest))


def _placed(longest: int) -> Column:
    def placed(one: Column, at: Column) -> Column:
        return F.struct(
            F.coalesce(one["position"], at + 1).alias("position"),
            one["item_id"].alias("item_id"),
            one["base_score"].alias("base_score"),
            F.coalesce(one["sponsored"], F.lit(False)).alias("sponsored"),
            one["propensity"].alias("propensity"),
        )

    shown = F.filter(F.transform("slate", placed), lambda one: F.trim(one["item_id"]) != "")
    return F.slice(F.sort_array(shown), 1, longest)


def _conditions(config: Config) -> dict[str, Column]:
    """Each reason by what is least and most in a slate: Spark interprets a lambda for each entry, but compiles these.

    NaN is more than infinity.
    """
    positions, propensities = F.col("slate.position"), F.col("slate.propensity")
    return {
        "missing_key": blank("query_id", "query") | F.col("ts").isNull(),
        "empty_slate": F.coalesce(F.size("slate") < 1, F.lit(True)),
        "impossible_time": impossible_time(config.events.earliest),
        "wrong_time_unit": wrong_time_unit(config.events.earliest),
        "not_finite": any_of(_infinite_figures()),
        "impossible_propensity": (F.array_min(propensities) <= 0) | (F.array_max(propensities) > 1),
        "impossible_position": F.array_min(positions) < 1,
        "duplicate_position": F.size(F.array_distinct(positions)) < F.size(positions),
        "overlong_id": overlong(config.events.longest_id, "query_id", "user_id", "session_id"),
    }


def _infinite_figures() -> list[Column]:
    figures = _entries("base_score", "propensity").values()
    return [infinite(extreme(one)) for one in figures for extreme in (F.array_min, F.array_max)]


def _entries(*names: str) -> dict[str, Column]:
    """Fields of the slate's entries, an array each."""
    return {name: F.col(f"slate.{name}") for name in names}


def _same_search() -> WindowSpec:
    good_first = F.size("reasons") > 0
    # Rows without an id are no duplicates of each other: each is its own group.
    group = F.coalesce("query_id", F.col("_hash").cast("string"))
    return Window.partitionBy(group).orderBy(good_first, "arrived", "_hash", "source_file")


def _is_duplicate() -> Column:
    return F.col("query_id").isNotNull() & (F.col("_turn") > 1)


def closing_night(config: Config) -> Column:
    """Of ts and arrived: the later of arrival and the window's last day; a time that cannot be trusted closes nothing:
    the arrival."""
    closes = F.to_date(F.col("ts") + attribution(config))
    trusted = ~impossible_time(config.events.earliest)
    return F.when(trusted, F.greatest("arrived", closes)).otherwise(F.col("arrived"))


def attribution(config: Config) -> Column:
    """How long after a search an event may count for it, as an interval."""
    return F.make_dt_interval(secs=F.lit(round(config.searches.attribution_hours * 3600)))


def _graded(events: DataFrame, config: Config) -> DataFrame:
    """(query_id, taken): what was done after each search, as an array of (ts, arrived, item_id, gain)."""
    gains = config.searches.gains
    graded = F.create_map(*[F.lit(one) for pair in gains.items() for one in pair])
    act = F.struct("ts", F.col("run_date").alias("arrived"), "item_id", graded[F.col("action")].alias("gain"))
    # The order of `taken` does not matter: only its largest gains are read.
    return (
        events.filter(F.col("query_id").isNotNull() & F.col("action").isin(*gains))
        .groupBy("query_id")
        .agg(F.collect_list(act).alias("taken"))
    )


def _taken_in_time(config: Config) -> Column:
    """What of `taken` counts: within the window and arrived by the closing night; null where nothing does."""
    until = F.col("ts") + attribution(config)

    def in_time(act: Column) -> Column:
        return act["ts"].between(F.col("ts"), until) & (act["arrived"] <= F.col("run_date"))

    counted = F.filter("taken", in_time)
    return F.when(F.size(counted) > 0, counted)


def _is_ranked() -> Column:
    """Whether the slate is a mere order: a base score is missing."""
    return ~is_full(F.col("slate.base_score"), F.size("slate"))


def _with_gains() -> Column:
    """The slate with gain, and with base = -log2(1 + position) throughout where it is a mere order."""
    nothing = F.array_repeat(F.lit(0.0), F.size("slate"))
    entries = _entries("item_id", "position", "base_score", "sponsored", "propensity")
    simple = ~F.col("ranked") & ~any_of(_infinite_figures())
    gained = F.when(F.col("counted").isNull(), nothing).otherwise(F.transform(entries["item_id"], _gain))
    return F.when(simple, together(**entries, gain=gained)).otherwise(_judged_closely())


def _judged_closely() -> Column:
    def judged(one: Column) -> Column:
        by_rank = -F.log2(1 + one["position"])
        return F.struct(
            one["item_id"].alias("item_id"),
            one["position"].alias("position"),
            F.when(F.col("ranked"), by_rank).otherwise(finite(one["base_score"])).alias("base_score"),
            one["sponsored"].alias("sponsored"),
            finite(one["propensity"]).alias("propensity"),
            _gain(one["item_id"]).alias("gain"),
        )

    return F.transform("slate", judged)


def _gain(item_id: Column) -> Column:
    gains = F.transform(F.filter("counted", lambda act: act["item_id"] == item_id), lambda act: act["gain"])
    return F.coalesce(F.array_max(gains), F.lit(0.0))
