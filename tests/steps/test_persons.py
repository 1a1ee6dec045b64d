"""Persons: profiles merge when they are read, and come apart again; what is forgotten reaches none of them."""

from __future__ import annotations

from datetime import date

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual
from test_people import WORD, at, built, jan, said

from nightrank import tables
from nightrank.config import Config
from nightrank.nights import BEGINNING, Night, ordinary_night
from nightrank.steps.consent import not_forgotten
from nightrank.steps.habits import STATES
from nightrank.steps.persons import (
    COLUMNS,
    persons,
    persons_of,
    profiles_by_id,
    rows_still_served,
    under_each_id,
    with_relatives,
)
from nightrank.steps.user_profiles import build_user_profiles

CONFIG = Config.model_validate(
    {
        "user_profiles": {
            "half_life_nights": 2.0,
            "short_half_life_hours": 24,
            "season_half_life_nights": 4,
            "forget_nights": 30,
            "recent": 3,
            "segment_min_takes": 2,
        },
        "events": {"takes": ["click", "buy"], "action_weights": {"view": 0.2, "click": 1.0, "buy": 5.0}},
        "people": {"longest_chain": 1},
    }
)
# What is left of a value after a night.
D, SHORT, SEASON = 0.5**0.5, 0.5, 0.5**0.25
PEOPLE_ROW = "run_date date, user_id string, person_id string, opted_out boolean, forgotten_until date"
EVENT = "run_date date, ts timestamp, user_id string, action string, item_id string, facets array<string>"


def profiles_of(spark: SparkSession, rows: list[tuple]) -> DataFrame:
    frame = spark.createDataFrame(rows, tables.USER_PROFILES.schema)
    return frame.withColumn("as_of", F.col("run_date")).select(*COLUMNS)


def a_profile(
    user: str,
    affinities: list,
    own: list,
    recent: list,
    segment: str | None,
    night: int = 3,
    habits: dict[str, list] | None = None,
) -> tuple:
    """affinities: token, one value or the three of the half-lives, touched."""
    threefold = [
        (token, *(value if isinstance(value, tuple) else [value] * 3), day) for token, value, day in affinities
    ]
    said_of = {
        "run_date": jan(night), "user_id": user, "affinities": threefold, "own_items": own, "recent": recent,
        "events": 5, "takes": len(recent), "first_ts": at(1), "last_ts": at(2), "segment": segment,
    }  # fmt: skip
    said_of |= {name: (habits or {}).get(name, []) for name in STATES}
    return tuple(said_of.get(name) for name in tables.USER_PROFILES.schema.names)


@pytest.fixture(scope="module")
def two(spark: SparkSession) -> DataFrame:
    """Of one person on the 3rd: a cookie and the logged-in id; a stranger; and the cookie on the 2nd."""
    rows = [
        a_profile(
            "z", [("category:x", 1.0, jan(3))], [("i", 1.0, jan(3))], [(at(2, 8), "j", "click")], None,
            habits={"seen_items": [("i", 1.0, jan(3))], "item_cycles": [("i", 2, 1, 1, jan(3), jan(3))]},
        ),
        a_profile(
            "c", [("brand:a", 2.0, jan(2)), ("category:x", 4.0, jan(1))], [("i", 2.0, jan(1))],
            [(at(2), "i", "buy"), (at(2, 8), "j", "click"), (at(1), "i", "click")], "segment:x",
            habits={"seen_items": [("i", 4.0, jan(1)), ("j", 1.0, jan(2))]},
        ),
        a_profile("s", [("brand:a", 0.3, jan(3))], [], [], None),
        a_profile("c", [("brand:a", 2.0, jan(2))], [], [], None, night=2),
    ]  # fmt: skip
    return profiles_of(spark, rows)


@pytest.fixture(scope="module")
def links(spark: SparkSession) -> DataFrame:
    """On the 3rd c and the id `out`, which is opted out, belong to z."""
    rows = [(jan(3), "c", "z", False, None), (jan(3), "out", "z", True, jan(3)), (jan(3), "s", "s", False, jan(2))]
    return spark.createDataFrame(rows, PEOPLE_ROW)


