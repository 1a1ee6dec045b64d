"""Habits in a catalogue's terms: what is not in it, what is there twice, and who has none."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.models.catalogue import Catalogue, make_catalogue
from nightrank.models.habits import HALF_KNOWN, NO_HABITS, make_habits


@pytest.fixture
def catalogue() -> Catalogue:
    tokens = [["category:s"], ["category:t"], []]
    return make_catalogue(np.array(["a", "b", "c"]), tokens, [[]] * 3, [[]] * 3, np.ones(3), np.zeros((3, 1)), 1)


def test_without_anything_told_there_are_none(catalogue: Catalogue) -> None:
    for name, found in vars(make_habits(catalogue)).items():
        assert (found.tolist(), found.dtype) == ([], getattr(NO_HABITS, name).dtype), name


def test_what_the_catalogue_does_not_hold_is_left_out_and_keys_rise(catalogue: Catalogue) -> None:
    found = make_habits(
        catalogue,
        item_cycles=(["gone", "c", "a"], [2, 1, 1, 1, 3, 4, 8, 2, 2, 1, 1, 2]),
        category_cycles=(["category:gone"], [2, 1, 1, 1]),
        prices=(["category:t", "category:gone", "category:s"], [HALF_KNOWN, 10.0, 1.0, 1.0, 0.0, 0.0]),
        seen=(["gone", "b"], [1.0, 3.0]),
    )
    assert found.due_items.tolist() == [0, 2]
    # a: one gap of a day, two days ago: half of 1 / (1 + sqrt(1/2)). c: gaps of 2, two days ago: 2 / (2 + sqrt(4/3)).
    np.testing.assert_allclose(found.item_due, [0.5 / (1 + np.sqrt(0.5)), 2 / (2 + np.sqrt(4 / 3))])
    assert found.due_categories.tolist() == []
    # Nothing was taken of s.
    assert [catalogue.vocabulary[at] for at in found.priced] == ["category:t"]
    assert (found.usual_band.tolist(), found.band_known.tolist()) == ([10.0 / HALF_KNOWN], [0.5])
    assert (found.seen.tolist(), found.seen_values.tolist()) == ([1], [np.log1p(3.0)])


def test_of_two_ids_the_one_that_bought_last_counts_and_the_rest_is_added(catalogue: Catalogue) -> None:
    last, earlier = [3, 4, 8, 2], [5, 4, 4, 3]
    for numbers in ([*last, *earlier], [*earlier, *last]):
        found = make_habits(catalogue, item_cycles=(["a", "a"], numbers))
        assert found.due_items.tolist() == [0]
        np.testing.assert_allclose(found.item_due, [2 / (2 + np.sqrt(4 / 3))])
    twice = make_habits(catalogue, prices=(["category:t"] * 2, [1.0, 3.0, 4.0, 7.0]), seen=(["b", "b"], [1.0, 2.0]))
    assert (twice.usual_band.tolist(), twice.band_known.tolist()) == ([2.0], [5 / (5 + HALF_KNOWN)])
    assert twice.seen_values.tolist() == [np.log1p(3.0)]
