"""Gates: open where personalising pays, closed where it does not or nobody knows."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.models.gate import fit_gate, ndcg_by_alpha

ALPHAS = [0.0, 1.0, 2.0]


def test_ndcg_by_alpha_reranks_one_slate() -> None:
    # Two items; the second is taken and the row prefers it by 1.5, the base the first by 1.
    base, sums, gains = np.array([1.0, 0.0]), np.array([0.0, 1.5]), np.array([0.0, 1.0])
    found = ndcg_by_alpha(base, sums, gains, np.arange(2), [0.0, 0.5, 1.0], clip=3.0, k=10)
    np.testing.assert_allclose(found, [1 / np.log2(3), 1 / np.log2(3), 1.0])


def test_the_clip_is_in_units_of_the_base_score_for_every_alpha() -> None:
    base, sums, gains = np.array([1.0, 0.0]), np.array([0.0, 100.0]), np.array([0.0, 1.0])
    found = ndcg_by_alpha(base, sums, gains, np.arange(2), ALPHAS, clip=0.9, k=10)
    np.testing.assert_allclose(found, [1 / np.log2(3)] * 3)


def many(users: int, gain: float, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    shop = random.uniform(0.3, 0.6, users)
    own = shop + gain + random.normal(0, noise, users)
    return np.array([f"u{n:04d}" for n in range(users)]), np.ones(users), np.column_stack([shop, own, shop])


def test_a_clear_gain_opens_the_gate_with_its_alpha_and_bound() -> None:
    users, weights, ndcgs = many(400, gain=0.05, noise=0.1)
    gate = fit_gate(users, weights, ndcgs, ALPHAS, clip=3.0, draws=500, seed=1)
    assert gate.alpha == 1.0
    assert gate.bound == 3.0
    assert 0 < gate.lower < gate.gain < gate.upper
    assert (gate.searches, gate.users) == (400, 400)


@pytest.mark.parametrize(("gain", "noise"), [(0.0, 0.3), (-0.05, 0.1)])
def test_no_clear_gain_closes_it(gain: float, noise: float) -> None:
    users, weights, ndcgs = many(60, gain, noise)
    gate = fit_gate(users, weights, ndcgs, ALPHAS, clip=3.0, draws=500, seed=1)
    assert gate.alpha == 0.0
    assert gate.bound == 0.0


def test_the_same_searches_of_one_shopper_are_no_evidence() -> None:
    _, weights, ndcgs = many(400, gain=0.05, noise=0.01)
    gate = fit_gate(np.array(["one"] * 400), weights, ndcgs, ALPHAS, clip=3.0, draws=500, seed=1)
    assert gate.alpha == 0.0


def test_nothing_to_go_by_is_a_closed_gate() -> None:
    gate = fit_gate(np.array([], dtype=str), np.zeros(0), np.zeros((0, 3)), ALPHAS, 3.0, 10, 1)
    assert (gate.alpha, gate.bound, gate.searches) == (0.0, 0.0, 0)
