"""Classes of queries, from literal takes."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from pyspark.sql import SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.query_classes import build_query_classes
from nightrank.tables import ITEMS, QUERY_CLASSES, SEARCHES

TONIGHT = date(2026, 1, 31)
EARLIER = TONIGHT - timedelta(days=10)
CATEGORIES = {"a1": "A > x", "a2": "a > y", "a3": "A", "b1": "B", "n1": None}


def search(query: str, taken: str, day: date = TONIGHT, derived: bool = False) -> tuple[Any, ...]:
    slate = [(item, at, 0.0, False, None, 1.0) for at, item in enumerate(taken.split(), start=1)]
    slate.append(("shown only", len(slate) + 1, 0.0, False, None, 0.0))
    base = dict.fromkeys(SEARCHES.schema.names)
    return tuple({**base, "run_date": day, "normalised_query": query, "slate": slate, "derived": derived}.values())


def test_classes_of_two_nights(spark: SparkSession) -> None:
    searches = [
        search("exact", "a1 a1 a1 a2 b1"),
        search("vague", "a1 a2 b1 b1 n1 unknown"),
        search("shoes", "a1 a2 a3"),
        search("shoes", "b1 b1", EARLIER),
        search("rare", "a1 a1 a1 a1"),
        search("none", ""),
        search("derived", "a1 a1 a1 a1 a1", derived=True),
        # 30 nights end with TONIGHT and hold the 2nd of January, not the 1st.
        search("old", "a1 a1 a1 a1 a1", date(2026, 1, 2)),
        search("older", "a1", date(2026, 1, 1)),
    ]
    base = dict.fromkeys(ITEMS.schema.names)
    items = [
        tuple({**base, "run_date": TONIGHT, "item_id": item, "category": category}.values())
        for item, category in CATEGORIES.items()
    ]
    got = build_query_classes(
        spark.createDataFrame(searches, SEARCHES.schema),
        spark.createDataFrame(items, ITEMS.schema),
        Night(TONIGHT, date(1970, 1, 1), (), (EARLIER, TONIGHT)),
        Config(),
    )
    assert QUERY_CLASSES.conform(got, with_run_date=True).columns == got.columns
    wanted = [
        (TONIGHT, "exact", "navigational", 1, 5, 3 / 5, 4 / 5),
        (TONIGHT, "vague", "exploratory", 1, 6, 2 / 6, 2 / 6),
        (TONIGHT, "shoes", "category", 2, 5, 2 / 5, 3 / 5),
        (TONIGHT, "rare", "category", 1, 4, 1.0, 1.0),
        (TONIGHT, "none", "category", 1, 0, 0.0, 0.0),
        (TONIGHT, "derived", "category", 1, 5, 1.0, 1.0),
        (TONIGHT, "old", "navigational", 1, 5, 1.0, 1.0),
        (EARLIER, "shoes", "category", 1, 2, 1.0, 1.0),
        (EARLIER, "old", "navigational", 1, 5, 1.0, 1.0),
        (EARLIER, "older", "category", 1, 1, 1.0, 1.0),
    ]
    assertDataFrameEqual(got, spark.createDataFrame(wanted, QUERY_CLASSES.schema))
