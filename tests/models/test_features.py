"""Catalogue and shopper features on a shop of four items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nightrank.models.catalogue import Catalogue, from_arrays, make_catalogue, positions
from nightrank.models.feature_names import PROFILE_FEATURES
from nightrank.models.features import SMOOTHING, make_shopper, shopper_features, tokens_of
from nightrank.models.habits import make_habits


@pytest.fixture
def catalogue() -> Catalogue:
    return make_catalogue(
        item_ids=np.array(["a", "b", "c", "d"]),
        tokens=[["brand:x", "category:t"], ["brand:y", "category:t"], ["brand:x", "code:c1:0:0"], []],
        neighbours=[["b", "gone"], ["a", "c"], [], []],
        neighbour_weights=[[0.5, 0.4], [0.3, 0.2], [], []],
        popularity=np.array([4.0, 1.0, 9.0, 0.0]),
        vectors=np.eye(4, 2, dtype=np.float32),
        popular_per_token=1,
    )


def test_positions_are_minus_1_for_unknown_ids() -> None:
    assert positions(np.array(["a", "c"]), np.array(["c", "b", "a", "z"])).tolist() == [1, -1, 0, -1]
    assert positions(np.array([], dtype=str), np.array(["a"])).tolist() == [-1]


def test_ids_must_be_sorted() -> None:
    with pytest.raises(ValueError, match="sorted"):
        make_catalogue(np.array(["b", "a"]), [[], []], [[], []], [[], []], np.zeros(2), np.zeros((2, 1)), 1)


def test_neighbours_outside_the_catalogue_are_left_out(catalogue: Catalogue) -> None:
    assert catalogue.neighbour_offsets.tolist() == [0, 1, 3, 3, 3]
    assert catalogue.neighbour_ids.tolist() == [1, 0, 2]


def test_the_most_popular_item_of_each_token(catalogue: Catalogue) -> None:
    # vocabulary: brand:x, brand:y, category:t, code:c1:0:0
    assert catalogue.popular_ids.tolist() == [2, 1, 0, 2]


def test_arrays_give_the_same_catalogue_back(catalogue: Catalogue) -> None:
    again = from_arrays(catalogue.arrays())
    for name, array in catalogue.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)


def test_shopper_features_are_shares_neighbours_and_own_takes(catalogue: Catalogue) -> None:
    shopper = make_shopper(
        catalogue,
        affinity_tokens=["brand:x", "brand:gone", "category:t"],
        affinity_values=[3.0, 7.0, 2.0],
        own_item_ids=["c"],
        own_item_values=[1.5],
        recent_item_ids=["b", "a"],
        recent_decay=0.5,
    )
    # Of the 14 takes of branded items 13 are of brand:x; all of those with a category are of category:t.
    brand, category = (3.0 - 3.0 * 13 / 14) / (3.0 + SMOOTHING), (2.0 - 2.0) / (2.0 + SMOOTHING)
    # b, the newest, has the neighbours a (.3) and c (.2); a, which weighs half, has b (.5). A logarithm's unit is .01.
    expected = {
        "brand": [brand, 0, brand, 0, 0],
        "category": [category, category, 0, 0, 0],
        "neighbours": [0.3, 0.5 * 0.5, 0.2, 0, 0],
        "own_item": [0, 0, np.log1p(1.5), 0, 0],
        "taken_before": [0, 0, 1, 0, 0],
        "log_neighbours": [np.log(31), np.log(26), np.log(21), 0, 0],
        "next_item": [0.3, 0, 0.2, 0, 0],
        "log_next_item": [np.log(31), 0, np.log(21), 0, 0],
    }
    found = shopper_features(catalogue, shopper, np.array([0, 1, 2, 3, -1]))
    for name, column in zip(PROFILE_FEATURES, found.T, strict=True):
        np.testing.assert_allclose(column, expected.get(name, [0] * 5), rtol=1e-6, err_msg=name)


def test_an_items_category_is_the_narrowest_and_its_band_that_of_the_price() -> None:
    tokens = [["category:t", "category:t > u", "price:-3"], ["category:t", "price:cheap"], ["brand:x", "price:12"], []]
    found = make_catalogue(np.array(list("abcd")), tokens, [[]] * 4, [[]] * 4, np.ones(4), np.zeros((4, 1)), 1)
    names = [str(found.vocabulary[at]) if at >= 0 else None for at in found.category]
    assert names == ["category:t > u", "category:t", None, None]
    np.testing.assert_array_equal(found.band, np.array([-3, np.nan, 12, np.nan], np.float32))


def test_habits_are_how_due_usually_paid_and_seen() -> None:
    tokens = [["category:t", "category:t > u", "price:3"], ["category:t", "price:4"], ["category:t"], ["price:4"]]
    catalogue = make_catalogue(np.array(list("abcd")), tokens, [[]] * 4, [[]] * 4, np.ones(4), np.zeros((4, 1)), 1)
    habits = make_habits(
        catalogue,
        item_cycles=(["b"], [3, 8, 32, 4]),  # every fourth day, four days ago
        category_cycles=(["category:t", "category:t > u"], [3, 8, 32, 2, 3, 8, 32, 4]),
        prices=(["category:t"], [15.0, 60.0]),
        seen=(["c", "a"], [1.0, 2.0]),
    )
    shopper = make_shopper(catalogue, [], [], [], [], [], 0.9, habits=habits)
    # The spread is as if one more gap had been 4 off: sqrt(16 / 3). Band 4 is usual in t, of 15 takes of 20 known.
    due = 4 / (4 + 4 / np.sqrt(3))
    expected = {
        "due": [0, due, 0, 0, 0],
        "category_due": [due / 2 + due, due / 2, due / 2, 0, 0],
        # The item a is of another category, of which nothing is known; c has no price, d no category.
        "usual_price": [0, 0.75, 0, 0, 0],
        "seen": [np.log(3), 0, np.log(2), 0, 0],
        # Of five categories looked at three were t, of which three in four are taken, and two u. Both looks at a price
        # were at band 3, of which one in three is taken; band 4 was never looked at.
        "category_seen": [0, *[(3 - 5 * 3 / 4) / (5 + SMOOTHING)] * 2, 0, 0],
        "price_seen": [(2 - 2 / 3) / (2 + SMOOTHING), 0, 0, 0, 0],
    }
    found = shopper_features(catalogue, shopper, np.array([0, 1, 2, 3, -1]))
    for name, column in zip(PROFILE_FEATURES, found.T, strict=True):
        np.testing.assert_allclose(column, expected.get(name, [0] * 5), rtol=1e-6, atol=1e-12, err_msg=name)
    dearer = make_habits(catalogue, prices=(["category:t"], [15.0, 90.0]))  # two bands above that of b
    found = shopper_features(catalogue, replace(shopper, habits=dearer), np.array([1]))
    assert found[0, PROFILE_FEATURES.index("usual_price")] == pytest.approx(0.75 * np.exp(-2))


def test_who_takes_what_everybody_takes_has_no_taste(catalogue: Catalogue) -> None:
    typical = make_shopper(catalogue, ["brand:x", "brand:y"], [13.0, 1.0], [], [], [], 0.9)
    np.testing.assert_allclose(typical.shares, 0.0, atol=1e-12)
    rare = make_shopper(catalogue, ["brand:x", "brand:y"], [1.0, 1.0], [], [], [], 0.9)
    np.testing.assert_allclose(rare.shares, [(1 - 2 * 13 / 14) / 7, (1 - 2 * 1 / 14) / 7])


def test_without_takes_nothing_is_expected() -> None:
    unseen = make_catalogue(np.array(["a"]), [["brand:x"]], [[]], [[]], np.zeros(1), np.zeros((1, 1)), 1)
    assert unseen.expected.tolist() == [0.0]
    assert make_shopper(unseen, ["brand:x"], [5.0], [], [], [], 0.9).shares.tolist() == [0.5]


def test_a_shopper_of_whom_nothing_is_known_has_zeros(catalogue: Catalogue) -> None:
    nobody = make_shopper(catalogue, [], [], [], [], [], 0.9)
    assert not shopper_features(catalogue, nobody, np.arange(4)).any()


def test_tokens_of_unknown_items_are_none(catalogue: Catalogue) -> None:
    owner, tokens = tokens_of(catalogue, np.array([-1, 3, 1]))
    assert owner.tolist() == [2, 2]
    assert catalogue.vocabulary[tokens].tolist() == ["brand:y", "category:t"]
