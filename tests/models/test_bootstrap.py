"""Intervals: of users, seeded, with edges that no gate passes."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.models.bootstrap import difference_interval, mean_interval, sums_by_user, user_mean


def test_sums_by_user_are_in_id_order():
    users, numerator, denominator = sums_by_user(["b", "a", "b"], [1.0, 0.5, 0.0], [2.0, 1.0, 4.0])
    assert users.tolist() == ["a", "b"]
    assert numerator.tolist() == [0.5, 2.0]
    assert denominator.tolist() == [1.0, 6.0]
    assert sums_by_user(["b", "a", "b"], [1.0, 0.5, 0.0])[2].tolist() == [1.0, 2.0]


def test_the_value_is_the_ratio_of_sums_and_the_user_mean_counts_each_user_once():
    numerator, denominator = [0.5, 2.0], [1.0, 6.0]
    assert mean_interval(numerator, denominator, draws=10, seed=1)[0] == pytest.approx(2.5 / 7)
    assert user_mean(numerator, denominator) == pytest.approx((0.5 / 1 + 2 / 6) / 2)


def test_the_interval_has_the_width_that_theory_gives():
    figures = np.random.default_rng(3).normal(0.4, 0.2, size=2_000)
    value, lower, upper = mean_interval(figures, np.ones(2_000), draws=2_000, seed=5)
    error = figures.std() / np.sqrt(2_000)
    assert lower == pytest.approx(value - 1.96 * error, abs=0.15 * error)
    assert upper == pytest.approx(value + 1.96 * error, abs=0.15 * error)


def test_searches_of_one_user_are_drawn_together():
    # 100 users, 50 searches each, all alike within a user: as sure as 100 searches, not as 5,000.
    figures = np.random.default_rng(3).integers(0, 2, size=100).astype(float)
    clustered = mean_interval(figures * 50, np.full(100, 50.0), draws=500, seed=5)
    assert clustered == pytest.approx(mean_interval(figures, np.ones(100), draws=500, seed=5), abs=1e-12)


def test_a_paired_difference_is_surer_than_its_parts():
    generator = np.random.default_rng(3)
    champion = generator.uniform(0, 1, size=500)
    challenger = champion + 0.01 + generator.normal(0, 0.005, size=500)
    value, lower, _ = difference_interval(challenger, champion, np.ones(500), draws=500, seed=5)
    assert value == pytest.approx((challenger - champion).mean())
    assert lower > 0.008
    assert mean_interval(challenger, np.ones(500), draws=500, seed=5)[1] < champion.mean()


def test_same_seed_same_bits_and_blocks_change_nothing(monkeypatch):
    numerator = np.random.default_rng(3).uniform(size=50)
    whole = mean_interval(numerator, np.ones(50), draws=100, seed=5)
    assert mean_interval(numerator, np.ones(50), draws=100, seed=5) == whole
    assert mean_interval(numerator, np.ones(50), draws=100, seed=6) != whole
    monkeypatch.setattr("nightrank.models.bootstrap.BLOCK", 50 * 7)
    assert mean_interval(numerator, np.ones(50), draws=100, seed=5) == whole


def test_fewer_than_two_users_pass_no_gate():
    assert mean_interval([0.8], [2.0], draws=10, seed=1) == (0.4, -0.6, 1.4)
    assert mean_interval([], [], draws=10, seed=1) == (0.0, -1.0, 1.0)
    # A user without weight is no user.
    assert mean_interval([0.8, 0.0], [2.0, 0.0], draws=10, seed=1) == (0.4, -0.6, 1.4)
    assert user_mean([], []) == 0.0
