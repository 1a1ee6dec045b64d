"""Profiles: the rules by hand; three nights == one rebuild; training reads what the compiler reads."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import Night, ordinary_night
from nightrank.steps.user_profiles import build_user_profiles, profiles_as_of
from nightrank.tables import USER_PROFILES

CONFIG = Config.model_validate(
    {
        "user_profiles": {"half_life_nights": 2.0, "forget_nights": 3, "recent": 3, "segment_min_takes": 2},
        "events": {"takes": ["click", "buy"], "action_weights": {"view": 0.2, "click": 1.0, "buy": 5.0, "rate": 0.0}},
    }
)
D = 0.5**0.5
EVENT = "run_date date, ts timestamp, user_id string, action string, item_id string, facets array<string>"


def jan(day):
    return date(2026, 1, day)


def at(day, hour, second=0):
    return datetime(2026, 1, day, hour, 0, second)


ROWS = [
    (jan(1), at(1, 9), "u", "view", "i", ["brand:a", "category:x", "category:x > y"]),
    (jan(1), at(1, 10), "u", "click", "i", ["brand:a", "category:x", "category:x > y"]),
    (jan(1), at(1, 10), "u", "click", "i", ["brand:a", "category:x", "category:x > y"]),
    (jan(1), at(1, 11), "u", "rate", "z", ["brand:c"]),
    (jan(2), at(2, 8), "u", "buy", "j", ["brand:b", "category:w"]),
    # Late: it arrives in the night of the 2nd with a time of the 1st, so it weighs one night less.
    (jan(2), at(1, 12), "u", "click", "k", None),
    (jan(3), at(3, 8), "u", "click", "l", ["brand:a", "category:x"]),
    (jan(2), at(2, 8), "v", "view", "i", ["brand:a"]),
    (jan(2), at(2, 8), "anonymous", "buy", "i", ["brand:a"]),
    (jan(6), at(6, 8), "v", "view", "i", ["brand:b"]),
]


@pytest.fixture(scope="module")
def events(spark):
    return spark.createDataFrame(ROWS, EVENT)


@pytest.fixture(scope="module")
def nothing(spark):
    return spark.createDataFrame([], USER_PROFILES.schema)


def bulk(*snapshots):
    return Night(snapshots[-1], date(1970, 1, 1), (), snapshots)


def test_profiles_of_two_nights_by_hand(spark, events, nothing):
    taken_i, taken_j, taken_k = ((at(1, 10), "i", "click"), (at(2, 8), "j", "buy"), (at(1, 12), "k", "click"))
    two = 0.2 + 1.0 + 1.0
    expected = [
        (
            jan(2), "u",
            [("brand:a", two, jan(1)), ("brand:b", 5.0, jan(2)), ("category:w", 5.0, jan(2)),
             ("category:x", two, jan(1)), ("category:x > y", two, jan(1))],
            [("i", 2.0, jan(1)), ("j", 5.0, jan(2)), ("k", round(D * 1e6) / 1e6, jan(2))],
            [taken_j, taken_k, taken_i],
            6, 4, at(1, 9), at(2, 8), "segment:w",
        ),
        (jan(2), "v", [("brand:a", 0.2, jan(2))], [], [], 1, 0, at(2, 8), at(2, 8), None),
        (
            jan(6), "u",
            [("brand:a", two * D**2 + 1.0, jan(3)), ("category:x", two * D**2 + 1.0, jan(3))],
            [("l", 1.0, jan(3))],
            [(at(3, 8), "l", "click"), taken_j, taken_k],
            7, 5, at(1, 9), at(3, 8), "segment:x",
        ),
        # What v saw on the 2nd is forgotten on the 6th; that it happened is not.
        (jan(6), "v", [("brand:b", 0.2, jan(6))], [], [], 2, 0, at(2, 8), at(6, 8), None),
    ]  # fmt: skip
    built = build_user_profiles(user_profiles=nothing, events=events, night=bulk(jan(2), jan(6)), config=CONFIG)
    conformed = USER_PROFILES.conform(built, with_run_date=True)
    assertDataFrameEqual(conformed, spark.createDataFrame(expected, USER_PROFILES.schema), rtol=0, atol=1e-15)


def test_three_nights_equal_one_rebuild_and_training_reads_the_same(spark, events, nothing):
    nights = (jan(1), jan(2), jan(6))
    rebuilt = build_user_profiles(user_profiles=nothing, events=events, night=bulk(*nights), config=CONFIG)
    profiles, stepwise, held = nothing, [], ()
    for run_date in nights:
        # The run of the 6th takes in what arrived since the snapshot of the 2nd.
        since = F.lit(held[-1] if held else date(1970, 1, 1))
        arrived = events.where((F.col("run_date") > since) & (F.col("run_date") <= F.lit(run_date)))
        profiles = build_user_profiles(
            user_profiles=profiles, events=arrived.repartition(3), night=ordinary_night(run_date, held), config=CONFIG
        ).localCheckpoint()
        stepwise, held = [*stepwise, profiles], (*held, run_date)
    assertDataFrameEqual(stepwise[0].union(stepwise[1]).union(stepwise[2]), rebuilt, rtol=0, atol=0)
    asked = spark.createDataFrame(
        [("u", jan(6)), ("u", jan(2)), ("v", jan(1)), ("w", jan(6))], "user_id string, as_of date"
    )
    from_first = profiles_as_of(stepwise[0], events.where(F.col("run_date") > F.lit(jan(1))), asked, CONFIG)
    wanted = rebuilt.where("user_id = 'u' and run_date > '2026-01-01'")
    assertDataFrameEqual(from_first.withColumnRenamed("as_of", "run_date"), wanted, rtol=0, atol=0)


def test_what_comes_after_the_night_changes_nothing_and_the_untouched_stay(spark, events, nothing):
    night = bulk(jan(3))
    until = events.where(F.col("run_date") <= F.lit(jan(3)))
    before = build_user_profiles(user_profiles=nothing, events=until, night=night, config=CONFIG).localCheckpoint()
    later = [(jan(4), at(4, 0), "u", "buy", "i", ["brand:a"]), (jan(9), at(3, 23, 59), "v", "buy", "i", ["brand:a"])]
    more = until.union(spark.createDataFrame(later, EVENT))
    after = build_user_profiles(user_profiles=nothing, events=more, night=night, config=CONFIG)
    assertDataFrameEqual(after, before, rtol=0, atol=0)
    # One night on, v has done nothing: the same row to the bit.
    only_u = spark.createDataFrame(later[:1], EVENT)
    next_night = build_user_profiles(
        user_profiles=before, events=only_u, night=ordinary_night(jan(4), (jan(3),)), config=CONFIG
    )
    assertDataFrameEqual(
        next_night.where("user_id = 'v'").drop("run_date"),
        before.where("user_id = 'v'").drop("run_date"),
        rtol=0,
        atol=0,
    )