def test_profiles_of_one_person_are_one_under_each_id(spark: SparkSession, two: DataFrame, links: DataFrame) -> None:
    fashion = tuple(4.0 * left**2 + 1.0 for left in (D, SHORT, SEASON))
    merged = (
        [("brand:a", 2.0, jan(2)), ("category:x", fashion, jan(3))],
        [("i", 2.0 * D**2 + 1.0, jan(3))],
        [(at(2), "i", "buy"), (at(2, 8), "j", "click"), (at(1), "i", "click")],
        "segment:x",
    )
    at_event, at_take = (tables.USER_PROFILES.schema.names.index(name) for name in ("events", "takes"))
    # One after the other, in the order of ids: whoever reads them adds up, or takes the one bought last.
    seen = [("i", 4.0, jan(1)), ("j", 1.0, jan(2)), ("i", 1.0, jan(3))]
    habits = {"seen_items": seen, "item_cycles": [("i", 2, 1, 1, jan(3), jan(3))]}
    both = [list(a_profile(user, *merged, habits=habits)) for user in ("z", "c")]
    for one in both:
        one[at_event], one[at_take] = 10, 4
    expected = [
        *map(tuple, both),
        a_profile("s", [("brand:a", 0.3, jan(3))], [], [], None),
        # The link is of the 3rd: on the 2nd the cookie is its own person.
        a_profile("c", [("brand:a", 2.0, jan(2))], [], [], None, night=2),
    ]
    found = profiles_by_id(two, links, CONFIG)
    assertDataFrameEqual(found, profiles_of(spark, expected), rtol=0, atol=0)


def test_without_links_nothing_changes_nor_does_the_plan(spark: SparkSession, two: DataFrame) -> None:
    nobody = spark.createDataFrame([], tables.PEOPLE.schema).limit(0)
    asked = two.select("user_id", "as_of")
    assertDataFrameEqual(persons(two, nobody, CONFIG), two, rtol=0, atol=0)
    for frame in (
        persons(two, nobody, CONFIG),
        not_forgotten(two, nobody, F.col("as_of")),
        with_relatives(asked, nobody),
    ):
        plan = frame._jdf.queryExecution().optimizedPlan().toString()
        assert "Join" not in plan
        assert "Aggregate" not in plan


def test_who_is_asked_for_is_asked_for_with_all_ids_and_found_by_any(spark: SparkSession, links: DataFrame) -> None:
    asked = spark.createDataFrame([("c", jan(3)), ("c", jan(2)), ("s", jan(3))], "user_id string, as_of date")
    relatives = spark.createDataFrame([("z", jan(3)), ("out", jan(3))], asked.schema)
    assertDataFrameEqual(with_relatives(asked, links), asked.unionByName(relatives))
    ids = asked.select("user_id").distinct()
    assertDataFrameEqual(persons_of(ids, links), spark.createDataFrame([("z",), ("s",)], "user_id string"))
    rows = spark.createDataFrame([("z", 1), ("s", 2), ("anonymous", 3)], "user_id string, evidence int")
    served = spark.createDataFrame([("z", 1), ("c", 1), ("s", 2), ("anonymous", 3)], rows.schema)
    assertDataFrameEqual(under_each_id(rows, links), served)
    # Since the 3rd, the one id of z that was not opted out has done so: no id of z is served by the row of then.
    since = spark.createDataFrame([(jan(5), "c", "z", True, jan(5)), (jan(5), "s", "s", False, jan(2))], PEOPLE_ROW)
    still = spark.createDataFrame([("s", 2), ("anonymous", 3)], rows.schema)
    assertDataFrameEqual(rows_still_served(served, links, since, jan(3)), still)
    # What s did up to the 2nd is forgotten, and all that the opted out did.
    done = spark.createDataFrame(
        [(jan(2), "s"), (jan(3), "s"), (jan(3), "out"), (jan(1), "c")], "run_date date, user_id string"
    )
    kept = spark.createDataFrame([(jan(3), "s"), (jan(1), "c")], done.schema)
    assertDataFrameEqual(not_forgotten(done, links), kept)


