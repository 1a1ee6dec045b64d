"""Rows in order: what lexsort gives, whatever the size of the numbers; the heaviest of each group by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.models.ordering import firsts, heaviest, order_of, ranges


def longs(*values):
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize("most", [3, 2**40, 2**62])  # 2**62: no room for the row's number beside it
def test_order_is_that_of_lexsort_with_equal_rows_as_they_stood(most):
    rng = np.random.default_rng(2)
    one, other = (rng.integers(-most, most, 500) for _ in range(2))
    one[::7], other[::5] = one[0], other[0]
    np.testing.assert_array_equal(order_of(one, other), np.lexsort((other, one)))
    np.testing.assert_array_equal(order_of(other), np.argsort(other, kind="stable"))
    assert order_of(longs(), longs()).tolist() == []


def test_the_heaviest_of_each_group_come_first_and_equal_ones_as_they_stood():
    worth = np.array([1.0, 3.0, 1.0, 3.0, np.nextafter(3.0, 4.0), 0.0, 5e-324, 2.0])
    row, sizes = heaviest(worth, longs(5, 0, 2, 1), 3)
    assert (row.tolist(), sizes.tolist()) == ([4, 1, 3, 6, 5, 7], [3, 0, 2, 1])


def test_runs_of_equal_numbers_begin_where_the_number_changes():
    assert firsts(longs(4, 4, 9, 9, 9, 1)).tolist() == [0, 2, 5]
    assert firsts(longs()).tolist() == []


def test_ranges_lie_one_after_the_other():
    assert ranges(longs(7, 2, 0), longs(2, 0, 3)).tolist() == [7, 8, 0, 1, 2]
