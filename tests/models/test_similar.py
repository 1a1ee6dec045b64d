"""The most similar items: the definition written out, ties, edges; blocks, threads and company change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nightrank.models.int8 import from_int8, to_int8
from nightrank.models.nearest import nearest
from nightrank.models.similar import most_similar


def by_hand(vectors: np.ndarray, interest: np.ndarray, most: int) -> list[list[int]]:
    """Every product, one by one, sorted by falling product and then by item; the first `most`, in item order."""
    floats = (from_int8(vectors) if vectors.dtype == np.int8 else vectors).astype(np.float64)
    found = []
    for one in interest.astype(np.float64):
        products = [round(float((one * item).sum()), 6) for item in floats]
        found.append(sorted(sorted(range(len(floats)), key=lambda row: (-products[row], row))[:most]))
    return found


def units(count: int, dims: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, dims))
    return (drawn / np.sqrt((drawn**2).sum(axis=1, keepdims=True))).astype(np.float32)


def tied(count: int = 203) -> tuple[np.ndarray, np.ndarray]:
    """Items in int8, forty of them alike, and interests: one of them in the direction of those, one in none."""
    vectors, interest = to_int8(units(count, 24, seed=1)), units(19, 24, seed=2)
    vectors[50:90] = vectors[3]
    interest[4] = from_int8(vectors[3])
    interest[5] = 0.0
    interest[6] *= 7  # lengths are the asker's own
    return vectors, interest


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
@pytest.mark.parametrize("kind", [np.int8, np.float32])
def test_it_is_the_sorted_list_whatever_the_block(block: int, kind: type) -> None:
    vectors, interest = tied()
    held = vectors if kind is np.int8 else from_int8(vectors)
    found = most_similar(held, interest, 10, block)
    assert found.tolist() == by_hand(vectors, interest, 10)
    # Where the last places are shared, the first items have them.
    assert found[4].tolist() == [3, *range(50, 59)]
    assert found[5].tolist() == list(range(10))


def test_products_that_differ_beyond_the_sixth_decimal_are_equal_and_the_first_item_counts() -> None:
    # .5 × .9999997 = .49999985 and .5: apart in the seventh decimal, which float32 can tell.
    vectors = np.array([[0.1], [0.9999997], [1.0], [0.2]], np.float32)
    assert most_similar(vectors, np.array([[0.5]], np.float32), 1, block=2).tolist() == [[1]]
    assert most_similar(vectors[::-1], np.array([[0.5]], np.float32), 1, block=2).tolist() == [[1]]
    # Two millionths apart they are two.
    apart = np.array([[0.999995], [1.0]], np.float32)
    assert most_similar(apart, np.array([[0.5]], np.float32), 1, block=1).tolist() == [[1]]


def test_of_items_all_alike_the_first_are_found() -> None:
    alike = np.tile(to_int8(units(1, 8, seed=3)), (100, 1))
    found = most_similar(alike, units(3, 8, seed=4), 5, block=16)
    assert found.tolist() == [[0, 1, 2, 3, 4]] * 3


def test_fewer_items_than_asked_for_are_all_found_and_nothing_in_nothing() -> None:
    items = to_int8(units(2, 3, seed=5))
    assert most_similar(items, units(2, 3, seed=6), 5, block=8).tolist() == [[0, 1], [0, 1]]
    assert most_similar(items[:0], units(2, 3, seed=6), 5, block=8).shape == (2, 0)
    assert most_similar(items, np.zeros((0, 3), np.float32), 5, block=8).shape == (0, 2)
    assert most_similar(items, units(2, 3, seed=6), 0, block=8).shape == (2, 0)


def test_company_changes_nothing_and_it_is_what_nearest_finds() -> None:
    vectors, interest = to_int8(units(3000, 64, seed=7)), units(700, 64, seed=8)  # more than are looked for at once
    together = most_similar(vectors, interest, 50, block=512)
    for at in (0, 511, 512, 699):
        alone = most_similar(vectors, interest[at : at + 1], 50, block=300)
        assert alone.tolist() == together[at : at + 1].tolist()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        expected = np.sort(nearest(interest, from_int8(vectors), k=50).rows, axis=1)
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(together, expected)
