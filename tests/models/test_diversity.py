"""Diverse boosts and the diversity of a list, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.models.catalogue import Catalogue, make_catalogue
from nightrank.models.diversity import boosted, cosines_of, diversely, intra_list_diversity
from nightrank.models.features import make_shopper
from nightrank.sections import RerankWeightsConfig

# b is all but a, c stands at a right angle to both, d lies opposite a; e has no vector.
A, B, C, D, E = [1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0]
NO_BRANDS = np.full(4, -1)
NOTHING = np.zeros(0, np.intp)


def test_the_next_is_worth_its_score_less_its_likeness_to_what_is_chosen() -> None:
    # Scores brought to 0..1: 1, .9, .5, 0. First a. Then b: .45 - .4, c: .25 - 0, d: 0 + .5. Then b: .45 - .5 × .8
    # = .05, c: .25 - 0. Then b, of which .6 is in c: its largest cosine stays .8.
    scores, vectors = np.array([3.0, 2.8, 2.0, 1.0]), np.array([A, B, C, D])
    assert diversely(scores, vectors, NO_BRANDS, NOTHING, 4, 0.5, 0).tolist() == [0, 3, 2, 1]
    assert diversely(scores, vectors, NO_BRANDS, NOTHING, 2, 0.5, 0).tolist() == [0, 3]
    # At .1 the scores decide: b: .81 - .08, c: .45.
    assert diversely(scores, vectors, NO_BRANDS, NOTHING, 3, 0.1, 0).tolist() == [0, 1, 2]
    assert diversely(scores, vectors, NO_BRANDS, NOTHING, 9, 0.0, 0).tolist() == [0, 1, 2, 3]


def test_what_is_sure_comes_first_and_others_are_held_against_it() -> None:
    # With d sure, a: .5 + .5 is the unlikest of all and the best: then c before b, as above.
    scores, vectors = np.array([3.0, 2.8, 2.0, 1.0]), np.array([A, B, C, D])
    assert diversely(scores, vectors, NO_BRANDS, np.array([3]), 3, 0.5, 0).tolist() == [3, 0, 2]


def test_a_brand_that_has_its_number_gets_no_more_and_the_list_may_end_early() -> None:
    scores, vectors = np.arange(6.0)[::-1], np.zeros((6, 2))
    brands = np.array([7, 7, 7, 8, 7, -1])
    assert diversely(scores, vectors, brands, NOTHING, 6, 0.0, 2).tolist() == [0, 1, 3, 5]
    assert diversely(scores, vectors, brands, np.array([4, 2]), 6, 0.0, 2).tolist() == [4, 2, 3, 5]
    assert diversely(scores, vectors, np.full(6, -1), NOTHING, 6, 0.0, 1).tolist() == list(range(6))


def test_items_that_score_alike_are_taken_in_order_and_of_none_none_is_chosen() -> None:
    assert diversely(np.ones(3), np.array([C, C, C]), NO_BRANDS[:3], NOTHING, 2, 0.3, 0).tolist() == [0, 1]
    assert diversely(np.zeros(0), np.zeros((0, 2)), NO_BRANDS[:0], NOTHING, 2, 0.3, 1).tolist() == []


@pytest.fixture
def catalogue() -> Catalogue:
    tokens = [["brand:x", "category:t"], ["category:t", "brand:x"], ["brand:x"], ["brand:y"], []]
    near: list[list[str]] = [[], [], [], [], []]
    vectors = np.array([A, B, C, D, E], np.float32)
    return make_catalogue(np.array(list("abcde")), tokens, near, [[]] * 5, np.ones(5), vectors, 2)


def test_by_default_the_best_are_boosted_and_with_diversity_what_was_taken_stays(catalogue: Catalogue) -> None:
    items, scores = np.arange(5), np.array([3.0, 2.8, 2.0, 1.0, 0.0])
    taken = make_shopper(catalogue, [], [], ["b"], [1.0], [], 0.9)
    nobody = make_shopper(catalogue, [], [], [], [], [], 0.9)

    def of(shopper: object, **settings: float) -> list[int]:
        return boosted(catalogue, shopper, items, scores, RerankWeightsConfig(boosts=2, **settings)).tolist()

    assert of(taken) == of(nobody) == [0, 1]
    assert of(nobody, diversity=0.5) == [0, 3]  # a, then d, which is its opposite
    assert of(taken, diversity=0.5) == [1, 3]  # b stays; d is -.8 to it: .5 × 1 / 3 + .4 against a's .5 - .4
    assert of(nobody, boosts_per_brand=1) == [0, 3]
    assert of(taken, boosts_per_brand=1) == [1, 3]


def test_the_diversity_of_a_list_is_one_less_the_mean_cosine_of_its_pairs(catalogue: Catalogue) -> None:
    cosines = cosines_of(catalogue, np.array([0, 1, 2, 3, -1, 4]))
    assert intra_list_diversity(cosines, np.array([0, 1, 2])) == pytest.approx(1 - (0.8 + 0 + 0.6) / 3)
    assert intra_list_diversity(cosines, np.array([0, 3])) == pytest.approx(2.0)
    # Of an item that the catalogue lacks nothing is known; a zero vector is like nothing.
    assert intra_list_diversity(cosines, np.array([0, 4, 1])) == pytest.approx(1 - 0.8)
    assert intra_list_diversity(cosines, np.array([0, 5])) == pytest.approx(1.0)
    assert np.isnan(intra_list_diversity(cosines, np.array([0, 4])))
    assert np.isnan(intra_list_diversity(cosines, np.array([4])))
