"""A shop of six items and three shoppers, and a ranker for it, shared by the tests of the rerank stages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from rerank_rows import ITEMS, people

from nightrank import tables
from nightrank.config import Config
from nightrank.models.artefact import Ranker
from nightrank.models.feature_names import SHOPPER_FEATURES
from nightrank.models.registry import keep_ranker
from nightrank.nights import Night, ordinary_night
from nightrank.steps.item_tokens import build_item_tokens

TONIGHT = date(2026, 1, 10)
DAY = timedelta(days=1)
BRANDS = "xxyyzz"
VECTORS = np.eye(6, 4, dtype=np.float32)
VECTORS[4:] = 0.5


@dataclass(frozen=True)
class SmallShop:
    """Frames as the stages get them, and the ids behind them."""

    config: Config
    night: Night
    ranker: Ranker
    ranker_id: str
    items: DataFrame
    item_embeddings: DataFrame
    item_neighbours: DataFrame
    user_profiles: DataFrame
    query_classes: DataFrame
    propensities: DataFrame
    ranker_runs: DataFrame
    promotions: DataFrame
    segments: DataFrame
    nobody: DataFrame


def small_ranker() -> Ranker:
    """Loves brands, has two codes a level."""
    return Ranker(
        code_version="c1",
        encoder_version="e1",
        tower_night=TONIGHT,
        projection=np.eye(4, dtype=np.float32),
        codebook=np.stack([np.eye(4)[:2], np.eye(4)[2:]]).astype(np.float32),
        a=1.0,
        shopper_coefficients=np.pad([3.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0], (0, len(SHOPPER_FEATURES) - 8)),
        engine_coefficients=np.array([[2.0, 0.5, 0.0, 0.0]] * 3),
        mean_shopper=np.zeros(4, dtype=np.float32),
        recent=20,
        recent_decay=0.9,
    )


@pytest.fixture(scope="session")
def small_shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> SmallShop:
    """Shopper u1 loves brand x, u2 brand y; u3 has done nothing but look. Items i0 i1 are x, i2 i3 y, i4 i5 z."""
    lake = tmp_path_factory.mktemp("small_shop")
    config = small_config(lake)
    ranker = small_ranker()
    ranker_id = keep_ranker(config, ranker)
    at = datetime(2026, 1, 8, 12, tzinfo=UTC)
    told = {i: (f"thing {i}", [f"brand:{b}", "category:t"], f"hash {i}") for i, b in zip(ITEMS, BRANDS, strict=True)}
    item_rows = [(TONIGHT, i, f"Thing {i}", *[None] * 14, *told[i], told[i][2], None, None, [], True) for i in ITEMS]
    neighbours = [(TONIGHT - DAY, i, i, 5.0 - n, TONIGHT - DAY, 5.0 - n, 0) for n, i in enumerate(ITEMS[:4])]
    neighbours += [(TONIGHT - DAY, "i0", "i4", 1.0, TONIGHT - DAY, 0.5, 1)]
    profiles = [
        profile("u1", "x", [("i0", 3.0, at.date())], [(at, "i0", "buy")], 9, "segment:t"),
        profile("u2", "y", [("i2", 2.0, at.date())], [(at, "i2", "click")], 3, "segment:t"),
        profile_row(user_id="u3", affinities=[], own_items=[], recent=[], events=1, takes=0, first_ts=at, last_ts=at),
    ]
    run = (
        TONIGHT, ranker_id, "trained", None, "c1", "e1", TONIGHT, 1, 1, 1, {}, {},
        f"{lake}/artefacts/{ranker_id}.safetensors", "run", "1",
    )  # fmt: skip
    mean = (["brand:x", "brand:y", "category:t"], [20 / 3, 20 / 3, 20 / 3], ["i0", "i2"])
    groups = [(TONIGHT - DAY, "anonymous", None, 3, *mean), (TONIGHT - DAY, "segment:t", "category:t", 2, *mean)]
    frame = spark.createDataFrame
    return SmallShop(
        config=config,
        night=ordinary_night(TONIGHT, (TONIGHT - DAY,)),
        ranker=ranker,
        ranker_id=ranker_id,
        items=frame(item_rows, tables.ITEMS.schema),
        item_embeddings=frame(
            [(TONIGHT, f"hash {i}", "e1", v.tolist(), 4, 0) for i, v in zip(ITEMS, VECTORS, strict=True)],
            tables.ITEM_EMBEDDINGS.schema,
        ),
        item_neighbours=frame(neighbours, tables.ITEM_NEIGHBOURS.schema),
        user_profiles=frame(profiles, tables.USER_PROFILES.schema),
        query_classes=frame([], tables.QUERY_CLASSES.schema),
        propensities=frame([(TONIGHT, "all", 1, 1.0, 0, 0, "fallback")], tables.PROPENSITIES.schema),
        ranker_runs=frame([run], tables.RANKER_RUNS.schema),
        promotions=frame([], tables.PROMOTIONS.schema),
        segments=frame(groups, tables.SEGMENTS.schema),
        nobody=people(spark).limit(0),
    )


def profile(user: str, brand: str, own: list[tuple], recent: list[tuple], events: int, segment: str) -> tuple:
    """A row of user_profiles of a shopper who loves one brand."""
    at = recent[0][0]
    affinities = [(f"brand:{brand}", 20.0, 0.0, 0.0, at.date()), ("category:t", 10.0, 0.0, 0.0, at.date())]
    return profile_row(
        user_id=user, affinities=affinities, own_items=own, recent=recent, events=events, takes=len(own), first_ts=at,
        last_ts=at, segment=segment,
    )  # fmt: skip


def profile_row(**values: object) -> tuple:
    """A row of user_profiles of the night before tonight; what is not named is NULL."""
    return tuple({"run_date": TONIGHT - DAY, **values}.get(name) for name in tables.USER_PROFILES.schema.names)


def small_config(lake: Path) -> Config:
    """Small numbers, and a half life so long that nothing decays noticeably."""
    return Config.model_validate(
        {
            "lake": {"path": str(lake)},
            "mlflow": {"tracking_uri": f"sqlite:///{lake}/mlflow.db"},
            "user_profiles": {"half_life_nights": 1e9},
            "rerank_weights": {"buckets": 2, "similar": 3, "random_items": 6, "popular_per_facet": 2},
            "training_examples": {"slate": 4, "recent": 3},
            "ranker_runs": {"tower": "sequence", "sequence": {"longest": 3}},
            "gates": {"min_searches": 2, "evidence_buckets": [1, 5], "bootstrap": 200},
            "evaluations": {"cutoff": 10},
            "promotions": {"bootstrap": 200},
        }
    )


@pytest.fixture(scope="session")
def item_tokens(small_shop: SmallShop) -> DataFrame:
    """Tonight's tokens of the small shop."""
    shop = small_shop
    return build_item_tokens(
        items=shop.items,
        item_embeddings=shop.item_embeddings,
        item_neighbours=shop.item_neighbours,
        ranker_runs=shop.ranker_runs,
        promotions=shop.promotions,
        night=shop.night,
        config=shop.config,
    )
