"""The learned gate: cells drawn to their class, rising with agreement; worked out by hand, and on made-up shops."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.models.gate import Gate, fit_gate
from nightrank.models.gate_cells import UNKNOWN, Judged, learned_gates, merged, rising, shrunk
from nightrank.models.gate_table import class_gates
from nightrank.sections import GatesConfig

ALPHAS = (0.0, 1.0)
SETTINGS = GatesConfig(evidence_buckets=(1,), agreement_buckets=(0.5, 0.7), bootstrap=200)


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def test_cells_that_differ_keep_half_of_what_sets_them_apart() -> None:
    # w = 100 each, mean 0, Q = 200 * .1^2 = 2, t2 = (2 - 1) / (200 - 20000 / 200) = .01 = s2: half is trusted.
    expected, variance = shrunk(column(0.1, -0.1), column(0.01, 0.01))
    np.testing.assert_allclose(expected, column(0.05, -0.05))
    # .5 * .01 + .5^2 / (2 / .02)
    np.testing.assert_allclose(variance, column(0.0075, 0.0075))


def test_cells_that_differ_by_chance_alone_are_the_class() -> None:
    # Q = 100 * 2 * .01^2 = .02 < 1: t2 = 0, and the mean has the precision of both.
    expected, variance = shrunk(column(0.05, 0.03), column(0.01, 0.01))
    np.testing.assert_allclose(expected, column(0.04, 0.04))
    np.testing.assert_allclose(variance, column(0.005, 0.005))


def test_a_cell_of_which_nothing_is_known_is_the_class_and_as_unsure_as_cells_are_apart() -> None:
    expected, variance = shrunk(column(0.1, -0.1, 0.7), column(0.01, 0.01, np.inf))
    np.testing.assert_allclose(expected, column(0.05, -0.05, 0.0))
    np.testing.assert_allclose(variance[2], 0.01 + 1 / 100)  # t2, and the mean's own variance


def test_gains_that_fall_with_agreement_are_pooled_by_precision() -> None:
    values, variances = rising(np.array([0.3, 0.0, 0.4]), np.array([0.01, 0.03, 0.01]))
    # (100 * .3 + 33.3 * 0) / 133.3; the harmonic mean of .01 and .03
    np.testing.assert_allclose(values, [0.225, 0.225, 0.4])
    np.testing.assert_allclose(variances, [0.015, 0.015, 0.01])


def test_a_pool_goes_on_until_nothing_falls() -> None:
    values, _ = rising(np.array([0.3, 0.2, 0.1, 0.5]), np.full(4, 0.01))
    np.testing.assert_allclose(values, [0.2, 0.2, 0.2, 0.5])


@pytest.mark.parametrize(
    ("shoppers", "groups"),
    [
        ([10, 50, 5, 40], [[0, 1], [2, 3]]),
        ([40, 40, 3], [[0], [1, 2]]),
        ([5, 5], [[0, 1]]),
        ([0, 0, 60], [[0, 1, 2]]),
    ],
)
def test_buckets_are_put_together_until_they_have_enough(shoppers: list[int], groups: list[list[int]]) -> None:
    assert merged(np.array(shoppers), 30) == groups


def test_the_variance_is_that_of_a_ratio_over_shoppers() -> None:
    # Cell 0: shopper a gains .2 and .4 (two searches), b 0: gain .2, residuals (.6 - 2 * .2, 0 - .2) = +-.2;
    # 2 / 1 * (.04 + .04) / 3^2 = .16 / 9. Cell 1: c gains .1, d .3: gain .2, 2 * (.01 + .01) / 4 = .01, less than
    # as unlike as all are: (.2^2 + .2^2 + .1^2 + .1^2) / (4 + 1 + 1 + 1) * 2 / 4 = .1 / 14.
    users = np.array(["a", "a", "b", "c", "d"])
    gains = np.array([0.2, 0.4, 0.0, 0.1, 0.3])
    judged = Judged(users, np.ones(5), np.column_stack([np.full(5, 0.5), 0.5 + gains]))
    gates = learned_gates(judged, np.array([0, 0, 0, 1, 1]), 2, [[0, 1]], ALPHAS, clip=3.0)
    # Both gain .2: nothing sets them apart, and the class's variance is 1 / (9 / .16 + 1 / .01).
    half = 1.96 / np.sqrt(9 / 0.16 + 100)
    assert [gate.own_gain for gate in gates] == pytest.approx([0.2, 0.2])
    assert [gate.gain for gate in gates] == pytest.approx([0.2, 0.2])
    assert [gate.lower for gate in gates] == pytest.approx([0.2 - half] * 2)
    assert [(gate.alpha, gate.bound, gate.searches, gate.users) for gate in gates] == [
        (1.0, 3.0, 3, 2),
        (1.0, 3.0, 2, 2),
    ]


def made_up(
    seed: int, shoppers: int, by_agreement: tuple[float, float, float]
) -> tuple[Judged, np.ndarray, np.ndarray]:
    """Judged searches, one to three a shopper, evidence and agreement; gains by low, middle and high agreement."""
    random = np.random.default_rng(seed)
    agreement = random.uniform(0.3, 0.9, shoppers)
    gain = np.array(by_agreement)[np.searchsorted([0.5, 0.7], agreement, side="right")]
    owner = np.repeat(np.arange(shoppers), random.integers(1, 4, shoppers))
    shop = random.uniform(0.2, 0.8, len(owner))
    own = shop + gain[owner] + random.normal(0, 0.15, len(owner))
    users = np.array([f"u{n:05d}" for n in owner])
    judged = Judged(users, random.uniform(0.5, 2.0, len(owner)), np.column_stack([shop, own]))
    return judged, np.full(len(owner), 9), agreement[owner]


def gates_of(*population: np.ndarray, settings: GatesConfig = SETTINGS) -> dict[tuple[int, float], Gate]:
    found = class_gates(*population, ALPHAS, 3.0, settings, seed=1)
    return {(evidence, agreement): gate for evidence, agreement, gate in found}


def test_a_shop_where_agreement_predicts_gain_is_recovered() -> None:
    judged, evidence, agreement = made_up(1, 900, (-0.06, 0.0, 0.06))
    gates = gates_of(judged, evidence, agreement)
    assert sorted(gates) == [(0, UNKNOWN), (1, UNKNOWN), (1, 0.5), (1, 0.7)]
    assert gates[1, 0.7].alpha == 1.0
    assert gates[1, 0.7].gain == pytest.approx(0.06, abs=0.02)
    assert gates[1, UNKNOWN].alpha == 0.0
    # By evidence alone who is harmed pays for who gains: nobody has anything.
    pooled = gates_of(judged, evidence, agreement, settings=SETTINGS.model_copy(update={"min_shoppers": 1000}))
    assert pooled[1, UNKNOWN].alpha == 0.0


def test_expected_gains_rise_with_agreement_even_where_seen_ones_do_not() -> None:
    gates = gates_of(*made_up(2, 900, (0.05, 0.02, 0.05)))
    expected = [gates[1, least].gain for least in (UNKNOWN, 0.5, 0.7)]
    assert gates[1, UNKNOWN].own_gain > gates[1, 0.5].own_gain
    assert expected == sorted(expected)


def test_a_world_without_tastes_closes_the_gate() -> None:
    opened = [gate.alpha > 0 for seed in range(60) for gate in gates_of(*made_up(seed, 300, (0, 0, 0))).values()]
    assert np.mean(opened) < 0.025


def test_a_small_shop_has_the_gates_of_its_evidence() -> None:
    judged, evidence, agreement = made_up(3, 40, (0.2, 0.2, 0.2))
    gates = gates_of(judged, evidence, agreement)
    assert sorted(gates) == [(0, UNKNOWN), (1, UNKNOWN)]
    assert gates[1, UNKNOWN] == fit_gate(judged.users, judged.weights, judged.ndcgs, ALPHAS, 3.0, draws=200, seed=1)
    assert gates[1, UNKNOWN].alpha == 1.0


def test_of_whom_nothing_is_known_has_no_part_in_the_others_gates() -> None:
    judged, evidence, agreement = made_up(4, 900, (0.0, 0.0, 0.06))
    with_strangers = np.where(judged.users < "u00300", 0, evidence)
    gates = gates_of(judged, with_strangers, np.where(with_strangers > 0, agreement, UNKNOWN))
    assert gates[0, UNKNOWN].users == 300
    assert sum(gate.users for gate in gates.values()) == 900


def test_the_same_searches_give_the_same_bits_and_nobody_is_counted_twice() -> None:
    population = made_up(5, 500, (-0.05, 0.0, 0.05))
    assert gates_of(*population) == gates_of(*population)
    # A shopper's searches are alike: a hundred of one are hardly more than one.
    judged, evidence, agreement = population
    one = Judged(np.repeat(judged.users[:1], len(evidence)), judged.weights, judged.ndcgs)
    assert {gate.alpha for gate in gates_of(one, evidence, agreement).values()} == {0.0}
