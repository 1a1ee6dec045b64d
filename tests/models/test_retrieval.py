"""Query -> item retrieval: ranks over a catalogue, nDCG@10 and recall@100 by search, steadiness of scores."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest

from nightrank.models.retrieval import Takes, above, ndcg_by_search, ranks, recall_by_search, robustness

# Items lie on the axes; item 3 is like item 1.
ITEMS = np.array([[1, 0], [0, 1], [-1, 0], [0, 1]], np.float32)
QUERIES = np.array([[1, 0], [0, 1]], np.float32)
EVERY = np.ones(4, dtype=bool)
# Search 0 asks query 0 and takes items 0 and 2; search 1 asks query 1 and takes item 3, the second of two alike.
TAKES = Takes(np.array([0, 0, 1]), np.array([0, 0, 1]), np.array([0, 2, 3]), np.array([1.0, 3.0, 2.0]))


def test_ranks_of_taken_items_ties_by_number_and_among_some() -> None:
    np.testing.assert_array_equal(ranks(QUERIES, ITEMS, TAKES, EVERY), [1, 4, 2])
    np.testing.assert_array_equal(ranks(QUERIES, ITEMS, TAKES, np.array([True, False, True, True])), [1, 3, 1])


def test_figures_by_search() -> None:
    rank = ranks(QUERIES, ITEMS, TAKES, EVERY)
    first = (1 / log2(2) + 3 / log2(5)) / (3 / log2(2) + 1 / log2(3))
    np.testing.assert_allclose(ndcg_by_search(rank, TAKES), [first, 1 / log2(3)])
    np.testing.assert_array_equal(recall_by_search(rank, TAKES), [1.0, 1.0])
    far = np.array([11, 10, 101])
    expected = [3 / log2(11) / (3 + 1 / log2(3)), 0.0]
    np.testing.assert_allclose(ndcg_by_search(far, TAKES), expected)
    np.testing.assert_array_equal(recall_by_search(far, TAKES), [1.0, 0.0])


def test_auc_is_the_share_of_the_others_below() -> None:
    np.testing.assert_allclose(above(np.array([1, 4, 11]), 11), [1.0, 0.7, 0.0])
    np.testing.assert_array_equal(above(np.array([1]), 1), [1.0])


def test_searches_are_numbered_anew_when_rows_are_left_out() -> None:
    kept = TAKES.where(np.array([False, False, True]))
    assert [part.tolist() for part in (kept.search, kept.query, kept.item, kept.gain)] == [[0], [1], [3], [2.0]]


def test_robustness_is_kendall_s_tau_before_and_after() -> None:
    def by_first_letter(texts: list[str]) -> np.ndarray:
        """Capitals and other widths turn the scores round; other typing errors leave them."""
        return np.array([[1.0 if "a" <= text[0] <= "z" else -1.0, 0.0] for text in texts], np.float32)

    items = np.array([[0.1, 0], [0.5, 0], [0.9, 0]], np.float32)
    found = robustness(by_first_letter, ["kettles"] * 200, items, seed=1)
    # A word alone has no other order: of typo, case and width two of three turn round.
    assert found == pytest.approx((1 - 2) / 3, abs=0.15)
    assert robustness(by_first_letter, [], items, seed=1) == 1.0
