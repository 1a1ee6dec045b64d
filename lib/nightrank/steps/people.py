"""people: which ids are one person, and who has opted out.

An id has a word on whose it is (`link`, `unlink`) and one on being looked at (`opt_out`, `opt_in`). Of each the one
with the latest ts stands, in whatever order they arrive; `unlink` undoes whichever link there is. So folding onto the
previous snapshot is folding everything.

Links are followed from an id to its person, at most people.longest_chain of them. Ids in a circle are the smallest of
them; an id that is farther from its person, or in a larger circle, stands alone. A link counts from the night in which
its word arrived to the one before its undoing did.

Opted out is an id that says so, or whose links lead over one that does: a person's opt-out is one of all their ids, a
cookie's of the cookie alone. On a night it counts as opted out if it was so when the night began or at any moment in
it; whatever arrived up to the last such night is forgotten.
"""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import ONE_DAY, Night
from nightrank.steps.pseudonyms import shopper
from nightrank.steps.reasons import blank, impossible_time, overlong, reasons
from nightrank.steps.rotation import renamed_ids, words_under_new_key
from nightrank.steps.ways import joint_states
from nightrank.steps.words import REGISTERS, arrived_words, held_words, own_states, standing_words
from nightrank.tables import ANONYMOUS, PEOPLE


def build_people(
    raw_people: DataFrame,
    raw_events: DataFrame,
    raw_searches: DataFrame,
    user_profiles: DataFrame,
    people: DataFrame,
    night: Night,
    config: Config,
) -> DataFrame:
    """One row a night and id that has ever had a link or an opt-out; the raw rows that are refused, with reasons.

    raw_people, raw_events, raw_searches: what arrived since the previous snapshot. people, user_profiles: that
    snapshot, or no rows. Events, searches and profiles are read only while a key is being rotated. A bulk load has rows
    for every night since its first snapshot, so that training finds the links of each night in its window.
    """
    judged = _judged(raw_people, config)
    if config.source.previous_key_file is None:
        held = held_words(people, F.col("user_id"), F.col("user_id"))
    else:
        known = user_profiles.select("user_id").unionByName(people.select("user_id"))
        renamed = renamed_ids([raw_events, raw_searches, raw_people], known, config)
        held = words_under_new_key(people, renamed, night.run_date)
    # Kept until the night's rows stand: every link that is followed reads them, and what they are made of is a log.
    standing = standing_words(held.unionByName(arrived_words(judged.where("accepted")))).persist()
    nights = _nights(night)
    joint = joint_states(standing, nights, config.people.longest_chain)
    states = own_states(standing, nights).join(joint, on=["user_id", "as_of"], how="inner")
    return _accepted(states).unionByName(_refused(judged, nights[0]))


def _judged(raw_people: DataFrame, config: Config) -> DataFrame:
    """The raw rows with their reasons; ids as pseudonyms."""
    link = F.col("action") == "link"
    conditions = {
        "missing_key": blank("user_id", "action") | F.col("ts").isNull() | (link & blank("other_id")),
        "anonymous_id": (F.col("user_id") == ANONYMOUS) | (link & (F.col("other_id") == ANONYMOUS)),
        "linked_to_itself": link & (F.col("user_id") == F.col("other_id")),
        "unknown_action": ~F.col("action").isin(*REGISTERS),
        "impossible_time": impossible_time(config.events.earliest),
        "overlong_id": overlong(config.events.longest_id, "user_id", "other_id"),
    }
    return (
        raw_people.withColumn("reasons", reasons(F.col("problems"), conditions))
        .withColumn("accepted", F.size("reasons") == 0)
        .withColumn("user_id", shopper(F.col("user_id"), config))
        .withColumn("other_id", F.when(~blank("other_id"), shopper(F.col("other_id"), config)))
    )


def _nights(night: Night) -> tuple[date, ...]:
    first = night.snapshots[0]
    return tuple(first + timedelta(days=n) for n in range((night.run_date - first) // ONE_DAY + 1))


def _accepted(states: DataFrame) -> DataFrame:
    return states.select(
        F.col("as_of").alias("run_date"),
        "user_id",
        "person_id",
        "opted_out",
        F.greatest("forgotten_before", "forgotten_until").alias("forgotten_until"),
        "linked_to",
        "linked_ts",
        "refuses",
        "refused_ts",
        _nothing("action"),
        F.array().cast("array<string>").alias("reasons"),
        F.lit(True).alias("accepted"),
    )


def _refused(judged: DataFrame, first: date) -> DataFrame:
    """The refused rows as they were said, in the first snapshot that knows of them: other_id and ts as the link's."""
    return judged.where("NOT accepted").select(
        F.greatest("arrived", F.lit(first)).alias("run_date"),
        "user_id",
        *[_nothing(name) for name in ("person_id", "opted_out", "forgotten_until")],
        F.col("other_id").alias("linked_to"),
        F.col("ts").alias("linked_ts"),
        *[_nothing(name) for name in ("refuses", "refused_ts")],
        "action",
        "reasons",
        "accepted",
    )


def _nothing(name: str) -> Column:
    return F.lit(None).cast(PEOPLE.columns[name].dataType).alias(name)
