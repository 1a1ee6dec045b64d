"""Golden formulas of similarity: values worked out by hand."""

from __future__ import annotations

from math import exp, sqrt

import numpy as np
import pytest
import torch

from nightrank.models.similarity import cosine, dot, euclidean, ranked, similarity, softmax, weighted_match
from nightrank.models.similarity_scores import similarity_scores


def test_weighted_match():
    # .5 × .8 + .3 × .4 + .2 × .3 = .40 + .12 + .06; .5 × .3 + .3 × .6 + .2 × .1 = .15 + .18 + .02
    matches = weighted_match([0.5, 0.3, 0.2], [[0.8, 0.4, 0.3], [0.3, 0.6, 0.1]])
    assert matches.tolist() == pytest.approx([0.58, 0.35], abs=1e-15)


def test_softmax_is_over_the_candidates_of_a_slate():
    total = exp(0.58) + exp(0.35)
    assert softmax([0.58, 0.35]).tolist() == pytest.approx([exp(0.58) / total, exp(0.35) / total], abs=1e-15)
    # Over one logit it would be 1 for any candidate, and all would be alike.
    assert [softmax([0.58]).tolist(), softmax([0.35]).tolist()] == [[1.0], [1.0]]


def test_softmax_takes_the_maximum_off_and_leaves_padding_out():
    assert softmax([1000.0, 1000.0]).tolist() == [0.5, 0.5]
    assert softmax([-1000.0, -1000.0]).tolist() == [0.5, 0.5]
    shares = softmax([[0.0, 0.0, 9e9], [1.0, 2.0, 3.0]], mask=[[True, True, False], [False, False, False]])
    assert shares.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]


def test_cosine_divides_by_both_norms():
    assert cosine([1.0, 2.0], [3.0, 4.0]) == pytest.approx((1 * 3 + 2 * 4) / (sqrt(5) * sqrt(25)))
    # Length does not matter, direction does.
    assert cosine([10.0, 20.0], [3.0, 4.0]) == pytest.approx(cosine([1.0, 2.0], [3.0, 4.0]))
    assert cosine([1.0, 0.0], [[-2.0, 0.0], [0.0, 5.0]]).tolist() == [-1.0, 0.0]


def test_cosine_of_a_zero_vector_is_zero():
    assert cosine([0.0, 0.0], [1.0, 1.0]) == 0.0
    assert cosine([[0.0, 0.0], [1.0, 0.0]], [1.0, 0.0]).tolist() == [0.0, 1.0]


def test_dot_broadcasts_over_the_last_axis():
    assert dot([1.0, 2.0], [[3.0, 4.0], [5.0, 6.0]]).tolist() == [11.0, 17.0]


def test_a_sort_returns_ids_with_scores_and_breaks_ties_by_id():
    ids, scores = ranked(np.array(["c", "b", "a", "d"]), [0.5, 0.9, 0.5, 0.1])
    assert ids.tolist() == ["b", "a", "c", "d"]
    assert scores.tolist() == [0.9, 0.5, 0.5, 0.1]


def test_euclidean_is_one_over_one_and_the_distance():
    assert euclidean([1.0, 2.0], [[4.0, 6.0], [1.0, 2.0]]).tolist() == [1 / (1 + 5), 1.0]


@pytest.mark.parametrize(
    ("measure", "plain"), [("dot", -1.0), ("cosine", -1 / (sqrt(5) * sqrt(10))), ("euclidean", 1 / (1 + sqrt(17)))]
)
def test_every_measure_with_every_activation(measure, plain):
    one, other = [1.0, 2.0], [-3.0, 1.0]
    assert similarity(one, other, measure) == pytest.approx(plain, rel=1e-12)
    assert similarity(one, other, measure, "relu") == pytest.approx(max(0.0, plain), rel=1e-12)
    assert similarity(one, other, measure, "sigmoid") == pytest.approx(1 / (1 + exp(-plain)), rel=1e-12)


def test_the_sigmoid_of_large_products_is_finite():
    assert similarity([1e3], [[1e3], [-1e3], [0.0]], "dot", "sigmoid").tolist() == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("measure", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("activation", ["identity", "relu", "sigmoid"])
def test_torch_computes_what_numpy_defines_and_has_its_gradient(measure, activation):
    random = np.random.default_rng(3)
    one, other = random.normal(size=(4, 1, 5)), random.normal(size=(4, 6, 5))
    other[0, 0], other[1, 1] = 0.0, one[1, 0]  # a zero vector; two equal ones
    tensors = [torch.tensor(part, requires_grad=True) for part in (one, other)]
    scores = similarity_scores(*tensors, measure, activation)
    np.testing.assert_allclose(scores.detach().numpy(), similarity(one, other, measure, activation), atol=1e-12)
    scores.sum().backward()
    assert all(bool(torch.isfinite(part.grad).all()) for part in tensors)
    away = [torch.tensor(part[2:], requires_grad=True) for part in (one, other)]  # from those two, where it has a kink
    assert torch.autograd.gradcheck(lambda *pair: similarity_scores(*pair, measure, activation), away)
