"""Profiles as they are read: those of one person's pseudonyms merged into one, which each of their ids is served by.

Profiles are stored a pseudonym each, so that an undone link gives them back as they were. The links are those of the
night of the profiles. A night without links changes nothing of them, nor of Spark's plan.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.sections import UserProfilesConfig
from nightrank.steps.habits import STATES
from nightrank.steps.own_segment import segment_of

# Of a profile what rows and examples are made from; the rest is read a pseudonym each.
COLUMNS = (
    "as_of", "user_id", "affinities", "own_items", "recent", "events", "takes", "first_ts", "last_ts", "segment",
    *STATES,
)  # fmt: skip
# The states that fade: what each is of, and its values.
KINDS = {
    "affinities": ("token", ("value", "value_short", "value_season")),
    "own_items": ("item_id", ("value",)),
}


def persons(profiles: DataFrame, people: DataFrame, config: Config) -> DataFrame:
    """One row a person and as_of date, user_id the person's: COLUMNS.

    profiles: these columns, a pseudonym each. people: nights of the table; those that as_of names count. States of one
    token or item are decayed to the latest night that one of them was touched and added in the order of ids; recent
    takes are merged, counts added, the segment found anew. Habits lie one id's after the other's, in the order of ids:
    the days between a buy of the one and one of the other are not known, so make_habits takes the id that bought last.
    """
    members = _members(people)
    alone = profiles.join(members, on=["user_id", "as_of"], how="left_anti").select(*COLUMNS)
    return alone.unionByName(_merged(profiles.join(members, on=["user_id", "as_of"], how="inner"), config))


def under_each_id(rows: DataFrame, people: DataFrame) -> DataFrame:
    """The rows of persons, and each again under every id that is linked to the person and not opted out itself.

    rows: user_id, and as_of where they are of several nights; people: of these nights.
    """
    keys = ["user_id", "as_of"] if "as_of" in rows.columns else ["user_id"]
    linked = _linked(people.where(~F.col("opted_out")))
    named = linked.select(F.col("person_id").alias("user_id"), "as_of", F.col("user_id").alias("linked_id"))
    ids = named.groupBy(*keys).agg(F.array_sort(F.collect_set("linked_id")).alias("linked_ids"))
    nobody = F.array().cast("array<string>")
    each = F.explode(F.concat(F.array("user_id"), F.coalesce("linked_ids", nobody)))
    return rows.join(ids, on=keys, how="left").withColumn("user_id", each).select(*rows.columns)


def profiles_by_id(profiles: DataFrame, people: DataFrame, config: Config) -> DataFrame:
    """The person's profile under the person's id and under each linked one."""
    return under_each_id(persons(profiles, people, config), people)


def with_relatives(asked: DataFrame, people: DataFrame) -> DataFrame:
    """asked (user_id, as_of; distinct), and the other ids of the same persons as of these dates."""
    members = _members(people)
    found = asked.join(members, on=["user_id", "as_of"], how="inner").select("person_id", "as_of").distinct()
    relatives = members.join(found, on=["person_id", "as_of"], how="left_semi").select("user_id", "as_of")
    return asked.unionByName(relatives.join(asked, on=["user_id", "as_of"], how="left_anti"))


def persons_of(ids: DataFrame, people: DataFrame) -> DataFrame:
    """The persons that the ids (user_id) belong to, an id without a link to itself. people: one night."""
    linked = _linked(people).select("user_id", "person_id")
    return ids.join(linked, on="user_id", how="left").select(F.coalesce("person_id", "user_id").alias("user_id"))


def rows_still_served(rows: DataFrame, then: DataFrame, now: DataFrame, night: date) -> DataFrame:
    """The rows of weights of a past night but those of persons of whom an id has opted out since.

    then, now: people of that night and of the last one.
    """
    forgotten = now.where(F.col("forgotten_until") >= F.lit(night)).select("user_id")
    ids = under_each_id(persons_of(forgotten, then).distinct(), then).unionByName(forgotten)
    return rows.join(ids, on="user_id", how="left_anti")


def _linked(people: DataFrame) -> DataFrame:
    """user_id, person_id, as_of of each id that belongs to another."""
    linked = people.where(F.col("person_id") != F.col("user_id"))
    return linked.select("user_id", "person_id", F.col("run_date").alias("as_of"))


def _members(people: DataFrame) -> DataFrame:
    """The same, and each person that has a linked id as a member of itself."""
    linked = _linked(people)
    own = linked.select(F.col("person_id").alias("user_id"), "person_id", "as_of").distinct()
    return linked.unionByName(own)


def _merged(profiles: DataFrame, config: Config) -> DataFrame:
    """profiles: with person_id."""
    summaries = profiles.groupBy("person_id", "as_of").agg(
        _latest(F.flatten(F.collect_list("recent")), config.user_profiles.recent).alias("recent"),
        F.sum("events").alias("events"),
        F.sum("takes").alias("takes"),
        F.min("first_ts").alias("first_ts"),
        F.max("last_ts").alias("last_ts"),
        *[_one_after_the_other(states).alias(states) for states in STATES],
    )
    interests = _merged_interests(profiles, config.user_profiles)
    empty = {column: F.coalesce(column, F.array()) for column in KINDS}
    merged = summaries.join(interests, on=["person_id", "as_of"], how="left").withColumns(empty)
    named = merged.withColumnRenamed("person_id", "user_id").withColumn("segment", segment_of(config))
    return named.select(*COLUMNS)


def _one_after_the_other(states: str) -> Column:
    """The states of all ids, in the order of ids."""
    by_id = F.sort_array(F.collect_list(F.struct("user_id", F.coalesce(states, F.array()).alias("states"))))
    return F.flatten(by_id["states"])


def _latest(taken: Column, most: int) -> Column:
    """The newest distinct takes, newest first; ties by item, then action."""

    def by_age(take: Column) -> Column:
        return F.struct(-F.unix_micros(take["ts"]), take["item_id"], take["action"], take["ts"])

    ordered = F.slice(F.sort_array(F.transform(F.array_distinct(taken), by_age)), 1, most)
    return F.transform(ordered, lambda take: F.struct(take["ts"], take["item_id"], take["action"]))


def _merged_interests(profiles: DataFrame, section: UserProfilesConfig) -> DataFrame:
    """person_id, as_of, affinities, own_items."""
    states = F.concat(*[_states(column) for column in KINDS])
    same = (
        profiles.select("person_id", "as_of", "user_id", F.inline(states))
        .groupBy("person_id", "as_of", "kind", "name")
        .agg(
            F.sort_array(F.collect_list(F.struct("user_id", "values", "touched"))).alias("states"),
            F.max("touched").alias("touched"),
        )
    )
    kept_a_night = F.array(*[F.lit(0.5 ** (1.0 / half_life)) for half_life in _half_lives(section)])

    def added(totals: Column, state: Column) -> Column:
        nights = F.date_diff("touched", state["touched"])
        kept = F.transform(kept_a_night, lambda share: F.pow(share, nights))
        worth = F.zip_with(state["values"], kept, lambda value, share: value * share)
        return F.zip_with(totals, worth, lambda total, one: total + one)

    nothing = F.array(*[F.lit(0.0) for _ in _half_lives(section)])
    summed = same.withColumn("values", F.aggregate("states", nothing, added))
    return summed.groupBy("person_id", "as_of").agg(*[_sorted_states(column).alias(column) for column in KINDS])


def _half_lives(section: UserProfilesConfig) -> tuple[float, float, float]:
    """Of the values of a state, in nights."""
    return section.half_life_nights, section.short_half_life_hours / 24, section.season_half_life_nights


def _states(column: str) -> Column:
    """(kind, name, values, touched) of each state."""
    name, values = KINDS[column]

    def one(state: Column) -> Column:
        worths = F.array(*[state[value] for value in values]).alias("values")
        return F.struct(F.lit(column).alias("kind"), state[name].alias("name"), worths, state["touched"])

    return F.transform(column, one)


def _sorted_states(column: str) -> Column:
    name, values = KINDS[column]
    worths = [F.get("values", F.lit(at)).alias(value) for at, value in enumerate(values)]
    # collect_list leaves NULLs out: what is not of this kind.
    state = F.struct(F.col("name").alias(name), *worths, "touched")
    return F.sort_array(F.collect_list(F.when(F.col("kind") == column, state)))
