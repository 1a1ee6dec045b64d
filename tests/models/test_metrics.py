"""Metrics: each value written out as its formula."""

from __future__ import annotations

from math import log2, sqrt

import numpy as np
import pytest

from nightrank.models.metrics import has_relevant, kendall_tau, mrr, ndcg_at_k, recall_at_k


def test_ndcg_is_dcg_over_the_best_dcg():
    # Ranked by score: gains 0, 3, 1. Best: 3, 1, 0.
    expected = (0 / log2(2) + 3 / log2(3) + 1 / log2(4)) / (3 / log2(2) + 1 / log2(3) + 0 / log2(4))
    assert ndcg_at_k([0.5, 0.9, 0.1], [3, 0, 1], k=10) == pytest.approx(expected, abs=1e-15)


def test_ndcg_cuts_both_sums_at_k():
    # First two ranks hold 0 and 1; the best two are 2 and 1.
    expected = (1 / log2(3)) / (2 / log2(2) + 1 / log2(3))
    assert ndcg_at_k([3, 2, 1], [0, 1, 2], k=2) == pytest.approx(expected, abs=1e-15)


def test_gains_are_linear_not_two_to_the_gain():
    expected = (1 / log2(2) + 3 / log2(3)) / (3 / log2(2) + 1 / log2(3))
    assert ndcg_at_k([2, 1], [1, 3], k=2) == pytest.approx(expected, abs=1e-15)


def test_the_best_order_is_one_and_nothing_relevant_is_zero():
    assert ndcg_at_k([3, 2, 1], [2, 1, 0], k=3) == 1.0
    assert ndcg_at_k([3, 2, 1], [0, 0, 0], k=3) == 0.0
    assert mrr([3, 2, 1], [0, 0, 0]) == 0.0
    assert recall_at_k([3, 2, 1], [0, 0, 0], k=2) == 0.0


def test_mrr_is_one_over_the_first_relevant_rank():
    assert mrr([4, 3, 2, 1], [0, 0, 5, 1]) == pytest.approx(1 / 3)
    assert mrr([1, 2], [1, 1]) == 1.0


def test_recall_is_the_share_of_all_that_is_relevant():
    assert recall_at_k([4, 3, 2, 1], [1, 0, 0, 1], k=2) == pytest.approx(1 / 2)
    # k cuts at one of two relevant: one half, not one.
    assert recall_at_k([4, 3, 2, 1], [1, 1, 0, 0], k=1) == pytest.approx(1 / 2)
    assert recall_at_k([2, 1], [1, 1], k=50) == 1.0


def test_ties_rank_by_the_given_order():
    assert mrr([1, 1], [0, 1]) == pytest.approx(1 / 2)
    assert mrr([1, 1], [0, 1], tie_order=[7, 3]) == 1.0
    assert mrr([1, 1], [0, 1], tie_order=["b", "a"]) == 1.0


def test_a_mixed_batch_of_padded_slates_equals_its_slates():
    scores = np.array([[0.1, 0.9, 0.5], [0.2, 0.4, 99.0], [1.0, 0.0, 0.0]])
    gains = np.array([[1.0, 0.0, 2.0], [3.0, 0.0, 99.0], [0.0, 0.0, 0.0]])
    mask = np.array([[True, True, True], [True, True, False], [True, False, False]])
    single = [(scores[b][mask[b]], gains[b][mask[b]]) for b in range(3)]
    for metric in (lambda s, g, m: ndcg_at_k(s, g, 2, mask=m), lambda s, g, m: mrr(s, g, mask=m)):
        np.testing.assert_array_equal(metric(scores, gains, mask), [metric(s, g, None) for s, g in single])
    np.testing.assert_array_equal(recall_at_k(scores, gains, 1, mask=mask), [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(has_relevant(gains, mask), [True, True, False])


def test_padding_ranks_below_the_lowest_score():
    assert mrr([0.0, -1e300], [0, 1], mask=[False, True]) == 1.0


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="found NaN"):
        mrr([float("nan"), 1.0], [0, 1])


def test_kendall_tau_is_concordant_less_discordant_pairs():
    # Of the pairs ab, ac, bc the first stand alike, the last does not; no ties: 3 pairs in each list.
    assert kendall_tau([1, 2, 3], [1, 9, 8]) == pytest.approx((2 - 1) / 3)
    # A tie in one list: 2 of its pairs can be told apart, one alike and one not.
    assert kendall_tau([1, 1, 2], [1, 3, 2]) == pytest.approx((1 - 1) / sqrt(2 * 3))
    assert kendall_tau([1, 2, 3], [3, 2, 1]) == -1.0
    assert kendall_tau([1, 2], [1, 2]) == 1.0
    assert kendall_tau([1, 1], [1, 2]) == 0.0
