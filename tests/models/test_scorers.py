"""The named baselines: each with numbers worked out by hand."""

from __future__ import annotations

from math import e, exp, log, sqrt

import numpy as np
import pytest

from nightrank.models.catalogue import make_catalogue
from nightrank.models.scorer import reranked_scores
from nightrank.models.scorers.als import AlsSettings, als_scores, factors_of, fit_items, gram_of
from nightrank.models.scorers.attribute_match import attribute_match, attribute_match_scores
from nightrank.models.scorers.attributes import attribute_vectors, item_attributes, liked_attributes
from nightrank.models.scorers.cooccurrence import cooccurrence_scores
from nightrank.models.scorers.ease import ease_scores, fit_ease
from nightrank.models.scorers.mean_interest import mean_interest, mean_interest_scores
from nightrank.models.scorers.popularity import popular_first, popularity_scores
from nightrank.models.scorers.repeats import repeat_scores
from nightrank.models.scorers.shop_order import shop_scores
from nightrank.models.scorers.takes import make_takes, takers

MEASURES, ACTIVATIONS = ("cosine", "dot", "euclidean"), ("identity", "relu", "sigmoid")
NONE = np.zeros(0, dtype=np.int64)


def test_the_shops_order_is_the_formula_with_alpha_0():
    base = np.array([3.0, -1.0, 2.5])
    assert shop_scores(base).tolist() == reranked_scores(base, np.array([9.0, 9.0, -9.0]), 0.0, 5.0).tolist()


def test_popularity_is_the_logarithm_of_takes():
    assert popularity_scores([0.0, 1.0, e - 1]).tolist() == pytest.approx([0.0, log(2), 1.0])


def test_equal_scores_are_told_apart_by_popularity():
    # By score: .1, then the three of .5, of which the last two are equally popular, then .9.
    assert popular_first([0.5, 0.9, 0.5, 0.1, 0.5], [7.0, 0.0, 3.0, 9.0, 3.0]).tolist() == [2.0, 3.0, 1.0, 0.0, 1.0]
    assert popular_first([], []).tolist() == []


def test_one_take_of_ones_own_is_worth_more_than_any_popularity():
    # Three own takes, one, none of what a thousand million took, none of what one did.
    scores = repeat_scores([log(4), log(2), 0.0, 0.0], popularity_scores([0.0, 0.0, 1e9, 1.0]))
    assert scores.tolist() == pytest.approx([log(4), log(2), 1e-3 * log(1e9 + 1), 1e-3 * log(2)])
    assert np.argsort(-scores).tolist() == [0, 1, 2, 3]


def test_cooccurrence_adds_the_neighbours_of_recent_items():
    ids = np.array(["a", "b", "c", "d"])
    neighbours, weights = [["b", "c"], ["c"], [], []], [[0.5, 0.25], [0.5], [], []]
    catalogue = make_catalogue(ids, [[]] * 4, neighbours, weights, np.ones(4), np.zeros((4, 1), np.float32), 1)
    wanted = np.array([1, 2, 3, -1])
    # Newest is a (weight 1), then b (.5), then one that is gone: b .5; c .25 + .5 × .5; d and the unknown nothing.
    scores = cooccurrence_scores(catalogue, np.array([0, 1, -1]), np.array([1.0, 0.5, 0.25]), wanted)
    assert scores.tolist() == [0.5, 0.5, 0.0, 0.0]
    assert cooccurrence_scores(catalogue, NONE, np.zeros(0), wanted).tolist() == [0.0] * 4


def test_mean_interest_is_the_weighted_mean():
    assert mean_interest([[1.0, 0.0], [0.0, 1.0]], [3.0, 1.0]).tolist() == [0.75, 0.25]
    assert mean_interest(np.zeros((0, 2)), []).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("measure", "plain"),
    [
        # The mean is (.75, .25): against (1, 0), (0, -1) and nothing.
        ("dot", [0.75, -0.25, 0.0]),
        ("cosine", [3 / sqrt(10), -1 / sqrt(10), 0.0]),
        ("euclidean", [1 / (1 + sqrt(0.125)), 1 / (1 + sqrt(0.5625 + 1.5625)), 1 / (1 + sqrt(0.625))]),
    ],
)
def test_mean_interest_by_every_measure_and_activation(measure, plain):
    given = [[1.0, 0.0], [0.0, 1.0]], [3.0, 1.0], [[1.0, 0.0], [0.0, -1.0], [0.0, 0.0]], measure
    assert mean_interest_scores(*given).tolist() == pytest.approx(plain, rel=1e-12)
    assert mean_interest_scores(*given, "relu").tolist() == pytest.approx([max(0.0, x) for x in plain], rel=1e-12)
    assert mean_interest_scores(*given, "sigmoid").tolist() == pytest.approx(
        [1 / (1 + exp(-x)) for x in plain], rel=1e-12
    )


