"""bench-world's expected figures: of orders whose share is known."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

# Benchmarks are scripts beside the tests, not a package.
sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))

from expected_world import NextDay, figures_of

from nightrank.config import Config
from nightrank.sections import ShopConfig
from nightrank.shop.behaviour import simulate_day, wanted
from nightrank.shop.world import Shop, make_world

CONFIG = Config(shop=ShopConfig(seed=3, shoppers=200, items=150, days=10))


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_world(CONFIG.shop)


@pytest.fixture(scope="module")
def day(shop: Shop) -> NextDay:
    """A day on which everything is ranked in the shop's order."""
    searches = simulate_day(shop, 5).searches
    organic = (searches.items >= 0) & ~searches.sponsored
    base = np.where(organic, searches.scores, -np.inf)
    wants = np.where(organic, wanted(shop, 5, searches), -np.inf)
    return NextDay(searches.shopper, searches.items.clip(min=0), base, base, base, wants)


def test_the_shops_own_order_gains_nothing(shop: Shop, day: NextDay) -> None:
    assert set(figures_of(CONFIG, shop, day).values()) == {0.0}


def test_who_knows_every_taste_has_all_of_the_gain(shop: Shop, day: NextDay) -> None:
    found = figures_of(CONFIG, shop, replace(day, rows=day.wants))
    assert found["expected_returning_share"] == 1.0
    assert found["expected_helped"] > 0.8
    assert found["expected_harmed"] < 0.2
    # Who has no tastes is shown the better items first: that too is over the shop's order.
    assert found["expected_indifferent_gain"] > 0


def test_what_priors_gain_is_not_the_rows(shop: Shop, day: NextDay) -> None:
    quality = np.where(np.isfinite(day.wants), shop.catalogue.quality[day.items], -np.inf)
    found = figures_of(CONFIG, shop, replace(day, prior=quality, rows=quality))
    assert 0 < found["expected_returning_share"] < 1
    assert found["expected_indifferent_gain"] > 0
    assert found["expected_indifferent_row_gain"] == 0.0
