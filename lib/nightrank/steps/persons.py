"""Profiles as they are read: those of one person's pseudonyms merged into one, which each of their ids is served by.

Profiles are stored a pseudonym each, so that an undone link gives them back as they were. The links are those of the
night of the profiles. A night without links changes nothing of them, nor of Spark's plan.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.steps.folding import decayed
from nightrank.steps.user_profiles import ITEM, PROFILE, TOKEN, latest_takes, segment_of

COLUMNS = ("as_of", *PROFILE, "segment")
KINDS = {TOKEN: ("affinities", "token"), ITEM: ("own_items", "item_id")}


def persons(profiles: DataFrame, people: DataFrame, config: Config) -> DataFrame:
    """One row a person and as_of date, user_id the person's: as_of and the columns of USER_PROFILES.

    profiles: these columns, a pseudonym each. people: nights of the table; those that as_of names count. States of one
    token or item are decayed to the latest night that one of them was touched and added in the order of ids; recent
    takes are merged, counts added, the segment found anew.
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
        latest_takes(F.flatten(F.collect_list("recent")), config).alias("recent"),
        F.sum("events").alias("events"),
        F.sum("takes").alias("takes"),
        F.min("first_ts").alias("first_ts"),
        F.max("last_ts").alias("last_ts"),
    )
    interests = _merged_interests(profiles, config.user_profiles.half_life_nights)
    empty = {column: F.coalesce(column, F.array()) for column, _ in KINDS.values()}
    merged = summaries.join(interests, on=["person_id", "as_of"], how="left").withColumns(empty)
    named = merged.withColumnRenamed("person_id", "user_id")
    return named.select("as_of", *PROFILE, segment_of(config).alias("segment"))


def _merged_interests(profiles: DataFrame, half_life_nights: float) -> DataFrame:
    """person_id, as_of, affinities, own_items."""
    states = F.concat(*[_states(kind, *names) for kind, names in KINDS.items()])
    same = (
        profiles.select("person_id", "as_of", "user_id", F.inline(states))
        .groupBy("person_id", "as_of", "kind", "name")
        .agg(
            F.sort_array(F.collect_list(F.struct("user_id", "value", "touched"))).alias("states"),
            F.max("touched").alias("touched"),
        )
    )

    def added(total: Column, state: Column) -> Column:
        return total + decayed(state["value"], state["touched"], F.col("touched"), half_life_nights)

    summed = same.withColumn("value", F.aggregate("states", F.lit(0.0), added))
    return summed.groupBy("person_id", "as_of").agg(
        *[_sorted_states(kind, name).alias(column) for kind, (column, name) in KINDS.items()]
    )


def _states(kind: str, column: str, name: str) -> Column:
    def one(state: Column) -> Column:
        return F.struct(F.lit(kind).alias("kind"), state[name].alias("name"), state["value"], state["touched"])

    return F.transform(column, one)


def _sorted_states(kind: str, name: str) -> Column:
    # collect_list leaves NULLs out: what is not of this kind.
    state = F.struct(F.col("name").alias(name), "value", "touched")
    return F.sort_array(F.collect_list(F.when(F.col("kind") == kind, state)))