def test_a_shopper_without_recents_has_a_cosine_of_0_with_everything():
    assert mean_interest_scores(np.zeros((0, 2)), [], [[1.0, 0.0], [0.0, 0.0]]).tolist() == [0.0, 0.0]


def test_over_items_of_one_length_the_nine_pairs_give_two_orders():
    random = np.random.default_rng(5)
    items = random.normal(size=(40, 6))
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    recent = random.normal(size=(3, 6))
    found = {}
    for measure in MEASURES:
        for activation in ACTIVATIONS:
            scores = mean_interest_scores(recent, [1.0, 0.9, 0.81], items, measure, activation)
            order = tuple(np.argsort(-np.round(scores, 12), kind="stable").tolist())
            found.setdefault(order, set()).add((measure, activation))
    clipped = {("cosine", "relu"), ("dot", "relu")}
    everything = {(measure, activation) for measure in MEASURES for activation in ACTIVATIONS}
    assert sorted(found.values(), key=len) == [clipped, everything - clipped]


def test_attribute_match_sums_over_both_sides_attributes():
    # The shopper likes x .75 and y .25; item 0 has x and z, half each, item 1 has y, item 2 nothing. z points away
    # from x: exp(v·v) is e for the same attribute, 1 across, 1/e for the opposite.
    liked, liked_vectors = [0.75, 0.25], [[1.0, 0.0], [0.0, 1.0]]
    owner, weights, vectors = [0, 0, 1], [0.5, 0.5, 1.0], [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]
    first = 0.5 * (0.75 * e + 0.25) + 0.5 * (0.75 / e + 0.25)
    second = 0.75 + 0.25 * e
    found = attribute_match(liked, liked_vectors, owner, weights, vectors, 3)
    assert found.tolist() == pytest.approx([first, second, 0.0], rel=1e-12)
    total = exp(first) + exp(second) + 1
    shares = attribute_match_scores(liked, liked_vectors, owner, weights, vectors, 3)
    assert shares.tolist() == pytest.approx([exp(first) / total, exp(second) / total, 1 / total], rel=1e-12)


def test_attribute_match_of_a_shopper_without_tastes_leaves_equal_shares():
    shares = attribute_match_scores([], np.zeros((0, 2)), [0, 1], [1.0, 1.0], [[1.0, 0.0], [0.0, 1.0]], 2)
    assert shares.tolist() == [0.5, 0.5]


def test_attributes_are_the_named_facets_of_shopper_and_items():
    ids, tokens = np.array(["a", "b", "c"]), [["brand:x", "code:1", "category:t"], ["brand:x"], []]
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=np.float32)
    catalogue = make_catalogue(ids, tokens, [[]] * 3, [[]] * 3, np.array([2.0, 1.0, 9.0]), vectors, 2)
    assert catalogue.vocabulary.tolist() == ["brand:x", "category:t", "code:1"]
    liked = liked_attributes(catalogue, ["code:1", "category:t", "brand:gone", "brand:x"], [9.0, 3.0, 9.0, 1.0], 8)
    assert [part.tolist() for part in liked] == [[1, 0], [0.75, 0.25]]
    assert [part.tolist() for part in liked_attributes(catalogue, ["category:t", "brand:x"], [3.0, 1.0], 1)] == [
        [1],
        [1],
    ]
    assert [part.tolist() for part in liked_attributes(catalogue, [], [], 8)] == [[], []]
    # Item c has none, the fourth is unknown; an item's weights sum to 1.
    owner, attributes, weights = item_attributes(catalogue, np.array([1, 2, 0, -1]))
    assert [owner.tolist(), attributes.tolist(), weights.tolist()] == [[0, 2, 2], [0, 0, 1], [1.0, 0.5, 0.5]]
    # Brand x: the direction of a's and b's vectors; the category: a's.
    np.testing.assert_allclose(attribute_vectors(catalogue, np.array([1, 0])), [[1, 0], [sqrt(0.5)] * 2], rtol=1e-12)
    assert attribute_vectors(catalogue, NONE).shape == (0, 2)


