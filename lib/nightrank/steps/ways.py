"""Where an id's links lead, night by night, and whether an id that has opted out is on the way.

All of it over intervals of nights, both ends counted: what is forgotten tonight depends on who was linked with whom
while who was opted out, and a rebuild has to find that as it was.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.steps.words import CONSENT, LINK, on_each_night


def joint_states(standing: DataFrame, nights: tuple[date, ...], longest_chain: int) -> DataFrame:
    """user_id, as_of, person_id, opted_out, forgotten_until, of each id that is heard of, as of each night.

    standing: see words.standing_words. longest_chain: how many links are followed.
    """
    ways = _ways(standing, longest_chain).withColumn("person_id", _person())
    members = ways.select("user_id", "since", "until", "person_id", F.explode(F.array_distinct("way")).alias("member"))
    asked = on_each_night(members.join(_opted_out(standing), on="member", how="left"), nights)
    out_since = F.greatest("since", "out_since")
    out_until = F.least("until", "out_until", "as_of")
    was_out = F.col("out_since").isNotNull() & (out_since <= out_until)
    is_out = was_out & F.col("as_of").between(out_since, F.least("until", "refused_until"))
    is_now = F.col("as_of").between(F.col("since"), F.col("until"))
    return asked.groupBy("user_id", "as_of").agg(
        F.max(F.when(is_now, F.col("person_id"))).alias("person_id"),
        F.max(is_out).alias("opted_out"),
        F.max(F.when(was_out, out_until)).alias("forgotten_until"),
    )


def _ways(standing: DataFrame, longest_chain: int) -> DataFrame:
    """user_id, since, until, way, ahead: the ids that links lead over, itself the first, while they stay the same.

    ahead: where the last one's link leads, null where it has none.
    """
    links = standing.where(F.col("register") == LINK)
    target = F.col("word.target").alias("ahead")
    ways = links.select("user_id", "since", "until", F.array("user_id").alias("way"), target)
    steps = links.select(F.col("user_id").alias("at"), F.col("since").alias("s"), F.col("until").alias("u"), target)
    for _ in range(longest_chain):
        # Every id has a step for every night, so a way is cut into pieces but loses none of its nights.
        meets = (F.col("way.ahead") == F.col("at")) & (F.col("s") <= F.col("until")) & (F.col("since") <= F.col("u"))
        ways = (
            ways.alias("way")
            .join(steps.alias("step"), on=meets, how="left")
            .select(
                "user_id",
                F.greatest("since", "s").alias("since"),
                F.least("until", "u").alias("until"),
                F.array_compact(F.concat(F.col("way.way"), F.array("at"))).alias("way"),
                F.col("step.ahead").alias("ahead"),
            )
        )
    return ways


def _person() -> Column:
    """The last id of a way that has ended, the smallest of a circle; else the id itself: the way is too long."""
    way, ahead = F.col("way"), F.col("ahead")
    circle = F.slice(way, F.array_position(way, ahead).cast("int"), F.size(way))
    return (
        F.when(ahead.isNull(), F.element_at(way, -1))
        .when(F.array_contains(way, ahead), F.array_min(circle))
        .otherwise(F.col("user_id"))
    )


def _opted_out(standing: DataFrame) -> DataFrame:
    """member, out_since, out_until: nights on which an id is opted out; refused_until: the last at whose end it is.

    The night of the word that ends it is one of the former: it began opted out. So is the night of an opt-out that
    comes with, or after, a later opt-in.
    """
    refuses = F.coalesce("word.back", F.lit(False))
    consents = standing.where((F.col("register") == CONSENT) & (refuses | F.col("back")))
    return consents.select(
        F.col("user_id").alias("member"),
        F.col("since").alias("out_since"),
        F.when(refuses, F.date_add("until", 1)).otherwise(F.col("since")).alias("out_until"),
        F.when(refuses, F.col("until")).otherwise(F.date_sub("since", 1)).alias("refused_until"),
    )
