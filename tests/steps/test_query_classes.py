"""Classes of queries, from literal takes."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.query_classes import build_query_classes, entropy_term, normalised_entropy
from nightrank.tables import ITEMS, QUERY_CLASSES, SEARCHES

TONIGHT = date(2026, 1, 31)
EARLIER = TONIGHT - timedelta(days=10)
CATEGORIES = {"a1": ["a > x", "a"], "a2": ["a > y", "a"], "a3": ["a"], "b1": ["b"], "n1": []}
LOG5, LOG6 = math.log2(5), math.log2(6)  # what five or six takes would have that are all apart


def search(query: str, taken: str, day: date = TONIGHT, derived: bool = False, user: str = "u") -> tuple[Any, ...]:
    slate = [(item, at, 0.0, False, None, 1.0) for at, item in enumerate(taken.split(), start=1)]
    slate.append(("shown only", len(slate) + 1, 0.0, False, None, 0.0))
    base = dict.fromkeys(SEARCHES.schema.names)
    own = {"run_date": day, "normalised_query": query, "slate": slate, "derived": derived, "user_id": user}
    return tuple({**base, **own}.values())


def entropy(*shares: float) -> float:
    return -sum(p * math.log2(p) for p in shares)


def test_classes_of_two_nights(spark: SparkSession) -> None:
    searches = [
        search("exact", "a1 a1 a1 a2 b1"),
        search("vague", "a1 a2 b1 b1 n1 unknown"),
        search("shoes", "a1 a2 a3"),
        search("shoes", "b1 b1", EARLIER, user="v"),
        search("shoes", "", user="only looks"),
        search("rare", "a1 a1 a1 a1"),
        search("none", ""),
        search("derived", "a1 a1 a1 a1 a1", derived=True),
        # 30 nights end with TONIGHT and hold the 2nd of January, not the 1st.
        search("old", "a1 a1 a1 a1 a1", date(2026, 1, 2)),
        search("older", "a1", date(2026, 1, 1)),
    ]
    base = dict.fromkeys(ITEMS.schema.names)
    items = [
        tuple({**base, "run_date": TONIGHT, "item_id": item, "facets": facets}.values())
        for item, facets in (
            (item, ["brand:x", *[f"category:{level}" for level in path]]) for item, path in CATEGORIES.items()
        )
    ]
    got = build_query_classes(
        spark.createDataFrame(searches, SEARCHES.schema),
        spark.createDataFrame(items, ITEMS.schema),
        Night(TONIGHT, date(1970, 1, 1), (), (EARLIER, TONIGHT)),
        Config(),
    )
    assert QUERY_CLASSES.conform(got, with_run_date=True).columns == got.columns
    one_item = (0.0, 0.0, 1.0, 1.0)
    wanted = [
        (TONIGHT, "exact", "navigational", 1, 5, 1, entropy(3 / 5, 1 / 5, 1 / 5) / LOG5, entropy(4 / 5, 1 / 5) / LOG5,
         3 / 5, 4 / 5),
        (TONIGHT, "vague", "exploratory", 1, 6, 1, entropy(2 / 6, *[1 / 6] * 4) / LOG6, math.log2(3) / LOG6,
         2 / 6, 2 / 6),
        (TONIGHT, "shoes", "category", 3, 5, 2, entropy(2 / 5, *[1 / 5] * 3) / LOG5, entropy(3 / 5, 2 / 5) / LOG5,
         2 / 5, 3 / 5),
        (TONIGHT, "rare", "category", 1, 4, 1, *one_item),
        (TONIGHT, "none", "category", 1, 0, 0, 0.0, 0.0, 0.0, 0.0),
        (TONIGHT, "derived", "category", 1, 5, 1, *one_item),
        (TONIGHT, "old", "navigational", 1, 5, 1, *one_item),
        (EARLIER, "shoes", "category", 1, 2, 1, *one_item),
        (EARLIER, "old", "navigational", 1, 5, 1, *one_item),
        (EARLIER, "older", "category", 1, 1, 1, *one_item),
    ]  # fmt: skip
    # Entropies are rounded to millionths.
    assertDataFrameEqual(got, spark.createDataFrame(wanted, QUERY_CLASSES.schema), rtol=0, atol=1e-6)


def test_entropy_of_many_takes_is_of_the_even_parts(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(4, 0), (4, 1), (4, 2), (4, 3), (1_000_000, 4), (1, 5)], "takes long, part int")
    terms = F.sum(entropy_term(F.col("takes")))
    of = {
        "even": F.col("part") < 4,
        "one": F.col("part") == 4,
        "single": F.col("part") == 5,
        "head": F.col("part").isin(0, 4),
    }
    got = {
        name: frame.where(which).select(normalised_entropy(F.sum("takes"), terms, 8).alias("h")).alias(name)
        for name, which in of.items()
    }
    rows = got["even"].union(got["one"]).union(got["single"]).union(got["head"]).collect()
    # Sixteen takes on four parts: 2 bits of the 3 that eight even parts have; a single take says nothing.
    p = 4 / 1_000_004
    assert [row.h for row in rows] == [round(2 / 3, 6), 0.0, 0.0, pytest.approx(entropy(p, 1 - p) / 3, abs=1e-6)]