def test_takes_can_be_read_from_either_side():
    takes = make_takes([["b", "a"], [], ["b"]], [[1.0, 2.0], [], [3.0]])
    assert takes.item_ids.tolist() == ["a", "b"]
    assert [part.tolist() for part in (takes.offsets, takes.items, takes.values)] == [
        [0, 2, 2, 3], [1, 0, 1], [1.0, 2.0, 3.0],
    ]  # fmt: skip
    assert [part.tolist() for part in takers(takes)] == [[0, 1, 3], [0, 0, 2], [2.0, 1.0, 3.0]]


def test_one_step_of_als():
    one = AlsSettings(factors=1, rounds=1, alpha=2.0, l2=1.0)
    items = np.array([[1.0], [2.0]])  # YᵀY = 5
    offsets, taken, values = np.array([0, 1, 1, 3]), np.array([0, 0, 1]), np.array([1.0, 1.0, 0.5])
    # Took the first: c = 3, x = 3·1 / (5 + 1 + 2·1²) = 3/8. Took nothing: 0. Took both, c = 3 and 2:
    # x = (3·1 + 2·2) / (5 + 1 + 2·1² + 1·2²) = 7/12.
    solved = factors_of(items, gram_of(items), offsets, taken, values, one)
    assert solved.tolist() == pytest.approx(np.array([[3 / 8], [0.0], [7 / 12]]), rel=1e-12)
    scores = als_scores(items, gram_of(items), np.array([0]), np.array([1.0]), np.array([1, -1, 0]), one)
    assert scores.tolist() == pytest.approx([2 * 3 / 8, 0.0, 3 / 8], rel=1e-12)
    assert als_scores(items, gram_of(items), NONE, np.zeros(0), np.array([0, 1]), one).tolist() == [0.0, 0.0]
    # Two factors: YᵀY = I, so x = diag(1 + 1 + 1·2, 1 + 1)⁻¹ (3, 0) = (3/4, 0).
    two = AlsSettings(factors=2, rounds=1, alpha=1.0, l2=1.0)
    solved = factors_of(np.eye(2), np.eye(2), np.array([0, 1]), np.array([0]), np.array([2.0]), two)
    assert solved.tolist() == [[0.75, 0.0]]


def test_als_finds_who_takes_what_in_either_order_of_blocks(monkeypatch):
    # Two tastes: items a b c and x y z; each shopper took two of a taste's three and is to be offered the third.
    rows = [("a", "b"), ("b", "c"), ("a", "c"), ("x", "y"), ("y", "z"), ("x", "z")] * 3
    takes = make_takes(rows, [(1.0, 1.0)] * len(rows))
    settings = AlsSettings(factors=2, rounds=15, alpha=10.0, l2=0.1)
    items = fit_items(takes, settings)
    scores = als_scores(items, gram_of(items), np.array([0, 1]), np.ones(2), np.arange(6), settings)
    assert scores[2] > 0.8
    assert abs(scores[3:]).max() < 0.1
    monkeypatch.setattr("nightrank.models.scorers.als._AT_ONCE", 3)
    assert np.array_equal(fit_items(takes, settings), items)


def test_ease_on_three_items():
    # a b together twice, b c once: XᵀX + I = [[3, 2, 0], [2, 4, 1], [0, 1, 2]], its determinant 13, its inverse
    # [[7, -4, 2], [-4, 6, -3], [2, -3, 8]] / 13; B_ij = -P_ij / P_jj.
    weights = fit_ease(make_takes([["a", "b"], ["b", "a"], ["b", "c"]], [[1.0, 9.0], [1.0, 1.0], [1.0, 1.0]]), l2=1.0)
    expected = [[0, 4 / 6, -2 / 8], [4 / 7, 0, 3 / 8], [-2 / 7, 3 / 6, 0]]
    np.testing.assert_allclose(weights, np.array(expected), rtol=1e-6)
    # Who has b and c is offered a by both of them; an unknown item and a shopper without takes get nothing.
    scores = ease_scores(weights, np.array([1, 2]), np.array([0, 1, -1]))
    np.testing.assert_allclose(scores, [4 / 7 - 2 / 7, 3 / 6, 0.0], rtol=1e-6)
    assert ease_scores(weights, NONE, np.array([0, -1])).tolist() == [0.0, 0.0]


def test_an_item_taken_alone_has_no_weights_in_ease():
    weights = fit_ease(make_takes([["a"], ["b", "c"]], [[1.0], [1.0, 1.0]]), l2=1.0)
    # b and c: [[2, 1], [1, 2]]⁻¹ = [[2, -1], [-1, 2]] / 3, so each says 1/2 of the other.
    np.testing.assert_allclose(weights, [[0, 0, 0], [0, 0, 0.5], [0, 0.5, 0]], atol=1e-7)
