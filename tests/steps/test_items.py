"""The catalogue: which version of an item stands, its text and facets, and what is quarantined."""

from __future__ import annotations

import math
from datetime import date, datetime
from hashlib import sha256
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import ordinary_night
from nightrank.steps.items import build_items
from nightrank.tables import ENRICHMENTS, ITEMS, RAW_ITEMS

NIGHT = ordinary_night(date(2026, 1, 3), (date(2026, 1, 2),))


def raw(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    base = {**dict.fromkeys(RAW_ITEMS.names), "arrived": NIGHT.run_date, "problems": []}
    return spark.createDataFrame([tuple({**base, **row}.values()) for row in rows], RAW_ITEMS)


def snapshot(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    base = {**dict.fromkeys(ITEMS.schema.names), "run_date": date(2026, 1, 2), "reasons": [], "accepted": True}
    return spark.createDataFrame([tuple({**base, **row}.values()) for row in rows], ITEMS.schema)


def built(arrivals: DataFrame, items: DataFrame, config: Config) -> DataFrame:
    return build_items(arrivals, items, arrivals.sparkSession.createDataFrame([], ENRICHMENTS.schema), NIGHT, config)


def test_text_facets_and_hash(spark: SparkSession) -> None:
    arrivals = raw(
        spark,
        {
            "item_id": "i1", "title": "Red  Shoes. ", "brand": "A & B", "category": "Wear > Shoes", "price": 8.0,
            "seller": "Shop One", "description": "For running...",
        },
        {"item_id": "i2", "title": "Box", "price": 0.0},
    )  # fmt: skip
    got = built(arrivals, snapshot(spark), Config())
    texts = ["Red Shoes. A & B. Wear > Shoes. For running.", "Box."]
    facets = [
        [
            "brand:a b", "category:wear", "category:wear > shoes", "keyword:red", "keyword:shoes", "price:3",
            "seller:shop one",
        ],
        ["keyword:box"],
    ]  # fmt: skip
    wanted = [
        (f"i{at + 1}", text, facets[at], sha256(text.encode()).hexdigest(), [], True) for at, text in enumerate(texts)
    ]
    assert ITEMS.conform(got).columns == got.columns
    found = got.select("item_id", "text", "facets", "content_hash", "reasons", "accepted")
    assertDataFrameEqual(found, spark.createDataFrame(wanted, found.schema))


def test_keywords_are_the_telling_words_that_few_titles_have(spark: SparkSession) -> None:
    config = Config.model_validate({"items": {"keywords": 2, "keyword_description_weight": 0.5}})
    arrivals = raw(
        spark,
        # Of five items: red in 5, mug in 3, oak in 2; ash, elm and fir in 1. The description counts half.
        {"item_id": "ties", "title": "Red fir elm ash", "description": "mug"},
        {"item_id": "rare", "title": "red MUG mug oak"},
        {"item_id": "short", "title": "red mug", "description": "red"},
        {"item_id": "same", "title": "red oak mix", "description": "unweighed words stay"},
        {"item_id": "new text", "title": "red"},
    )
    before = snapshot(
        spark,
        {
            "item_id": "same", "title": "red oak mix", "description": "unweighed words stay", "price": 1.0,
            "facets": ["brand:x", "keyword:were", "keyword:weighed"],
        },
        {"item_id": "new text", "title": "blue", "facets": ["keyword:blue"]},
    )  # fmt: skip
    got = built(arrivals, before, config).select("item_id", "facets")
    # rare: mug 2 · ln(5 / 3) = 1.02, oak ln(5 / 2) = 0.92, red 0. ties: three of ln 5, so by word; mug counts half.
    wanted = [
        ("ties", ["keyword:ash", "keyword:elm"]),
        ("rare", ["keyword:mug", "keyword:oak"]),
        ("short", ["keyword:mug", "keyword:red"]),
        ("same", ["keyword:weighed", "keyword:were"]),
        ("new text", ["keyword:red"]),
    ]
    assertDataFrameEqual(got, spark.createDataFrame(wanted, got.schema))


def test_ratings_are_drawn_to_their_category(spark: SparkSession) -> None:
    config = Config.model_validate({"items": {"rating_prior_count": 4}})

    def rated(item: str, category: str | None, mean: float | None, count: int | None) -> dict[str, Any]:
        return {"item_id": item, "title": item, "category": category, "rating_mean": mean, "rating_count": count}

    arrivals = raw(
        spark,
        rated("many", "A > x", 4.5, 30),
        rated("few", "a > X", 1.0, 2),
        rated("unsaid", "A > x", 2.2, None),
        rated("none", "A > x", None, 9),
        rated("nobody", "A > x", 5.0, 0),
        rated("elsewhere", "A", 3.3, 7),
        rated("nowhere", None, 1e9, 1),
    )
    got = built(arrivals, snapshot(spark), config).select("item_id", "rating_shrunk")
    mean = (30 * 4.5 + 2 * 1.0 + 1 * 2.2) / 33
    wanted = [
        ("many", (4 * mean + 30 * 4.5) / 34),
        ("few", (4 * mean + 2 * 1.0) / 6),
        ("unsaid", (4 * mean + 2.2) / 5),
        ("none", None),
        ("nobody", None),
        ("elsewhere", 3.3),
        ("nowhere", None),
    ]
    assertDataFrameEqual(got, spark.createDataFrame(wanted, got.schema), rtol=0, atol=1e-12)


def test_tiers_are_thirds_of_a_category_and_stay_while_price_and_category_do(spark: SparkSession) -> None:
    def priced(item: str, category: str | None, price: float | None, *facets: str) -> dict[str, Any]:
        return {"item_id": item, "title": item, "category": category, "price": price, "facets": [*facets]}

    def arrived(*row: Any) -> dict[str, Any]:
        return {name: value for name, value in priced(*row).items() if name != "facets"}

    # log2 of the prices: 0, 0, 2, 2, 4, 4; mean 2, standard deviation 1.63, so that the middle is 1.3 to 2.7.
    mugs = [arrived(f"mug {n}", "Mugs", float(4 ** (n // 2))) for n in range(6)]
    arrivals = raw(
        spark,
        *mugs,
        arrived("free", "Mugs", 0.0),
        arrived("unpriced", "Mugs", None),
        *[arrived(f"few {n}", "Few", 2.0**n) for n in range(5)],
        *[arrived(f"alike {n}", "Alike", 2.0) for n in range(6)],
        *[arrived(f"nowhere {n}", None, 2.0**n) for n in range(6)],
        arrived("dearer", "Mugs", 4.0),
    )
    before = snapshot(
        spark,
        priced("stays", "Mugs", 4.0, "tier:high"),
        priced("dearer", "Mugs", 2.0, "tier:low"),
        priced("new", "Mugs", 4.0),
    )
    found = built(arrivals, before, Config()).select("item_id", "facets").collect()
    tiers = {row.item_id: [f.removeprefix("tier:") for f in row.facets if f.startswith("tier:")] for row in found}
    thirds = {f"mug {n}": [("low", "middle", "high")[n // 2]] for n in range(6)}
    told = {item: tier for item, tier in tiers.items() if tier}
    assert told == {**thirds, "stays": ["high"], "dearer": ["middle"], "new": ["middle"]}


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
    found = built(arrivals, before, Config()).select("item_id", "title", "accepted").collect()
    standing = {row.item_id: row.title for row in found if row.accepted}
    # Of two versions alike in time any may stand, but it is always the same one.
    assert standing.pop("twice") in {"a", "b"}
    assert standing == {
        "updated": "new", "stale": "kept", "undated": "tonight", "spoilt": "kept", "gone": "still there",
    }  # fmt: skip
    assert [(row.item_id, row.title) for row in found if not row.accepted] == [("spoilt", "bad")]
    whole = Config.model_validate({"items": {"full_catalogue": True}})
    only = built(arrivals, before, whole).filter("accepted").select("item_id").collect()
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
        {"item_id": "endless image", "title": "x", "image_embedding": [1.0, math.inf]},
        {"item_id": "torn image", "title": "x", "image_embedding": [1.0, None]},
        {"item_id": "long image", "title": "x", "image_embedding": [0.0, 1.0, 2.0]},
        {"item_id": "image", "title": "x", "image_embedding": [0.0, 1.0]},
        {"item_id": "no image", "title": "x", "image_embedding": []},
        {"item_id": "negative", "title": "x", "price": -0.01},
    )
    judged = built(arrivals, snapshot(spark), Config.model_validate({"items": {"image_dims": 2}}))
    found = judged.select("item_id", "price", "image_embedding", "text", "reasons", "accepted")
    wanted = [
        (" ", None, None, None, ["missing_key"], False),
        ("untitled", None, None, None, ["missing_key"], False),
        ("broken", None, None, None, ["unparsable"], False),
        ("x" * 257, None, None, None, ["overlong_id"], False),
        ("nan", None, None, None, ["not_finite"], False),
        ("infinite", None, None, None, ["not_finite"], False),
        ("endless image", None, None, None, ["not_finite"], False),
        ("torn image", None, None, None, ["not_finite"], False),
        ("long image", None, [0.0, 1.0, 2.0], None, ["wrong_image_dims"], False),
        ("image", None, [0.0, 1.0], "x.", [], True),
        ("no image", None, None, "x.", [], True),
        ("negative", -0.01, None, None, ["impossible_price"], False),
    ]
    assertDataFrameEqual(found, spark.createDataFrame(wanted, found.schema))
