"""Position bias: the planted curve comes back from clicks that are not rare."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.models.propensity import LEAST, Cells, estimate_curve, informative, smoothed

TRUTH = np.array([1.0, 0.7, 0.55, 0.4, 0.33, 0.28, 0.24, 0.2, 0.17, 0.15])


def shop(pairs, showings, seed, most_appeal=0.6, reach=4):
    """Pairs of known appeal, shown around a home position that the appealing ones have nearer the top."""
    generator = np.random.default_rng(seed)
    appeal = generator.uniform(0.02, most_appeal, size=pairs)
    home = np.clip((10 - 12 * appeal).astype(int) + generator.integers(-2, 3, size=pairs), 1, 10)
    pair = np.repeat(np.arange(pairs), showings)
    moved = home[pair] + generator.integers(-reach, reach + 1, size=len(pair))
    position = np.clip(moved, 1, 10)
    return pair, position, appeal, generator


def cells(pair, position, clicked):
    keys, row = np.unique(np.stack([pair, position]), axis=1, return_inverse=True)
    return Cells(keys[0], keys[1], np.bincount(row).astype(float), np.bincount(row, weights=clicked))


def test_the_planted_curve_is_recovered_from_frequent_clicks():
    pair, position, appeal, generator = shop(pairs=2_000, showings=40, seed=11)
    clicked = generator.random(len(pair)) < appeal[pair] * TRUTH[position - 1]
    curve = estimate_curve(cells(pair, position, clicked), 10, 20, 1.0)
    assert np.abs(curve / TRUTH - 1).max() < 0.10
    # The click rate by position is no such curve: better items stand higher.
    naive = np.bincount(position, weights=clicked)[1:] / np.bincount(position)[1:]
    assert np.abs(naive / naive[0] / TRUTH - 1).max() > 0.3


@pytest.mark.parametrize("reach", [1, 4])
def test_expected_counts_give_the_truth_itself(reach):
    pair, position, appeal, _ = shop(pairs=300, showings=30, seed=12, reach=reach)
    expected = cells(pair, position, appeal[pair] * TRUTH[position - 1])
    np.testing.assert_allclose(estimate_curve(expected, 10, 0, 1.0), TRUTH, rtol=1e-6)


def literal(*rows):
    return Cells(*(np.array(column) for column in zip(*rows, strict=True)))


def test_two_positions_by_hand():
    # One pair, 10 showings at each position: the propensity of 2 is the ratio of its clicks. Two pairs, unequally
    # shown, with n × p × z clicks at z = .4 and .1 and p_2 = .5: the same .5.
    assert estimate_curve(literal((1, 1, 10.0, 8.0), (1, 2, 10.0, 2.0)), 2, 1, 1.0)[1] == pytest.approx(0.25)
    rows = ((1, 1, 10.0, 4.0), (1, 2, 30.0, 6.0), (2, 1, 60.0, 6.0), (2, 2, 20.0, 1.0))
    assert estimate_curve(literal(*rows), 2, 1, 1.0)[1] == pytest.approx(0.5)


def test_positions_not_linked_with_the_first_continue_the_curve():
    rows = ((1, 1, 10.0, 8.0), (1, 2, 10.0, 4.0), (2, 3, 10.0, 5.0), (2, 4, 10.0, 5.0))
    expected = [1.0, 0.5, 0.5 * 2 / 3, 0.5 * 2 / 4]
    assert estimate_curve(literal(*rows), 4, 1, 1.0).tolist() == pytest.approx(expected)


def test_a_position_with_too_few_clicks_continues_the_curve():
    rows = ((1, 1, 10.0, 8.0), (1, 2, 10.0, 1.0), (2, 1, 10.0, 8.0), (2, 3, 10.0, 2.0))
    assert estimate_curve(literal(*rows), 3, 2, 0.5).tolist() == pytest.approx([1.0, (1 / 2) ** 0.5, 0.25])


def test_without_rank_changes_the_curve_is_the_fallback():
    for rows in (((1, 1, 10.0, 5.0), (2, 2, 10.0, 5.0)), ((1, 2, 10.0, 5.0), (1, 3, 10.0, 5.0))):
        assert estimate_curve(literal(*rows), 4, 1, 1.0).tolist() == [1.0, 1 / 2, 1 / 3, 1 / 4]
    nothing = literal((1, 1, 10.0, 5.0)).where(np.array([False]))
    assert estimate_curve(nothing, 2, 1, 2.0).tolist() == [1.0, 0.25]


def test_a_propensity_is_within_bounds():
    rows = ((1, 1, 10.0, 4.0), (1, 2, 10.0, 5.0), (2, 1, 10_000.0, 9_000.0), (2, 3, 10_000.0, 1.0))
    assert estimate_curve(literal(*rows), 3, 1, 1.0).tolist() == pytest.approx([1.0, 1.0, LEAST])


def test_pairs_that_tell_nothing_are_left_out_and_pooling_sums_rows():
    told = literal((1, 1, 2.0, 1.0), (1, 1, 3.0, 0.0), (1, 2, 1.0, 0.0), (2, 1, 1.0, 0.0), (2, 2, 1.0, 0.0)).pooled()
    assert told.impressions.tolist() == [5.0, 1.0, 1.0, 1.0]
    kept = informative(told)
    assert [kept.pair.tolist(), kept.position.tolist(), kept.clicks.tolist()] == [[1, 1], [1, 2], [1.0, 0.0]]


def test_few_clicks_are_drawn_to_the_power_law_and_many_stand() -> None:
    position, law = np.arange(1, 6), np.arange(1, 6) ** -0.8
    noisy = law * np.array([1.0, 1.0, 1.5, 1.0, 1.0])
    few = smoothed(position, noisy, np.array([1e6, 1e6, 10.0, 1e6, 1e6]), 300.0)
    many = smoothed(position, noisy, np.array([1e6] * 5), 300.0)
    assert few[2] == pytest.approx(law[2] * 1.5 ** (10 / 310), rel=1e-3)
    assert many[2] == pytest.approx(noisy[2], rel=1e-3)
    np.testing.assert_allclose(smoothed(position, noisy, np.ones(5), 0.0), noisy)


def test_the_power_law_is_the_line_of_least_weighted_squares() -> None:
    position, clicks = np.array([1, 2, 4, 8]), np.array([100.0, 60.0, 30.0, 5.0])
    propensity = np.array([1.0, 0.6, 0.3, 0.2])
    slope, intercept = np.polyfit(np.log(position), np.log(propensity), deg=1, w=np.sqrt(clicks))
    law = np.exp(intercept) * position**slope
    # With an overwhelming prior nothing is left of the estimates.
    np.testing.assert_allclose(smoothed(position, propensity, clicks, 1e12), law, rtol=1e-9)


def test_clicks_at_one_position_alone_say_nothing_of_a_slope() -> None:
    drawn = smoothed(np.array([1, 2, 3]), np.array([1.0, 0.5, 0.4]), np.array([9.0, 0.0, 0.0]), 3.0)
    np.testing.assert_allclose(drawn, [1.0, 1.0, 1.0])
