"""The fold in numbers: rules by hand, and the same bits whichever keys are beside a key."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.models.folding import (
    Entries,
    fold,
    kept_shares,
    nightly_sums,
    standing,
    standing_by_group,
    successors,
)

D = 0.5**0.1
KEPT = kept_shares(10.0, 20)


def longs(*values):
    return np.array(values, dtype=np.int64)


def states(key, night, *columns):
    return Entries(longs(*key), longs(*night), np.array(columns).T)


def folded(previous, key, night, amounts):
    return fold(previous, nightly_sums(longs(*key), longs(*night), longs(*amounts)[:, None]), KEPT[None, :])


NOTHING = Entries(longs(), longs(), np.zeros((0, 1)))


def test_what_is_left_ends_with_nothing():
    np.testing.assert_array_equal(KEPT, [*[D**n for n in range(21)], 0.0])


def test_a_keys_entries_are_summed_by_night_and_folded_in_order_of_night():
    previous = states([3, 7], [100, 90], [2.0, 9.0])
    found = folded(previous, [7, 3, 3, 5, 3], [111, 110, 103, 50, 103], [1, 1_000_000, 200_000, 500_000, 300_000])
    np.testing.assert_array_equal(found.key, [3, 3, 3, 5, 7, 7])
    np.testing.assert_array_equal(found.night, [100, 103, 110, 50, 90, 111])
    after = 2.0 * D**3 + 0.5
    # 7: 21 nights are one more than 20, so what it was is forgotten.
    np.testing.assert_array_equal(found.values[:, 0], [2.0, after, after * D**7 + 1.0, 0.5, 9.0, 1e-6])


def test_values_of_one_key_decay_each_in_its_own_way():
    added = nightly_sums(longs(1, 1), longs(0, 2), longs(1_000_000, 2_000_000, 3_000_000, 4_000_000).reshape(2, 2))
    found = fold(
        Entries(longs(), longs(), np.zeros((0, 2))), added, np.stack([kept_shares(1.0, 5), kept_shares(2.0, 5)])
    )
    np.testing.assert_array_equal(found.values, [[1.0, 2.0], [1.0 * 0.25 + 3.0, 2.0 * (0.5**0.5) ** 2 + 4.0]])


def test_nights_one_by_one_or_at_once_and_with_other_keys_beside_are_the_same_bits():
    rng = np.random.default_rng(1)
    key, night, amount = rng.integers(0, 9, 500), rng.integers(0, 60, 500), rng.integers(1, 3_333_333, 500)
    at_once = folded(NOTHING, key, night, amount)
    state = NOTHING
    for first in (0, 20, 40):
        tonight = (night >= first) & (night < first + 20)
        step = folded(state, key[tonight], night[tonight], amount[tonight])
        keys = np.unique(step.key)
        row = standing(step, keys, np.full(len(keys), first + 19), 20)
        state = Entries(step.key[row], step.night[row], step.values[row])
    keys = np.unique(key)
    row = standing(at_once, keys, np.full(len(keys), 59), 20)
    np.testing.assert_array_equal(state.values, at_once.values[row])
    alone = folded(NOTHING, key[key == 4], night[key == 4], amount[key == 4])
    np.testing.assert_array_equal(alone.values, at_once.values[at_once.key == 4])


def test_what_stands_is_the_last_entry_up_to_the_date_unless_it_is_forgotten():
    entries = states([1, 1, 4], [10, 12, 30], [1.0, 2.0, 3.0])
    key, as_of = longs(1, 1, 1, 1, 1, 4, 4, 0, 9), longs(9, 10, 11, 14, 15, 29, 31, 30, 30)
    np.testing.assert_array_equal(standing(entries, key, as_of, 2), [-1, 0, 0, 1, -1, -1, 2, -1, -1])
    assert standing(NOTHING, longs(1), longs(5), 9).tolist() == [-1]


def test_groups_are_answered_for_their_own_dates_only():
    # Groups of 10 keys: 10 and 13 are group 1's, 20 is group 2's.
    entries = states([10, 13, 20], [5, 7, 5], [1.0, 2.0, 3.0])
    row, sizes = standing_by_group(entries, 10, longs(1, 1, 2, 3), longs(6, 7, 7, 7), 99)
    np.testing.assert_array_equal(row, [0, 0, 1, 2])
    np.testing.assert_array_equal(sizes, [1, 2, 1, 0])


@pytest.mark.parametrize(
    ("key", "expected"), [([], []), ([5], []), ([1, 1, 2, 3, 3, 3], [[4, 1], [5]]), ([1, 1], [[1]])]
)
def test_successors_are_every_keys_second_row_then_every_keys_third(key, expected):
    assert [at.tolist() for at in successors(longs(*key))] == expected
