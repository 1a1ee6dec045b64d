"""user_profiles: decayed facet affinities, recent items in order, evidence, segment.

A profile as of a night is last night's row plus the night's events; training folds the same way from the snapshot
before its window, through the same function (`profiles_as_of`).
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.consent import not_forgotten
from nightrank.steps.folding import UNIT, AsOf, amount_on_arrival, asked_for, decayed, fold
from nightrank.tables import ANONYMOUS

TOKEN, ITEM = "token", "item"
PROFILE = ("user_id", "affinities", "own_items", "recent", "events", "takes", "first_ts", "last_ts")


def build_user_profiles(
    user_profiles: DataFrame, events: DataFrame, night: Night, config: Config, people: DataFrame | None = None
) -> DataFrame:
    """One row a shopper and snapshot night: run_date and the columns of USER_PROFILES.

    user_profiles: the previous snapshot, or no rows. events: accepted events that arrived after it. people: tonight's;
    what is forgotten tonight is in none of tonight's snapshots. None: nobody has opted out.
    """
    if people is not None:
        user_profiles, events = not_forgotten(user_profiles, people), not_forgotten(events, people)
    profiles = profiles_as_of(user_profiles, events, night.snapshots, config)
    return profiles.withColumnRenamed("as_of", "run_date")


def profiles_as_of(user_profiles: DataFrame, events: DataFrame, as_of: AsOf, config: Config) -> DataFrame:
    """Profiles as they stood at the end of each date asked for: as_of and the columns of USER_PROFILES.

    as_of: dates that hold for every shopper, or a frame (user_id, as_of) of distinct rows. user_profiles: one
    snapshot, or no rows; events: what arrived after it. Events of nights after as_of do not count. A shopper without
    any event up to as_of has no row; one who did nothing since the snapshot has.
    """
    # Laid out by shopper while they are few rows: what follows explodes them and groups by shopper and more.
    named = events.where(F.col("user_id") != ANONYMOUS).repartition("user_id")
    active = named.select("user_id").distinct()
    moved = user_profiles.join(active, on="user_id", how="left_semi").repartition("user_id")
    still = user_profiles.join(active, on="user_id", how="left_anti")
    profiles = _refolded(moved, named, as_of, config).unionByName(_unmoved(still, as_of, config))
    return profiles.select("as_of", *PROFILE, segment_of(config).alias("segment"))


def _unmoved(user_profiles: DataFrame, as_of: AsOf, config: Config) -> DataFrame:
    """Profiles of shoppers who did nothing: as they were, less what is forgotten. Most of a night's, so not folded."""

    def kept(states: str) -> Column:
        age = config.user_profiles.forget_nights
        return F.filter(states, lambda state: F.date_diff("as_of", state["touched"]) <= age)

    asked = asked_for(user_profiles, as_of)
    return asked.withColumns({name: kept(name) for name in ("affinities", "own_items")}).select("as_of", *PROFILE)


def _refolded(user_profiles: DataFrame, events: DataFrame, as_of: AsOf, config: Config) -> DataFrame:
    """Profiles of shoppers who did something since the snapshot."""
    summaries = _summaries(user_profiles, events, as_of, config)
    profiles = summaries.join(_interests(user_profiles, events, as_of, config), on=["user_id", "as_of"], how="left")
    empty = {name: F.coalesce(name, F.array()) for name in ("affinities", "own_items")}
    return profiles.withColumns(empty).select("as_of", *PROFILE)


def _interests(user_profiles: DataFrame, events: DataFrame, as_of: AsOf, config: Config) -> DataFrame:
    """user_id, as_of, affinities (by token), own_items (by item)."""
    section, keys = config.user_profiles, ("user_id", "kind", "name")
    folded = fold(
        _states(user_profiles),
        _amounts(events, config),
        as_of,
        keys,
        section.half_life_nights,
        section.forget_nights,
    )
    return folded.groupBy("user_id", "as_of").agg(
        _sorted_states(TOKEN, "token").alias("affinities"), _sorted_states(ITEM, "item_id").alias("own_items")
    )


def _sorted_states(kind: str, name: str) -> Column:
    # collect_list leaves NULLs out: what is not of this kind.
    state = F.struct(F.col("name").alias(name), "value", "touched")
    return F.sort_array(F.collect_list(F.when(F.col("kind") == kind, state)))


