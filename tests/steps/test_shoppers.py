"""Flat shoppers and the mean shopper of a group."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from nightrank import tables
from nightrank.config import Config
from nightrank.steps.shoppers import FLAT, flat_shoppers, group_shoppers

NIGHT, BEFORE = date(2026, 1, 31), date(2026, 1, 1)
CONFIG = Config.model_validate({"training_examples": {"recent": 2}, "user_profiles": {"half_life_nights": 30}})


def at(hour: int) -> datetime:
    return datetime(2026, 1, 31, hour, tzinfo=UTC)


# Columns of habits: cycles of items and categories, prices, looks; names, then numbers.
NONE_KNOWN = (None,) * 8
NONE = ([],) * 8


def profile(
    user: str, affinities: list, own: list, recent: list, events: int, segment: str | None, habits: dict | None = None
) -> tuple:
    values = {"run_date": NIGHT, "user_id": user, "own_items": own, "recent": recent, "events": events}
    values |= habits or {}
    values |= {"affinities": [(token, value, 0.0, 0.0, at) for token, value, at in affinities], "segment": segment}
    return tuple(values.get(name) for name in tables.USER_PROFILES.schema.names)


HABITS = {
    # What was bought once has no cycle.
    "item_cycles": [("a", 3, 20, 202, BEFORE, NIGHT), ("b", 1, 0, 0, NIGHT, NIGHT)],
    "category_cycles": [("category:t", 2, 4, 16, NIGHT, NIGHT)],
    "price_positions": [("category:s", 1.0, 2.0, 0.0, 0.0, NIGHT), ("category:t", 9.0, 40.0, 5.0, 15.0, BEFORE)],
    "seen_items": [("a", 2.0, BEFORE), ("c", 1.0, NIGHT)],
}


@pytest.fixture
def shoppers(spark: SparkSession) -> DataFrame:
    recent = [(at(9), "b", "click"), (at(8), "b", "buy"), (at(7), "a", "click"), (at(6), "c", "click")]
    rows = [
        profile(
            "u1",
            [("brand:x", 4.0, BEFORE), ("brand:y", 1.0, NIGHT)],
            [("a", 2.0, BEFORE)],
            recent,
            9,
            "segment:t",
            HABITS,
        ),
        profile("u2", [("brand:x", 3.0, NIGHT)], [("a", 1.0, NIGHT), ("d", 5.0, NIGHT)], [], 1, None),
    ]
    profiles = spark.createDataFrame(rows, tables.USER_PROFILES.schema)
    return flat_shoppers(profiles.withColumn("as_of", F.col("run_date")), CONFIG)


def test_values_are_decayed_to_the_as_of_date_and_recents_are_distinct(
    spark: SparkSession, shoppers: DataFrame
) -> None:
    # 30 nights with a half life of 30: what was touched on January 1 is worth half.
    hours = [int(at(hour).timestamp()) // 3600 for hour in (6, 7, 8, 9)]
    in_order = (["c", "a", "b", "b"], [2, 2, 4, 2], hours)  # all takes, oldest first: click, click, buy, click
    # The day that is served is the one after; of prices half is left, of looks all, until they are forgotten.
    habits = (
        ["a"],
        [3, 20, 202, 31],
        ["category:t"],
        [2, 4, 16, 1],
        ["category:t"],
        [2.5, 7.5],
        ["a", "c"],
        [2.0, 1.0],
    )
    expected = [
        ("u1", NIGHT, 9, "segment:t", ["brand:x", "brand:y"], [2.0, 1.0], ["a"], [1.0], ["b", "a"], *in_order, *habits),
        ("u2", NIGHT, 1, None, ["brand:x"], [3.0], ["a", "d"], [1.0, 5.0], [], [], [], [], *NONE_KNOWN),
    ]
    assertDataFrameEqual(shoppers, spark.createDataFrame(expected, FLAT), rtol=1e-12)


def test_a_group_is_a_shopper_of_whom_nothing_is_known(spark: SparkSession) -> None:
    segments = [
        (NIGHT, "anonymous", None, 2, ["brand:x"], [2.5], ["d", "a"]),
        (NIGHT, "segment:t", "category:t", 1, None, None, None),
    ]
    expected = [
        ("anonymous", NIGHT, 0, None, ["brand:x"], [2.5], [], [], ["d", "a"], ["a", "d"], [0, 0], [0, 0], *NONE),
        ("segment:t", NIGHT, 0, None, [], [], [], [], [], [], [], [], *NONE),
    ]
    found = group_shoppers(spark.createDataFrame(segments, tables.SEGMENTS.schema))
    assertDataFrameEqual(found, spark.createDataFrame(expected, FLAT))
