"""The posterior behind `make bench-world-ceiling` finds planted tastes, and its likelihood is the simulation's."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import numpy as np

# Benchmarks are scripts beside the tests, not a package.
sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))

from taste_posterior import favourites_of, gained, log_likelihood, mean_taste, seen_by

from nightrank.sections import ShopConfig
from nightrank.shop.behaviour import simulate_day
from nightrank.shop.logs import BUY, CLICK
from nightrank.shop.utility import utility
from nightrank.shop.world import make_world

DAYS = 12
SHOP = make_world(ShopConfig(path="unused", seed=5, shoppers=60, items=200, first_day=date(2026, 1, 1), days=30))
LOGS = [simulate_day(SHOP, day) for day in range(DAYS)]


def test_what_is_read_of_a_shopper_is_near_what_was_planted() -> None:
    items, strength = np.arange(SHOP.catalogue.size), SHOP.shoppers.tastes.strength
    known, favourites, random = seen_by(SHOP, LOGS), favourites_of(SHOP), np.random.default_rng(1)
    telling = [one for one, seen in known.items() if strength[one] > 0 and seen.clicked.sum() >= 8][:5]
    assert len(telling) == 5
    alike = []
    for one in telling:
        planted = utility(SHOP.shoppers.tastes, SHOP.traits, np.array([one]), items, DAYS) - SHOP.catalogue.quality
        read = mean_taste(SHOP, favourites, known[one], random)
        alike.append(np.corrcoef(read, planted)[0, 1])
        others = np.stack([planted, np.zeros(len(items)), random.permutation(planted)])
        assert log_likelihood(SHOP, known[one], others).argmax() == 0
    assert np.mean(alike) > 0.6


def test_a_slot_is_worth_the_most_of_what_was_done_to_it() -> None:
    log = LOGS[0]
    clicks, both = gained(log, {CLICK: 1.0}), gained(log, {CLICK: 1.0, BUY: 3.0})
    assert clicks.sum() == ((log.events.action == CLICK) & (log.events.number >= 0)).sum()
    assert (both > 1).sum() == (log.events.action == BUY).sum()
    assert (clicks[both > 1] == 1).all(), "what is bought was clicked first"


def test_of_the_last_days_alone_less_is_known() -> None:
    known, lately = seen_by(SHOP, LOGS), seen_by(SHOP, LOGS, since=DAYS - 1)
    assert 0 < len(lately) < len(known)
    one = next(one for one in lately if len(lately[one].items))
    # What is left is the end of what was there.
    np.testing.assert_array_equal(lately[one].items, known[one].items[-len(lately[one].items) :])
    assert len(lately[one].items) < len(known[one].items)
