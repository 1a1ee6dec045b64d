"""Repeat cycles: the rules by hand, and nights one by one or at once."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.models.cycles import first_buys, fold_buys, how_due
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


def test_a_buy_is_due_after_the_mean_of_its_gaps_and_less_so_before_and_after():
    # Gaps of 2 and 4 days; with one more that is 3 off, the mean square of the differences is (1 + 1 + 9) / 3.
    due = 3 / (3 + np.sqrt(11 / 3))
    found = how_due([3] * 5, [6] * 5, [20] * 5, [0, 1, 3, 6, 300])
    np.testing.assert_allclose(found, [0, due / 3, due, due / 2, due / 100])
    # Regular ones are more due, the more so the more gaps there were.
    regular = how_due([2, 3, 10], [3, 6, 27], [9, 18, 81], [3, 3, 3])
    np.testing.assert_allclose(regular, [3 / (3 + 3 / np.sqrt(gaps + 1)) for gaps in (1, 2, 9)])


@pytest.mark.parametrize(("buys", "days", "squared", "since"), [(1, 0, 0, 5), (2, 4, 16, 0), (2, 4, 16, -3)])
def test_what_was_bought_once_or_just_now_is_not_due(buys, days, squared, since):
    assert how_due([buys], [days], [squared], [since]).tolist() == [0.0]


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
