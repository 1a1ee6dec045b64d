"""Searches: when their window closes, what counts as a gain, and every reason."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import bulk_night, ordinary_night
from nightrank.steps.searches import build_searches
from nightrank.tables import EVENTS, RAW_SEARCHES, SEARCHES

TONIGHT = date(2026, 1, 3)
NOON = datetime(2026, 1, 3, 12)
WINDOW = timedelta(hours=6)


def shown(
    item: str, position: int | None, base: float | None = 1.0, propensity: float | None = None
) -> tuple[Any, ...]:
    return (item, position, base, None, propensity)


def raw(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    base = {
        **dict.fromkeys(RAW_SEARCHES.names), "ts": NOON, "user_id": "u", "query": "Red Shoes!",
        "slate": [shown("i1", 1), shown("i2", 2)], "arrived": TONIGHT, "problems": [],
    }  # fmt: skip
    return spark.createDataFrame([tuple({**base, **row}.values()) for row in rows], RAW_SEARCHES)


def acts(spark: SparkSession, *rows: tuple[str, str, str, datetime, date]) -> DataFrame:
    names = ("query_id", "item_id", "action", "ts", "run_date")
    base = {**dict.fromkeys(EVENTS.schema.names), "reasons": [], "accepted": True}
    return spark.createDataFrame(
        [tuple({**base, **dict(zip(names, row, strict=True))}.values()) for row in rows], EVENTS.schema
    )


def test_gains_are_the_largest_within_the_window(spark: SparkSession) -> None:
    second = timedelta(seconds=1)
    searches = raw(
        spark,
        {"query_id": "q1"},
        {"query_id": "q2", "slate": [shown("i2", 3), shown("i1", 1, None)], "user_id": None},
        {"query_id": "q3", "slate": [shown("i1", None), shown(" ", None), shown("i2", None)]},
    )
    events = acts(
        spark,
        ("q1", "i1", "click", NOON, TONIGHT),
        ("q1", "i1", "cart", NOON + WINDOW, TONIGHT),
        ("q1", "i1", "buy", NOON + WINDOW + second, TONIGHT),
        ("q1", "i2", "buy", NOON - second, TONIGHT),
        ("q1", "i2", "view", NOON, TONIGHT),
        ("q1", "i3", "buy", NOON, TONIGHT),
        ("q2", "i2", "buy", NOON, TONIGHT),
        ("q2", "i1", "like", NOON, TONIGHT + timedelta(days=1)),
    )
    got = build_searches(searches, events, ordinary_night(TONIGHT, ()), Config())
    assert SEARCHES.conform(got, with_run_date=True).columns == got.columns
    found = got.select("run_date", "query_id", "user_id", "normalised_query", "slate", "derived", "accepted")
    wanted = [
        (TONIGHT, "q1", "u", "red shoes", [("i1", 1, 1.0, False, None, 2.0), ("i2", 2, 1.0, False, None, 0.0)]),
        # One base score is missing: all of them follow the position, -log2(1 + position).
        (TONIGHT, "q2", "anonymous", "red shoes",
         [("i1", 1, -1.0, False, None, 0.0), ("i2", 3, -2.0, False, None, 3.0)]),
        (TONIGHT, "q3", "u", "red shoes", [("i1", 1, 1.0, False, None, 0.0), ("i2", 3, 1.0, False, None, 0.0)]),
    ]  # fmt: skip
    assertDataFrameEqual(found, spark.createDataFrame([(*row, False, True) for row in wanted], found.schema))


def test_a_search_belongs_to_the_night_in_which_its_window_closes(spark: SparkSession) -> None:
    day = timedelta(days=1)
    searches = raw(
        spark,
        {"query_id": "evening before", "ts": datetime(2026, 1, 2, 18), "arrived": TONIGHT - day},
        {"query_id": "just closed", "ts": datetime(2026, 1, 2, 17, 59, 59), "arrived": TONIGHT - day},
        {"query_id": "late arrival", "ts": datetime(2026, 1, 1)},
        {"query_id": "still open", "ts": datetime(2026, 1, 3, 18)},
        {"query_id": "impossible", "ts": datetime(2026, 2, 1)},
        {"query_id": "timeless", "ts": None},
        # Sent again, with the first one in the night before.
        {"query_id": "just closed"},
    )
    none = acts(spark)
    got = build_searches(searches, none, ordinary_night(TONIGHT, ()), Config()).select(
        "run_date", "query_id", "reasons"
    )
    tonight = [
        (TONIGHT, "evening before", []),
        (TONIGHT, "late arrival", []),
        (TONIGHT, "impossible", ["impossible_time"]),
        (TONIGHT, "timeless", ["missing_key"]),
        (TONIGHT, "just closed", ["duplicate"]),
    ]
    assertDataFrameEqual(got, spark.createDataFrame(tonight, got.schema))
    built = build_searches(searches, none, bulk_night(TONIGHT, 14, 1), Config())
    bulk = built.select("run_date", "query_id", "reasons")
    both = [*tonight, (TONIGHT - day, "just closed", [])]
    assertDataFrameEqual(bulk, spark.createDataFrame(both, got.schema))


def test_each_reason_once(spark: SparkSession) -> None:
    config = Config.model_validate({"searches": {"longest_slate": 2}})
    searches = raw(
        spark,
        {"query_id": "long slate", "slate": [shown(f"i{at}", at) for at in (3, 2, 1)]},
        {"query_id": None},
        {"query_id": "silent", "query": " "},
        {"query_id": "empty", "slate": []},
        {"query_id": "null", "slate": None},
        {"query_id": "nan", "slate": [shown("i1", 1, math.nan, math.inf)]},
        {"query_id": "same place", "slate": [shown("i1", 1), shown("i2", 1)]},
        {"query_id": "zeroth", "slate": [shown("i1", 0)]},
        {"query_id": "unlikely", "slate": [shown("i1", 1, 1.0, 0.0)]},
        {"query_id": "q" * 257},
        {"query_id": "broken", "problems": ["unparsable"]},
        {"query_id": "good", "slate": [shown("i1", 1, 1.0, 0.5)]},
    )
    got = build_searches(searches, acts(spark), ordinary_night(TONIGHT, ()), config)
    rows = {row.query_id: row for row in got.collect()}
    assert {name: row.reasons for name, row in rows.items() if row.reasons} == {
        None: ["missing_key"], "silent": ["missing_key"], "empty": ["empty_slate"], "null": ["empty_slate"],
        "same place": ["duplicate_position"], "zeroth": ["impossible_position"], "q" * 257: ["overlong_id"],
        "unlikely": ["impossible_propensity"], "broken": ["unparsable"],
        "nan": ["impossible_propensity", "not_finite"],
    }  # fmt: skip
    assert [row.accepted for row in rows.values()] == [not row.reasons for row in rows.values()]
    assert [one.item_id for one in rows["long slate"].slate] == ["i1", "i2"]
    assert (rows["nan"].slate[0].base_score, rows["nan"].slate[0].propensity) == (None, None)
    assert rows["good"].slate[0].propensity == pytest.approx(0.5, abs=0)
