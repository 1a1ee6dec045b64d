"""Exact nearest neighbours: the definition written out, ties, edges; blocks and threads change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nightrank.models.nearest import nearest


def by_hand(queries: np.ndarray, items: np.ndarray, k: int) -> tuple[list[list[int]], list[list[float]]]:
    """Every product, one by one, sorted by falling product and then by row."""
    rows, products = [], []
    for query in queries.astype(np.float64):
        all_products = [round(float((query * item).sum()), 6) for item in items.astype(np.float64)]
        best = sorted(range(len(items)), key=lambda row: (-all_products[row], row))[:k]
        rows.append(best)
        products.append([all_products[row] for row in best])
    return rows, products


def units(count: int, dims: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, dims))
    return (drawn / np.sqrt((drawn**2).sum(axis=1, keepdims=True))).astype(np.float32)


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_it_is_the_sorted_list_whatever_the_block(block: int) -> None:
    items, queries = units(203, 24, seed=1), units(19, 24, seed=2)
    items[50:90] = items[3]  # forty of one text
    queries[4] = items[3]
    queries[5] = 0.0  # nothing is known of it: all items are alike to it
    found = nearest(queries, items, k=10, block=block)
    rows, products = by_hand(queries, items, k=10)
    assert found.rows.tolist() == rows
    np.testing.assert_allclose(found.products, products, rtol=0, atol=1e-12)
    assert found.rows[4].tolist() == [3, *range(50, 59)]
    assert found.rows[5].tolist() == list(range(10))


def test_products_that_differ_in_the_last_bits_only_are_equal() -> None:
    # float32 sums of these four differ by the order of their terms; all are 1 in six decimals.
    ones = np.array([[1.0, 1e-8, 0.0], [1.0, 0.0, 1e-8], [1.0 - 6e-8, 0.0, 0.0], [0.5, 0.5, 0.0]], np.float32)
    assert nearest([[1.0, 1.0, 1.0]], ones, k=3).rows.tolist() == [[0, 1, 2]]
    assert nearest([[1.0, 1.0, 1.0]], ones[::-1], k=3).products.tolist() == [[1.0, 1.0, 1.0]]


def test_lengths_count_as_they_do_in_a_dot_product() -> None:
    found = nearest([[2.0, 0.0], [0.0, -1.0]], [[1.0, 0.0], [3.0, 1.0], [-5.0, -2.0]], k=2)
    assert found.rows.tolist() == [[1, 0], [2, 0]]
    assert found.products.tolist() == [[6.0, 2.0], [2.0, 0.0]]


def test_fewer_items_than_k_are_all_returned_and_nothing_is_found_in_nothing() -> None:
    assert nearest([[1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]], k=5).rows.tolist() == [[1, 0]]
    assert nearest(np.zeros((2, 3)), np.zeros((0, 3)), k=5).rows.shape == (2, 0)
    assert nearest(np.zeros((0, 3)), np.ones((4, 3)), k=2).rows.shape == (0, 2)


def test_threads_and_company_change_nothing() -> None:
    items, queries = units(3000, 64, seed=3), units(1100, 64, seed=4)  # more queries than one block takes
    together = nearest(queries, items, k=5)
    before = torch.get_num_threads()
    torch.set_num_threads(2 if before == 1 else 1)
    try:
        alone = [nearest(queries[at : at + 1], items, k=5, block=500) for at in (0, 511, 512, 1099)]
    finally:
        torch.set_num_threads(before)
    for at, one in zip((0, 511, 512, 1099), alone, strict=True):
        assert one.rows.tolist() == together.rows[at : at + 1].tolist()
        assert one.products.tolist() == together.products[at : at + 1].tolist()
