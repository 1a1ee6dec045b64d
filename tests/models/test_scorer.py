"""The formula, written out."""

from __future__ import annotations

import numpy as np

from nightrank.models.scorer import base_from_rank, ranked_order, reranked_scores, row_sums

TOKENS = [["code:c1:0:3", "brand:acme"], ["brand:other"], []]


def test_row_sums_add_the_weights_of_an_items_tokens_and_its_boost() -> None:
    sums = row_sums(["a", "b", "c"], TOKENS, {"brand:acme": 0.5, "code:c1:0:3": -0.2}, {"a": 0.1, "c": 2.0})
    np.testing.assert_allclose(sums, [0.5 - 0.2 + 0.1, 0.0, 2.0])


def test_the_sum_is_clipped_before_alpha_scales_it() -> None:
    scores = reranked_scores(np.array([1.0, 1.0, 1.0]), np.array([0.4, 9.0, -9.0]), alpha=2.0, bound=0.5)
    np.testing.assert_allclose(scores, [1 + 2 * 0.4, 1 + 2 * 0.5, 1 - 2 * 0.5])


def test_alpha_0_gives_the_base_scores_exactly() -> None:
    base = np.array([0.1, 0.2, 0.3])
    assert np.array_equal(reranked_scores(base, np.array([5.0, -1.0, 3.0]), 0.0, 0.0), base)


def test_ties_are_ranked_by_item_id() -> None:
    assert ranked_order(np.array([1.0, 2.0, 1.0]), ["z", "m", "a"]).tolist() == [1, 2, 0]


def test_base_from_rank_is_minus_log2_of_1_plus_rank() -> None:
    np.testing.assert_allclose(base_from_rank(np.array([1.0, 3.0, 7.0])), [-1.0, -2.0, -3.0])