def _states(user_profiles: DataFrame) -> DataFrame:
    """The snapshot's affinities and own items as states of the fold."""
    states = F.concat(_named("affinities", TOKEN, "token"), _named("own_items", ITEM, "item_id"))
    return user_profiles.select("user_id", F.inline(states))


def _named(column: str, kind: str, name: str) -> Column:
    def one(state: Column) -> Column:
        return F.struct(F.lit(kind).alias("kind"), state[name].alias("name"), state["value"], state["touched"])

    return F.transform(column, one)


def _amounts(events: DataFrame, config: Config) -> DataFrame:
    """What each event adds to each facet of its item, and to the item itself if it is a take."""
    weights = config.events.action_weights
    units = F.coalesce(*[F.when(F.col("action") == name, round(weight * UNIT)) for name, weight in weights.items()])
    amount = amount_on_arrival(units, config.user_profiles.half_life_nights)
    tokens = F.transform(F.coalesce("facets", F.array()), lambda token: _target(TOKEN, token))
    item = F.when(_is_take(config), F.array(_target(ITEM, F.col("item_id")))).otherwise(F.array())
    weighed = events.withColumn("amount", amount).where(F.col("amount") > 0)
    return weighed.select("user_id", "run_date", "amount", F.inline(F.concat(tokens, item)))


def _target(kind: str, name: Column) -> Column:
    return F.struct(F.lit(kind).alias("kind"), name.alias("name"))


def _is_take(config: Config) -> Column:
    return F.col("action").isin(*config.events.takes)


def _summaries(user_profiles: DataFrame, events: DataFrame, as_of: AsOf, config: Config) -> DataFrame:
    """user_id, as_of, recent, events, takes, first_ts, last_ts: what is counted, not decayed."""
    figures = ["events", "takes", "first_ts", "last_ts", "recent"]
    nights = user_profiles.select("user_id", "run_date", *figures).unionByName(_nightly(events, config))
    histories = nights.groupBy("user_id").agg(F.collect_list(F.struct("run_date", *figures)).alias("history"))
    known = asked_for(histories, as_of).withColumn(
        "history", F.filter("history", lambda night: night["run_date"] <= F.col("as_of"))
    )
    return known.where(F.size("history") > 0).select(
        "user_id",
        "as_of",
        latest_takes(F.flatten("history.recent"), config).alias("recent"),
        *[
            F.aggregate(f"history.{name}", F.lit(0).cast("long"), lambda a, b: a + b).alias(name)
            for name in figures[:2]
        ],
        F.array_min("history.first_ts").alias("first_ts"),
        F.array_max("history.last_ts").alias("last_ts"),
    )


def _nightly(events: DataFrame, config: Config) -> DataFrame:
    taken = F.collect_list(F.when(_is_take(config), F.struct("ts", "item_id", "action")))
    return events.groupBy("user_id", "run_date").agg(
        F.count(F.lit(1)).alias("events"),
        F.count(F.when(_is_take(config), 1)).alias("takes"),
        F.min("ts").alias("first_ts"),
        F.max("ts").alias("last_ts"),
        latest_takes(taken, config).alias("recent"),
    )


def latest_takes(taken: Column, config: Config) -> Column:
    """The newest distinct takes, newest first; ties by item, then action. The latest of latests are the latest."""

    def by_age(take: Column) -> Column:
        return F.struct(-F.unix_micros(take["ts"]), take["item_id"], take["action"], take["ts"])

    ordered = F.slice(F.sort_array(F.transform(F.array_distinct(taken), by_age)), 1, config.user_profiles.recent)
    return F.transform(ordered, lambda take: F.struct(take["ts"], take["item_id"], take["action"]))


def segment_of(config: Config) -> Column:
    """`segment:<x>` of the top-level category that weighs most as of the date; null with too few takes."""
    top_level = F.filter(
        "affinities", lambda s: s["token"].startswith("category:") & ~F.contains(s["token"], F.lit(" > "))
    )

    def lightness(state: Column) -> Column:
        value = decayed(state["value"], state["touched"], F.col("as_of"), config.user_profiles.half_life_nights)
        return F.struct((-value).alias("lightness"), state["token"].alias("token"))

    heaviest = F.array_min(F.transform(top_level, lightness))["token"]
    named = F.concat(F.lit("segment:"), F.regexp_replace(heaviest, "^category:", ""))
    return F.when(F.col("takes") >= config.user_profiles.segment_min_takes, named)
