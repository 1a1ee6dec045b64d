"""Golden formulas of similarity: values worked out by hand."""

from __future__ import annotations

from math import exp, sqrt

import numpy as np
import pytest

from nightrank.models.similarity import cosine, dot, ranked, similarity, softmax, weighted_match


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


@pytest.mark.parametrize(
    ("measure", "score"),
    [("cosine", -5 / (sqrt(5) * sqrt(25))), ("dot", 1 * 3 + 2 * -4), ("euclidean", 1 / (1 + sqrt(2**2 + 6**2)))],
)
def test_each_similarity_in_each_activation(measure, score):
    # (1, 2) and (3, -4)
    found = {kind: similarity([1.0, 2.0], [3.0, -4.0], measure, kind) for kind in ("identity", "relu", "sigmoid")}
    assert found["identity"] == pytest.approx(score, abs=1e-15)
    assert found["relu"] == pytest.approx(max(score, 0.0), abs=1e-15)
    assert found["sigmoid"] == pytest.approx(1 / (1 + exp(-score)), abs=1e-15)


def test_similarity_of_equal_and_of_huge_vectors():
    assert similarity([[3.0, 4.0]], [[3.0, 4.0]], "euclidean").tolist() == [1.0]
    assert similarity([1e3], [[1e3], [-1e3]], "dot", "sigmoid").tolist() == [1.0, 0.0]
    assert similarity([0.0, 0.0], [1.0, 2.0], "cosine", "sigmoid") == 0.5


def test_cosine_of_a_zero_vector_is_zero():
    assert cosine([0.0, 0.0], [1.0, 1.0]) == 0.0
    assert cosine([[0.0, 0.0], [1.0, 0.0]], [1.0, 0.0]).tolist() == [0.0, 1.0]


def test_dot_broadcasts_over_the_last_axis():
    assert dot([1.0, 2.0], [[3.0, 4.0], [5.0, 6.0]]).tolist() == [11.0, 17.0]


def test_a_sort_returns_ids_with_scores_and_breaks_ties_by_id():
    ids, scores = ranked(np.array(["c", "b", "a", "d"]), [0.5, 0.9, 0.5, 0.1])
    assert ids.tolist() == ["b", "a", "c", "d"]
    assert scores.tolist() == [0.9, 0.5, 0.5, 0.1]
