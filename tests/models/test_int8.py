"""Directions in int8: the scale, the edges, and how many neighbours are kept."""

from __future__ import annotations

from math import sqrt

import numpy as np

from nightrank.models.int8 import from_int8, to_int8
from nightrank.models.nearest import nearest


def test_the_largest_number_becomes_127_and_halves_go_to_the_even() -> None:
    found = to_int8([[0.5, -0.25, 0.0], [-3.0, 1.5, 0.01], [0.0, 0.0, 0.0]])
    assert found.tolist() == [[127, -64, 0], [-127, 64, 0], [0, 0, 0]]
    assert found.dtype == np.int8
    assert to_int8([2.0, 1.0]).tolist() == [127, 64]


def test_what_is_read_back_has_length_one() -> None:
    found = from_int8(np.array([[3, 4], [-127, 0], [0, 0]], np.int8))
    np.testing.assert_array_equal(found, np.array([[0.6, 0.8], [-1, 0], [0, 0]], np.float32))
    np.testing.assert_allclose(from_int8(np.full((1, 384), 127, np.int8)), 1 / sqrt(384), rtol=1e-6)


def test_of_ten_neighbours_nearly_all_are_kept() -> None:
    random = np.random.default_rng(8)
    kinds = random.normal(size=(40, 64))
    vectors = kinds[random.integers(0, 40, 2000)] + random.normal(size=(2000, 64))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    small = from_int8(to_int8(vectors))
    pairs = zip(nearest(vectors[:300], vectors, 10).rows, nearest(small[:300], small, 10).rows, strict=True)
    assert np.mean([len(np.intersect1d(one, other)) / 10 for one, other in pairs]) >= 0.98
