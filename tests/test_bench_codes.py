"""The measures behind `make bench-codes`, worked out by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from bench_codes import kendall, top_overlap


def test_kendalls_tau_counts_pairs_and_leaves_ties_out_of_what_is_possible() -> None:
    order = np.array([[3.0, 2.0, 1.0]])
    assert kendall(order, order) == pytest.approx(1.0)
    assert kendall(order, -order) == pytest.approx(-1.0)
    # Of three pairs two agree and one is turned round; with a tie two of two agree, of three and two possible.
    assert kendall(order, np.array([[3.0, 1.0, 2.0]])) == pytest.approx(1 / 3)
    assert kendall(order, np.array([[3.0, 1.0, 1.0]])) == pytest.approx(2 / sqrt(3 * 2))
    assert kendall(np.vstack([order, order]), np.vstack([order, -order])) == pytest.approx(0.0)


def test_the_overlap_is_of_sets() -> None:
    assert top_overlap(np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), np.array([[4, 3, 9, 8], [8, 7, 6, 5]])) == 0.75
