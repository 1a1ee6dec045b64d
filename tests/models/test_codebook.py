"""Residual quantisation: exact where it can be, deterministic, and defined at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.errors import ContractError
from nightrank.models.codebook import assign_codes, decode, fit_codebook


def sums_of_tokens() -> np.ndarray:
    """16 vectors, each one of 4 far-apart centres plus one of 4 small steps."""
    centres = 10 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    steps = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    return (centres[:, None, :] + steps[None, :, :]).reshape(-1, 2).astype(float)


def test_vectors_that_are_sums_of_tokens_are_recovered() -> None:
    vectors = sums_of_tokens()
    book = fit_codebook(vectors, None, levels=2, codes=4, seed=1)
    codes = assign_codes(vectors, book)
    np.testing.assert_allclose(decode(codes, book), vectors, atol=1e-4)
    assert len(np.unique(codes, axis=0)) == 16
    assert book.shape == (2, 4, 2)
    assert book.dtype == np.float32


def test_the_same_input_gives_the_same_bits() -> None:
    vectors = np.random.default_rng(5).normal(size=(300, 8))
    one, two = (fit_codebook(vectors, np.arange(300.0), 2, 8, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_assigning_is_greedy_and_takes_the_lowest_of_equals() -> None:
    book = np.array([[[1, 0], [-1, 0], [1, 0]], [[0, 0], [0, 1], [0, -1]]], np.float32)
    np.testing.assert_array_equal(assign_codes([[1, 0.9], [-1, 0], [0, -2]], book), [[0, 1], [1, 0], [0, 2]])
    assert assign_codes(np.zeros((0, 2)), book).shape == (0, 2)


def test_one_item_has_its_code_whoever_it_is_assigned_with() -> None:
    random = np.random.default_rng(6)
    vectors, book = random.normal(size=(99, 16)), random.normal(size=(2, 8, 16)).astype(np.float32)
    alone = np.concatenate([assign_codes(vector[None], book) for vector in vectors])
    np.testing.assert_array_equal(assign_codes(vectors, book), alone)


@pytest.mark.parametrize("vectors", [np.eye(3), np.array([[1.0, 0, 0]] * 5), np.zeros((4, 3))])
def test_fewer_different_items_than_codes_are_kept_exactly(vectors: np.ndarray) -> None:
    book = fit_codebook(vectors, None, levels=2, codes=8, seed=1)
    np.testing.assert_allclose(decode(assign_codes(vectors, book), book), vectors, atol=1e-5)


def test_weights_say_whose_error_counts() -> None:
    vectors = np.array([[0.0], [1.0], [10.0], [11.0]])
    heavy_low = fit_codebook(vectors, [1e6, 1e6, 1e-6, 1e-6], levels=1, codes=2, seed=2)
    left = np.abs(decode(assign_codes(vectors, heavy_low), heavy_low) - vectors)
    assert left[:2].max() < 1e-3


def test_a_second_fit_of_the_tokens_never_loses_to_plain_residual_k_means(monkeypatch: pytest.MonkeyPatch) -> None:
    from nightrank.models import codebook

    vectors = np.random.default_rng(7).normal(size=(400, 6))

    def error(book: np.ndarray) -> float:
        return float(((vectors - decode(assign_codes(vectors, book), book)) ** 2).sum())

    refitted = error(fit_codebook(vectors, None, 3, 6, seed=3))
    monkeypatch.setattr(codebook, "_REFITS", 0)
    assert refitted < error(fit_codebook(vectors, None, 3, 6, seed=3))


@pytest.mark.parametrize("vectors", [np.zeros((0, 3)), np.array([[1.0, np.nan]])])
def test_nothing_or_nan_is_refused(vectors: np.ndarray) -> None:
    with pytest.raises(ContractError, match="codebook cannot be fitted"):
        fit_codebook(vectors, None, 2, 4, seed=1)
