"""How well codes serve items: figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.models import coding as subject
from nightrank.models.coding import coding, drift

BOOK = np.array([[[1, 0], [-1, 0], [0, 5], [0, -5]], [[0, 0], [0, 1], [9, 9], [-9, -9]]], np.float32)


def test_error_shares_and_what_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    # Codes 0 and 1 of level 0; the last has no vector and is not counted.
    vectors = np.array([[1, 0], [1, 0.9], [1, 0], [-1, 0.2], [0, 0]], np.float32)
    found = coding(vectors, BOOK)
    assert found.items == 4
    assert found.held.tolist() == [[3, 1, 0, 0], [3, 1, 0, 0]]
    assert found.fair_shares()[0].tolist() == [3.0, 1.0, 0.0, 0.0]
    squares = 0.1**2 + 0.2**2
    assert found.error == pytest.approx(squares / 4, rel=1e-6)
    spread = 3 * 0.5**2 + 1.5**2 + (0 - 0.275) ** 2 * 2 + (0.9 - 0.275) ** 2 + (0.2 - 0.275) ** 2
    assert found.explained == pytest.approx(1 - squares / spread, rel=1e-6)
    assert found.crowded() == []  # three fair shares are not more than three

    monkeypatch.setattr(subject, "_ITEMS_AT_ONCE", 2)
    in_parts = coding(vectors, BOOK)
    assert in_parts.held.tolist() == found.held.tolist()
    assert in_parts.error == pytest.approx(found.error, rel=1e-12)


def test_a_code_with_more_than_three_fair_shares_is_crowded() -> None:
    vectors = np.array([[1, 0]] * 7 + [[-1, 1]], np.float32)
    assert coding(vectors, BOOK).crowded() == [(0, 0, 3.5), (1, 0, 3.5)]


@pytest.mark.parametrize("vectors", [np.zeros((0, 2), np.float32), np.zeros((3, 2), np.float32)])
def test_of_no_vectors_there_is_nothing_to_say(vectors: np.ndarray) -> None:
    found = coding(vectors, BOOK)
    assert (found.items, found.error, found.explained, found.held.sum(), found.crowded()) == (0, 0.0, 0.0, 0, [])


def test_drift_is_the_growth_of_the_error() -> None:
    assert drift(0.33, 0.30) == pytest.approx(0.1)
    assert drift(0.27, 0.30) == pytest.approx(-0.1)
    assert drift(0.0, 0.0) == 0.0
    assert drift(1.0, 0.0) > 1e6
