"""Repeat cycles: the rules by hand, and nights one by one or at once."""

from __future__ import annotations

import numpy as np

from nightrank.models.cycles import first_buys, fold_buys
from nightrank.models.folding import Entries, standing

NOTHING = Entries(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4), np.int64))


def longs(*values):
    return np.array(values, dtype=np.int64)


def test_gaps_are_between_buying_days_and_what_is_late_or_forgotten_adds_none():
    rows = [
        # key, night of arrival, day
        (1, 10, 10), (1, 10, 10), (1, 13, 13), (1, 18, 18), (1, 19, 12),
        # 2: forgotten after 31 nights. 3: two days that arrive in one night, in order of day.
        (2, 10, 10), (2, 12, 12), (2, 43, 43), (3, 20, 19), (3, 20, 16),
    ]  # fmt: skip
    key, night, day = (longs(*column) for column in zip(*rows, strict=True))
    found = fold_buys(NOTHING, first_buys(key, night, day), 30)
    expected = [
        (1, 0, 0, 10), (1, 0, 0, 10), (2, 3, 9, 13), (3, 8, 9 + 25, 18), (3, 8, 34, 18),
        (1, 0, 0, 10), (2, 2, 4, 12), (1, 0, 0, 43), (1, 0, 0, 16), (2, 3, 9, 19),
    ]  # fmt: skip
    np.testing.assert_array_equal(found.values, expected)


def test_nights_one_by_one_or_at_once_are_the_same():
    rng = np.random.default_rng(2)
    key, night = rng.integers(0, 7, 300), rng.integers(0, 90, 300)
    day = night - rng.integers(0, 4, 300)
    at_once = fold_buys(NOTHING, first_buys(key, night, day), 9)
    state = NOTHING
    for first in range(0, 90, 10):
        tonight = (night >= first) & (night < first + 10)
        step = fold_buys(state, first_buys(key[tonight], night[tonight], day[tonight]), 9)
        keys = np.unique(step.key)
        row = standing(step, keys, np.full(len(keys), first + 9), 9)
        row = row[row >= 0]
        state = Entries(step.key[row], step.night[row], step.values[row])
    row = standing(at_once, np.arange(7), np.full(7, 89), 9)
    np.testing.assert_array_equal(state.values, at_once.values[row[row >= 0]])