# arrived, ts, user, action, item, facets. Late ones come a night or two after their own day.
LOG = [
    (jan(1), at(1), "c1", "click", "i", ["brand:a", "category:x"]),
    (jan(1), at(1), "p", "buy", "j", ["brand:b", "category:x"]),
    (jan(1), at(1), "o", "buy", "j", ["brand:b"]),
    (jan(2), at(1, 20), "c1", "buy", "k", ["brand:a"]),
    (jan(2), at(2), "c2", "click", "i", ["brand:a", "category:w"]),
    (jan(2), at(2), "o", "click", "i", ["brand:a"]),
    (jan(3), at(1, 21), "c2", "click", "k", ["brand:a"]),
    (jan(3), at(2, 23), "p", "view", "i", ["brand:a", "category:x"]),
    (jan(3), at(3), "c1", "buy", "i", ["brand:a", "category:x"]),
    (jan(3), at(3), "o", "view", "i", ["brand:c"]),
]
# Two merges, of which one is undone; o opts out for a night.
WORDS = [
    said(1, at(1), "c1", "link", "p"),
    said(2, at(2), "c2", "link", "p"),
    said(3, at(3), "c1", "unlink"),
    said(1, at(1), "o", "opt_out"),
    said(2, at(2), "o", "opt_in"),
]


def folded(spark: SparkSession, log: list[tuple], nights: list[date]) -> tuple[DataFrame, DataFrame]:
    """Profiles as stored and people, of each night run on its own: the first a bulk load up to it."""
    events, words = (spark.createDataFrame(*one).localCheckpoint() for one in ((log, EVENT), (WORDS, WORD)))
    profiles, people = (spark.createDataFrame([], t.schema) for t in (tables.USER_PROFILES, tables.PEOPLE))
    stored, linked, held = profiles, people, ()
    for run_date in nights:
        night = ordinary_night(run_date, held) if held else Night(run_date, BEGINNING, (), (run_date,))
        after, until = F.lit(held[-1] if held else BEGINNING), F.lit(run_date)
        arrived = words.where((F.col("arrived") > after) & (F.col("arrived") <= until))
        people = built(arrived, night, people, CONFIG).localCheckpoint()
        new = events.where((F.col("run_date") > after) & (F.col("run_date") <= until)).repartition(3)
        fold = build_user_profiles(user_profiles=profiles, events=new, people=people, night=night, config=CONFIG)
        profiles = tables.USER_PROFILES.conform(fold, with_run_date=True).localCheckpoint()
        stored, linked, held = stored.unionByName(profiles), linked.unionByName(people), (*held, run_date)
    return stored.withColumn("as_of", F.col("run_date")).select(*COLUMNS), linked


def on(frame: DataFrame, night: date) -> DataFrame:
    return frame.where(F.col("as_of") == F.lit(night))


def values(frame: DataFrame) -> dict[tuple[str, str], float]:
    """Each facet's value on the 3rd, by user and token: a late one is touched later."""
    states = frame.select("user_id", F.inline("affinities"))
    value = F.col("value") * F.pow(F.lit(D), F.date_diff(F.lit(jan(3)), "touched"))
    return {(row[0], row[1]): row[2] for row in states.select("user_id", "token", value).collect()}


def test_merges_undone_and_late_events_equal_a_rebuild_to_the_bit(spark: SparkSession) -> None:
    stored, people = folded(spark, LOG, [jan(1), jan(2), jan(3)])
    rebuilt, rebuilt_people = folded(spark, LOG, [jan(3)])
    assertDataFrameEqual(on(stored, jan(3)), rebuilt, rtol=0, atol=0)
    merged = persons(stored, people, CONFIG).localCheckpoint()
    again = persons(rebuilt, rebuilt_people, CONFIG)
    assertDataFrameEqual(on(merged, jan(3)), again, rtol=0, atol=0)
    # On the 2nd three ids are one person, on the 3rd c1 has its own profile again, with all that it did.
    assert sorted(row.user_id for row in on(merged, jan(2)).collect()) == ["p"]
    assertDataFrameEqual(on(merged, jan(3)).where("user_id = 'c1'"), on(stored, jan(3)).where("user_id = 'c1'"))
    # o opted out on the 1st and in on the 2nd: only what arrived on the 3rd is known.
    rows = {row.as_of: row.affinities for row in stored.where("user_id = 'o'").collect()}
    assert {night: [s.token for s in states] for night, states in rows.items()} == {jan(3): ["brand:c"]}
    # The same events, delivered on other nights: only rounding differs.
    other = [(max(jan(2), event[1].date()), *event[1:]) for event in LOG if event[2] != "o"]
    moved, moved_people = folded(spark, other, [jan(3)])
    found = values(persons(moved, moved_people, CONFIG))
    wanted = {key: value for key, value in values(again).items() if key[0] != "o"}
    assert found == pytest.approx(wanted, abs=1e-5)
