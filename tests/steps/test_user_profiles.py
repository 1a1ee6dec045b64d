"""Profiles: the rules by hand; three nights == one rebuild; training reads what the compiler reads."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta

import pytest
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import Night, ordinary_night
from nightrank.steps.shoppers import unwanted_items
from nightrank.steps.user_profiles import build_user_profiles, profiles_as_of
from nightrank.tables import USER_PROFILES

CONFIG = Config.model_validate(
    {
        "user_profiles": {
            "half_life_nights": 2.0, "short_half_life_hours": 12.0, "season_half_life_nights": 4.0, "forget_nights": 3,
            "recent": 3, "segment_min_takes": 2, "seen_forget_nights": 2, "seen_often": 3, "session_tokens": 2,
        },
        "events": {"takes": ["click", "buy"], "action_weights": {"view": 0.2, "click": 1.0, "buy": 5.0, "rate": 0.0}},
    }
)  # fmt: skip
D, HOUR, SEASON = 0.5**0.5, 0.5 ** (1 / 12), 0.5**0.25
CORE = (
    "run_date date, user_id string, affinities array<struct<token:string,value:double,touched:date>>, "
    "own_items array<struct<item_id:string,value:double,touched:date>>, "
    "recent array<struct<ts:timestamp,item_id:string,action:string>>, events bigint, takes bigint, "
    "first_ts timestamp, last_ts timestamp, segment string"
)
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
# Seen at two prices, bought again and again, and something that w does not want.
CHEAP, DEAR = (["brand:a", "category:x", "category:x > y", "price:2"], ["category:x", "category:x > y", "price:4"])
W_ROWS = [
    (jan(1), at(1, 9), "w", "buy", "i", CHEAP),
    (jan(1), at(1, 10), "w", "view", "j", DEAR),
    (jan(1), at(1, 10, 1), "w", "view", "j", DEAR),
    (jan(2), at(1, 12), "w", "hide", "k", ["brand:b"]),
    (jan(3), at(3, 8), "w", "buy", "i", CHEAP),
    (jan(3), at(3, 8, 9), "w", "dislike", "k", ["brand:b"]),
    (jan(3), at(3, 22), "w", "view", "j", DEAR),
    (jan(6), at(6, 9), "w", "buy", "i", [*CHEAP[:3], "price:3"]),
    (jan(6), at(6, 9, 50), "w", "view", "j", DEAR),
]


@pytest.fixture(scope="module")
def events(spark):
    return spark.createDataFrame(ROWS, EVENT)


def random_rows(many):
    """Events of ten shoppers on six nights, some up to four days late, with and without facets."""
    pick = random.Random(4)
    rows = []
    for _ in range(many):
        night, late = pick.randint(1, 6), pick.choice([0, 0, 1, 4])
        ts = at(night, pick.randrange(24), pick.randrange(60)) - timedelta(days=late)
        tokens = pick.choice([None, [], ["brand:b"], CHEAP, DEAR, [*DEAR, "brand:a"]])
        action = pick.choice(["view", "click", "buy", "hide", "rate"])
        rows.append((jan(night), ts, f"r{pick.randrange(10)}", action, f"i{pick.randrange(5)}", tokens))
    return rows


@pytest.fixture(scope="module")
def all_events(spark):
    return spark.createDataFrame(ROWS + W_ROWS + random_rows(300), EVENT)


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
    affinities = F.transform("affinities", lambda state: F.struct(state["token"], state["value"], state["touched"]))
    found = built.withColumn("affinities", affinities).select(*[column.split()[0] for column in CORE.split(", ")])
    assertDataFrameEqual(found, spark.createDataFrame(expected, CORE), rtol=0, atol=1e-15)


def by_hour(*weights_and_hours):
    """What weighs so much, so many hours before the end of its night, is worth then: a sum of whole millionths."""
    return sum(round(weight * HOUR**hours * 1e6) for weight, hours in weights_and_hours) / 1e6


def facet(token, touched, *nights):
    """The state of a facet after (nights since the last, weight, its value by the hour), the first at 0 nights."""
    value = short = season = 0.0
    for gap, weight, hourly in nights:
        value, short, season = value * D**gap + weight, short * 0.25**gap + hourly, season * SEASON**gap + weight
    return (token, value, short, season, touched)


def test_what_else_is_known_by_hand(spark, nothing):
    looks, dear = by_hour((0.2, 14), (0.2, 14)), (2, 0.2, by_hour((0.2, 2)))
    bought, again = (0, 5.0, by_hour((5.0, 15))), (2, 5.0, by_hour((5.0, 16)))
    both, both_again = (0, 5.4, by_hour((5.0, 15)) + looks), (2, 5.2, by_hour((5.0, 16), (0.2, 2)))
    third, both_third = (3, 5.0, by_hour((5.0, 15))), (3, 5.2, by_hour((5.0, 15), (0.2, 15)))
    hidden = round(D * 1e6) / 1e6
    disliked = [("brand:b", hidden * D + 1.0, jan(3))]
    seen, bands = 5.4 * D**2 + 5.2, 11.6 * D**2 + 10.8
    taken, taken_bands = 5.0 * D**2 + 5.0, 10.0 * D**2 + 10.0
    done = (3.0 * D + hidden) * D + 3.0
    x, y = "category:x", "category:x > y"
    expected = [
        (
            jan(3), "w",
            [facet("brand:a", jan(3), bought, again), *[facet(c, jan(3), both, both_again) for c in (x, y)],
             facet("price:2", jan(3), bought, again), facet("price:4", jan(3), (0, 0.4, looks), dear)],
            [("i", 5.0 * D**2 + 5.0, jan(3))], disliked, [("j", 3.0, jan(3))],
            [(y, seen, bands, taken, taken_bands, jan(3))],
            [("i", 2, 2, 4, jan(3), jan(3))], [(y, 2, 2, 4, jan(3), jan(3))],
            [(at(3, 8), "i", "buy"), (at(1, 9), "i", "buy")],
            # From 8 to 22 o'clock is another session. All of its facets are in one event: the first two by name.
            (at(3, 22), at(3, 22), 1, [(x, 1), (y, 1)]),
            (done, jan(3)), 7, 2, 3, at(1, 9), at(3, 22), "segment:x",
        ),
        (
            jan(6), "w",
            [facet("brand:a", jan(6), bought, again, third),
             *[facet(c, jan(6), both, both_again, both_third) for c in (x, y)],
             facet("price:2", jan(3), bought, again), facet("price:3", jan(6), (0, *third[1:])),
             facet("price:4", jan(6), (0, 0.4, looks), dear, (3, 0.2, by_hour((0.2, 15))))],
            [("i", (5.0 * D**2 + 5.0) * D**3 + 5.0, jan(6))], disliked,
            # Three nights not seen are more than two: it counts from one again.
            [("j", 1.0, jan(6))],
            [(y, seen * D**3 + 5.2, bands * D**3 + 15.8, taken * D**3 + 5.0, taken_bands * D**3 + 15.0, jan(6))],
            [("i", 3, 5, 13, jan(6), jan(6))], [(y, 3, 5, 13, jan(6), jan(6))],
            [(at(6, 9), "i", "buy"), (at(3, 8), "i", "buy"), (at(1, 9), "i", "buy")],
            (at(6, 9), at(6, 9, 50), 2, [(x, 2), (y, 2)]),
            (done * D**3 + 2.0, jan(6)), 9, 3, 4, at(1, 9), at(6, 9, 50), "segment:x",
        ),
    ]  # fmt: skip
    night = bulk(jan(3), jan(6))
    events = spark.createDataFrame(W_ROWS, EVENT)
    built = build_user_profiles(user_profiles=nothing, events=events, night=night, config=CONFIG)
    conformed = USER_PROFILES.conform(built, with_run_date=True)
    assertDataFrameEqual(conformed, spark.createDataFrame(expected, USER_PROFILES.schema), rtol=0, atol=1e-14)
    read = conformed.select(unwanted_items(CONFIG).alias("unwanted"))
    assertDataFrameEqual(read, spark.createDataFrame([(["j"],), ([],)], "unwanted array<string>"))


def test_three_nights_equal_one_rebuild_and_training_reads_the_same(spark, all_events, nothing):
    events = all_events
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
        [("u", jan(6)), ("u", jan(2)), ("v", jan(1)), ("nobody", jan(6))], "user_id string, as_of date"
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
