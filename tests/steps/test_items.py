"""The catalogue: which version of an item stands, its text and facets, and what is quarantined."""

from __future__ import annotations

import hashlib
import math
from datetime import date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.errors import ConfigError
from nightrank.nights import ordinary_night
from nightrank.steps.items import build_items, item_text
from nightrank.tables import ITEMS, RAW_ITEMS

NIGHT = ordinary_night(date(2026, 1, 3), (date(2026, 1, 2),))


def raw(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    base = {**dict.fromkeys(RAW_ITEMS.names), "arrived": NIGHT.run_date, "problems": []}
    return spark.createDataFrame([tuple({**base, **row}.values()) for row in rows], RAW_ITEMS)


def snapshot(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    base = {**dict.fromkeys(ITEMS.schema.names), "run_date": date(2026, 1, 2), "reasons": [], "accepted": True}
    return spark.createDataFrame([tuple({**base, **row}.values()) for row in rows], ITEMS.schema)


def test_text_facets_and_hash(spark: SparkSession) -> None:
    arrivals = raw(
        spark,
        {
            "item_id": "i1", "title": "Red  Shoes. ", "brand": "A & B", "category": "Wear > Shoes", "price": 8.0,
            "seller": "Shop One", "description": "For running...",
        },
        {"item_id": "i2", "title": "Box", "price": 0.0},
    )  # fmt: skip
    got = build_items(arrivals, snapshot(spark), NIGHT, Config())
    texts = ["Red Shoes. A & B. Wear > Shoes. For running.", "Box."]
    facets = [
        [
            "brand:a b", "category:wear", "category:wear > shoes", "keyword:red", "keyword:shoes", "price:3",
            "seller:shop one",
        ],
        ["keyword:box"],
    ]  # fmt: skip
    wanted = [
        (f"i{at + 1}", text, facets[at], hashlib.sha256(text.encode()).hexdigest(), [], True)
        for at, text in enumerate(texts)
    ]
    assert ITEMS.conform(got).columns == got.columns
    found = got.select("item_id", "text", "facets", "content_hash", "reasons", "accepted")
    assertDataFrameEqual(found, spark.createDataFrame(wanted, found.schema))


def test_the_newest_good_version_stands(spark: SparkSession) -> None:
    new, old = datetime(2026, 1, 3), datetime(2026, 1, 1)
    arrivals = raw(
        spark,
        {"item_id": "updated", "title": "new", "updated_at": new},
        {"item_id": "updated", "title": "older", "updated_at": old},
        {"item_id": "stale", "title": "late arrival of an old version", "updated_at": old},
        {"item_id": "undated", "title": "tonight"},
        {"item_id": "spoilt", "title": "bad", "price": -1.0},
        {"item_id": "twice", "title": "b"},
        {"item_id": "twice", "title": "a"},
    )
    before = snapshot(
        spark,
        {"item_id": "updated", "title": "last", "updated_at": datetime(2026, 1, 2)},
        {"item_id": "stale", "title": "kept", "updated_at": datetime(2026, 1, 2)},
        {"item_id": "undated", "title": "last"},
        {"item_id": "spoilt", "title": "kept", "price": 1.0},
        {"item_id": "gone", "title": "still there"},
    )
    built = build_items(arrivals, before, NIGHT, Config()).select("item_id", "title", "accepted").collect()
    standing = {row.item_id: row.title for row in built if row.accepted}
    # Of two versions alike in time any may stand, but it is always the same one.
    assert standing.pop("twice") in {"a", "b"}
    assert standing == {
        "updated": "new", "stale": "kept", "undated": "tonight", "spoilt": "kept", "gone": "still there",
    }  # fmt: skip
    assert [(row.item_id, row.title) for row in built if not row.accepted] == [("spoilt", "bad")]
    whole = Config.model_validate({"items": {"full_catalogue": True}})
    only = build_items(arrivals, before, NIGHT, whole).filter("accepted").select("item_id").collect()
    assert {row.item_id for row in only} == {"updated", "stale", "undated", "twice"}


def test_each_reason_once(spark: SparkSession) -> None:
    arrivals = raw(
        spark,
        {"item_id": " ", "title": "x"},
        {"item_id": "untitled"},
        {"item_id": "broken", "title": "x", "problems": ["unparsable"]},
        {"item_id": "x" * 257, "title": "x"},
        {"item_id": "nan", "title": "x", "price": math.nan},
        {"item_id": "infinite", "title": "x", "price": math.inf, "image_embedding": [1.0, math.nan]},
        {"item_id": "negative", "title": "x", "price": -0.01},
    )
    built = build_items(arrivals, snapshot(spark), NIGHT, Config())
    found = built.select("item_id", "price", "image_embedding", "text", "reasons", "accepted")
    wanted = [
        (" ", None, None, None, ["missing_key"], False),
        ("untitled", None, None, None, ["missing_key"], False),
        ("broken", None, None, None, ["unparsable"], False),
        ("x" * 257, None, None, None, ["overlong_id"], False),
        ("nan", None, None, None, ["not_finite"], False),
        ("infinite", None, None, None, ["not_finite"], False),
        ("negative", -0.01, None, None, ["impossible_price"], False),
    ]
    assertDataFrameEqual(found, spark.createDataFrame(wanted, found.schema))


def test_a_template_with_an_unknown_field_is_refused(spark: SparkSession) -> None:
    with pytest.raises(ConfigError, match="found 'colour'"):
        item_text("{title}. {colour}", 5)
    short = spark.createDataFrame([("abcdefgh",)], "title string").select(item_text("{title}", 5).alias("text"))
    assertDataFrameEqual(short, short.sparkSession.createDataFrame([("abcde",)], short.schema))
