"""People: words by their own time, links to their person, who is forgotten until when; night by night == at once."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import BEGINNING, Night, ordinary_night
from nightrank.steps.people import build_people
from nightrank.tables import PEOPLE, RAW_EVENTS, RAW_PEOPLE, RAW_SEARCHES, USER_PROFILES

CONFIG = Config.model_validate({"events": {"longest_id": 9}, "people": {"longest_chain": 2}})
WORD = "ts timestamp, user_id string, action string, other_id string, arrived date, problems array<string>"


def jan(day: int) -> date:
    return date(2026, 1, day)


def at(day: int, hour: int = 9) -> datetime:
    return datetime(2026, 1, day, hour)


def said(arrived: int, ts: datetime, user: str, action: str, other: str | None = None) -> tuple:
    return (ts, user, action, other, jan(arrived), [])


WORDS = [
    said(1, at(1), "c1", "link", "p"),
    said(1, at(1), "c2", "link", "p"),
    said(2, at(2), "c2", "unlink"),
    said(2, at(2), "p", "opt_out"),
    # Late, and older than what stands: changes nothing.
    said(3, at(1, 23), "c2", "link", "q"),
    said(4, at(4), "p", "opt_in"),
    # One ts: of the two the opt-out stands, and of the links the one to the larger id.
    said(1, at(1), "tie", "opt_out"),
    said(1, at(1), "tie", "opt_in"),
    said(1, at(1), "tie", "link", "a"),
    said(3, at(1), "tie", "link", "b"),
    # A circle; a chain of two links, which is followed, and one of three, which is not.
    said(4, at(4), "d1", "link", "d2"),
    said(4, at(4), "d2", "link", "d1"),
    *[said(3, at(3), f"x{n}", "link", f"x{n + 1}") for n in range(1, 4)],
    # A late opt-out before an opt-in that has arrived: what had arrived until tonight is forgotten.
    said(4, at(4), "q", "opt_in"),
    said(5, at(3), "q", "opt_out"),
    # The cookie's word is not its person's.
    said(5, at(5), "c3", "link", "p"),
    said(5, at(5), "c3", "opt_out"),
]
# user, person, opted out, forgotten until, linked to, linked ts, refuses, refused ts: on the night of the 6th.
STATES = [
    ("c1", "p", False, jan(4), "p", at(1), None, None),
    ("c2", "c2", False, None, None, at(2), None, None),
    ("c3", "p", True, jan(6), "p", at(5), True, at(5)),
    ("d1", "d1", False, None, "d2", at(4), None, None),
    ("d2", "d1", False, None, "d1", at(4), None, None),
    ("p", "p", False, jan(4), None, None, False, at(4)),
    ("q", "q", False, jan(5), None, None, False, at(4)),
    ("tie", "b", True, jan(6), "b", at(1), True, at(1)),
    ("x1", "x1", False, None, "x2", at(3), None, None),
    *[(f"x{n}", "x4", False, None, f"x{n + 1}", at(3), None, None) for n in range(2, 4)],
]


@pytest.fixture(scope="module")
def words(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(WORDS, WORD).localCheckpoint()


def bulk(first: date, last: date) -> Night:
    return Night(last, BEGINNING, (), (first, last))


def built(words: DataFrame, night: Night, people: DataFrame | None = None, config: Config = CONFIG) -> DataFrame:
    """The table as of the night, without a rotation."""
    nothing = words.sparkSession.createDataFrame
    frame = build_people(
        raw_people=words.select(*RAW_PEOPLE.names),
        raw_events=nothing([], RAW_EVENTS),
        raw_searches=nothing([], RAW_SEARCHES),
        user_profiles=nothing([], USER_PROFILES.schema),
        people=nothing([], PEOPLE.schema) if people is None else people,
        night=night,
        config=config,
    )
    return PEOPLE.conform(frame, with_run_date=True)


def accepted(frame: DataFrame) -> DataFrame:
    return frame.where("accepted")


def test_words_count_by_their_own_time_and_links_lead_to_a_person(spark: SparkSession, words: DataFrame) -> None:
    expected = [(jan(6), *state, None, [], True) for state in STATES]
    found = accepted(built(words, bulk(jan(6), jan(6))))
    assertDataFrameEqual(found, spark.createDataFrame(expected, PEOPLE.schema))


def test_night_by_night_is_at_once_and_a_bulk_load_has_every_night(spark: SparkSession, words: DataFrame) -> None:
    people, stepwise = spark.createDataFrame([], PEOPLE.schema), []
    held: tuple[date, ...] = ()
    for run_date in (jan(day) for day in (2, 4, 5)):
        # The runs of the 2nd and the 4th take in two nights' arrivals.
        since = F.lit(held[-1] if held else BEGINNING)
        arrived = words.where((F.col("arrived") > since) & (F.col("arrived") <= F.lit(run_date)))
        people = built(arrived.repartition(3), ordinary_night(run_date, held), people).localCheckpoint()
        stepwise, held = [*stepwise, people], (*held, run_date)
    at_once = built(words, bulk(jan(1), jan(5))).localCheckpoint()
    for night, found in zip(held, stepwise, strict=True):
        assertDataFrameEqual(found, at_once.where(F.col("run_date") == F.lit(night)))
    # While the person is opted out so are the ids linked to it, from the night of the link to that of its undoing.
    out = at_once.where("opted_out").groupBy("user_id").agg(F.array_sort(F.collect_set(F.dayofmonth("run_date"))))
    nights = {"p": [2, 3], "c1": [2, 3], "c3": [5], "tie": [1, 2, 3, 4, 5]}
    assert {row[0]: row[1] for row in out.collect()} == nights


def test_what_cannot_be_is_kept_with_its_reasons(spark: SparkSession) -> None:
    bad = [
        (at(2), None, "opt_out", None, ["missing_key"]),
        (None, "u", "opt_out", None, ["missing_key"]),
        (at(2), "u", "link", None, ["missing_key"]),
        (at(2), "u", "hug", "v", ["unknown_action"]),
        (at(2), "u", "link", "u", ["linked_to_itself"]),
        (at(2), "u", "link", "anonymous", ["anonymous_id"]),
        (at(2) + timedelta(days=1), "a123456789", "link", "v", ["impossible_time", "overlong_id"]),
    ]
    raw = [(ts, user, action, other, jan(2), []) for ts, user, action, other, _ in bad]
    raw += [(at(2), "u", "opt_in", None, jan(2), ["unparsable"]), said(2, at(2), "u", "opt_in")]
    found = built(spark.createDataFrame(raw, WORD), ordinary_night(jan(2), (jan(1),)))

    def refused(ts: datetime | None, user: str | None, action: str, other: str | None, reasons: list[str]) -> tuple:
        nothing = (None, None, None)
        return (jan(2), user or "anonymous", *nothing, other, ts, None, None, action, reasons, False)

    expected = [refused(*row) for row in bad] + [refused(at(2), "u", "opt_in", None, ["unparsable"])]
    expected += [(jan(2), "u", "u", False, None, None, None, False, at(2), None, [], True)]
    assertDataFrameEqual(found, spark.createDataFrame(expected, PEOPLE.schema))
