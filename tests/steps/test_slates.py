"""Slates: gains weighted by inverse propensities, classes, organic and sponsored parts."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank import tables
from nightrank.config import Config
from nightrank.steps.judging import organic, slates_after
from nightrank.steps.slates import class_index, flat_slates

NIGHT = date(2026, 1, 5)
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def search(query_id: str, slate: list[tuple], device: str | None = "desktop", derived: bool = False) -> tuple:
    """A row of `searches`; slate: (item_id, position, base_score, sponsored, propensity, gain)."""
    return (
        NIGHT, query_id, NOON, "u1", "Tea Pot", slate, "s", device, None, derived, "tea pot", None, [], True,
    )  # fmt: skip


@pytest.fixture
def searches(spark: SparkSession) -> DataFrame:
    rows = [
        search("device", [("a", 1, 3.0, False, None, 0.0), ("b", 2, 2.0, None, None, 1.0)]),
        search("all", [("a", 1, 3.0, False, None, 2.0), ("b", 9, 2.0, False, None, 1.0)], device="tv"),
        search("logged", [("a", 1, 3.0, False, 0.25, 1.0)], device=None),
        search("clipped", [("a", 1, 3.0, False, 0.001, 1.0)]),
        search("derived", [("a", 2, 3.0, False, None, 3.0)], derived=True),
        search("nothing taken", [("a", 1, 3.0, False, None, 0.0)]),
        search("sponsored only", [("a", 1, 3.0, True, None, 1.0), ("b", 2, 2.0, False, None, 0.0)]),
    ]
    return spark.createDataFrame(rows, tables.SEARCHES.schema)


@pytest.fixture
def slates(spark: SparkSession, searches: DataFrame) -> DataFrame:
    curve = [("desktop", 1, 1.0), ("desktop", 2, 0.5), ("all", 1, 1.0), ("all", 2, 0.4)]
    propensities = spark.createDataFrame([(*c, 0, 0, "") for c in curve], tables.PROPENSITIES.columns)
    other = {**dict.fromkeys(tables.QUERY_CLASSES.columns.names), "normalised_query": "other"}
    other["query_class"] = "navigational"
    classes = spark.createDataFrame([tuple(other.values())], tables.QUERY_CLASSES.columns)
    return flat_slates(searches, propensities, classes, Config())


def test_gains_are_divided_by_the_propensity_of_their_position(spark: SparkSession, slates: DataFrame) -> None:
    expected = [
        ("device", [0.0, 1.0 / 0.5]),  # the search's own device
        ("all", [2.0 / 1.0, 1.0 / 0.4]),  # an unknown device; position 9 counts as the last of the curve
        ("logged", [1.0 / 0.25]),  # what was logged with the slate comes first
        ("clipped", [1.0 / 0.1]),  # never below propensities.clip
        ("derived", [3.0]),  # shown in no order
        ("sponsored only", [1.0, 0.0]),
    ]
    assertDataFrameEqual(
        slates.select("query_id", "slate_gains"),
        spark.createDataFrame(expected, "query_id string, slate_gains array<double>"),
    )


def test_propensities_are_kept_as_they_are_beside_the_gains(slates: DataFrame) -> None:
    found = {row.query_id: row.slate_propensities for row in slates.collect()}
    assert found["device"] == [1.0, 0.5]
    assert found["all"] == [1.0, 0.4]
    assert found["clipped"] == [0.001]
    assert found["derived"] == [1.0]


def test_unknown_queries_are_of_class_category(slates: DataFrame) -> None:
    found = slates.select("query_class", class_index(slates.query_class).alias("i")).distinct().collect()
    assert [tuple(row) for row in found] == [("category", 1)]


def test_the_organic_part_leaves_sponsored_slots_out(spark: SparkSession, slates: DataFrame) -> None:
    both = slates.where("query_id in ('sponsored only', 'device')")
    kept = organic(both).select("query_id", "slate_item_ids", "slate_gains")
    schema = "query_id string, slate_item_ids array<string>, slate_gains array<double>"
    assertDataFrameEqual(kept, spark.createDataFrame([("device", ["a", "b"], [0.0, 2.0])], schema))


def test_only_slates_after_the_cut_are_judged_or_a_share_of_them(slates: DataFrame) -> None:
    assert slates_after(slates, NOON, 1.0).count() == 6
    assert slates_after(slates, datetime(2026, 1, 5, 12, 0, 1, tzinfo=UTC), 1.0).isEmpty()
    drawn = {row.query_id for row in slates_after(slates, NOON, 0.5).collect()}
    assert 0 < len(drawn) < 6
    assert drawn == {row.query_id for row in slates_after(slates.repartition(3), NOON, 0.5).collect()}
