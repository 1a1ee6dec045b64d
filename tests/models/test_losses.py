"""Golden formulas of losses: values by hand, gradients against finite differences in float64."""

from __future__ import annotations

from math import exp, log

import pytest
import torch

from nightrank.models.losses import binary_cross_entropy, distance_and_behaviour, in_batch_softmax, listwise_softmax


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


def gradient_by_differences(loss, at, step=1e-6):
    moved = torch.zeros_like(at)
    for index in range(at.numel()):
        nudge = torch.zeros_like(at).view(-1)
        nudge[index] = step
        nudge = nudge.view_as(at)
        moved.view(-1)[index] = (loss(at + nudge) - loss(at - nudge)) / (2 * step)
    return moved


def assert_gradient(loss, at):
    at = at.clone().requires_grad_(True)
    loss(at).backward()
    torch.testing.assert_close(at.grad, gradient_by_differences(loss, at.detach()), atol=1e-8, rtol=1e-6)


def test_binary_cross_entropy_has_both_terms():
    p = [1 / (1 + exp(-0.3)), 1 / (1 + exp(1.2))]
    expected = -(log(p[0]) + log(1 - p[1])) / 2
    assert binary_cross_entropy(doubles(0.3, -1.2), doubles(1, 0)).item() == pytest.approx(expected, abs=1e-15)
    # Without the second term a confident wrong "taken" would cost nothing.
    assert binary_cross_entropy(doubles(5.0), doubles(0)).item() == pytest.approx(-log(1 - 1 / (1 + exp(-5.0))))
    assert binary_cross_entropy(doubles(800.0, -800.0), doubles(0, 1)).item() == pytest.approx(800.0)


def test_binary_cross_entropy_gradient():
    assert_gradient(lambda x: binary_cross_entropy(x, doubles(1, 0, 0.25)), doubles(0.3, -1.2, 2.0))


MASK = torch.tensor([[True, True, True], [True, True, False], [True, True, True]])
TARGETS = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 9.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
SCORES = torch.tensor([[0.1, 0.7, -0.4], [1.0, 0.2, 7.0], [3.0, 1.0, 2.0]], dtype=torch.float64)


def test_listwise_softmax_by_hand():
    one = exp(0.1) + exp(0.7) + exp(-0.4)
    first = -(1 * log(exp(0.1) / one) + 2 * log(exp(-0.4) / one))
    second = -3 * log(exp(0.2) / (exp(1.0) + exp(0.2)))
    # The third slate has nothing taken: it adds nothing and is not counted.
    expected = (0.5 * first + 2.0 * second) / (0.5 + 2.0)
    assert listwise_softmax(SCORES, TARGETS, MASK, doubles(0.5, 2, 4)).item() == pytest.approx(expected, abs=1e-14)


def test_listwise_softmax_gradient_and_none_to_padding():
    assert_gradient(lambda x: listwise_softmax(x, TARGETS, MASK, doubles(0.5, 2, 4)), SCORES)
    scores = SCORES.clone().requires_grad_(True)
    listwise_softmax(scores, TARGETS, MASK, doubles(0.5, 2, 4)).backward()
    assert scores.grad[1, 2] == 0
    assert scores.grad[2].tolist() == [0, 0, 0]


def test_an_inverse_propensity_weight_multiplies_its_candidates_share():
    scores, mask = SCORES[:1], MASK[:1]
    parts = [listwise_softmax(scores, target, mask, doubles(1)) for target in (doubles([1, 0, 0]), doubles([0, 0, 4]))]
    both = listwise_softmax(scores, doubles([1, 0, 4]), mask, doubles(1))
    assert both.item() == pytest.approx((parts[0] + parts[1]).item(), abs=1e-14)


def test_listwise_softmax_of_nothing_taken_is_zero_with_a_gradient_of_zero():
    scores = SCORES.float().requires_grad_(True)
    loss = listwise_softmax(scores, torch.zeros(3, 3), MASK, torch.ones(3))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(scores.grad, torch.zeros(3, 3))


def test_a_slate_of_padding_is_finite():
    loss = listwise_softmax(SCORES.float(), TARGETS.float(), torch.zeros(3, 3, dtype=torch.bool), torch.ones(3))
    assert loss.item() == 0.0


def test_large_scores_stay_finite():
    loss = listwise_softmax(doubles([1e4, -1e4]), doubles([0, 1]), torch.ones(1, 2, dtype=torch.bool), doubles(1))
    assert loss.item() == pytest.approx(2e4)


def pair(rating):
    one, other = doubles([1.0, 0.0]), doubles([0.0, 2.0])
    return lambda x: distance_and_behaviour(x, other, doubles(rating), doubles(0.3), doubles(1), 0.5), one


def test_distance_and_behaviour_by_hand():
    loss, one = pair(rating=4.0)
    expected = 4 * (1 + 4) + 0.5 * -log(1 / (1 + exp(-0.3)))
    assert loss(one).item() == pytest.approx(expected, abs=1e-14)
    assert_gradient(loss, one)


def test_a_higher_rating_pulls_the_pair_together():
    after = []
    for rating in (0.0, 1.0, 4.0):
        loss, one = pair(rating)
        one = one.requires_grad_(True)
        loss(one).backward()
        after.append((one - 0.05 * one.grad - doubles([0.0, 2.0])).norm().item())
    assert after[0] == pytest.approx(5**0.5)
    assert after[0] > after[1] > after[2]


# Three rows; item 2 is as often expected as items 0 and 1 together; item 1 is wanted for query 0 too.
PAIRS = torch.tensor([[2.0, 5.0, 0.5], [0.3, 1.0, -1.0], [0.0, 0.2, 0.1]], dtype=torch.float64)
EXPECTED = torch.tensor([0.5, 0.5, 1.0], dtype=torch.float64)
WANTED = torch.tensor([[True, True, False], [False, True, False], [False, False, True]])
HARD = torch.tensor([[1.5], [9.0], [-0.5]], dtype=torch.float64)
HAS_HARD = torch.tensor([[True], [False], [True]])


def in_batch(scores, hard=HARD):
    return in_batch_softmax(scores, EXPECTED.log(), WANTED, hard, HAS_HARD)


def test_in_batch_softmax_takes_popularity_off_and_leaves_false_negatives_out():
    # exp(score - log expected) = exp(score) / expected; the row's own hard negative has nothing taken off.
    first = (exp(2.0) / 0.5) / (exp(2.0) / 0.5 + exp(0.5) / 1.0 + exp(1.5))
    second = (exp(1.0) / 0.5) / (exp(0.3) / 0.5 + exp(1.0) / 0.5 + exp(-1.0) / 1.0)
    third = (exp(0.1) / 1.0) / (exp(0.0) / 0.5 + exp(0.2) / 0.5 + exp(0.1) / 1.0 + exp(-0.5))
    expected = -(log(first) + log(second) + log(third)) / 3
    assert in_batch(PAIRS).item() == pytest.approx(expected, abs=1e-14)


def test_in_batch_softmax_gradient_and_none_to_what_is_left_out():
    assert_gradient(in_batch, PAIRS)
    assert_gradient(lambda hard: in_batch(PAIRS, hard), HARD)
    scores, hard = PAIRS.clone().requires_grad_(True), HARD.clone().requires_grad_(True)
    in_batch(scores, hard).backward()
    assert scores.grad[0, 1] == 0
    assert hard.grad[1, 0] == 0
