"""What is left of a profile without its last takes."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

from nightrank.models.catalogue import Catalogue, make_catalogue
from nightrank.steps.held_out import without_last

PROFILE = {
    "evidence": 9,
    "affinity_tokens": ["brand:x", "brand:y", "category:t"],
    "affinity_values": [6.0, 2.0, 9.0],
    "own_item_ids": ["a", "b", "e"],
    "own_item_values": [2.0, 2.5, 4.0],
    "recent_item_ids": ["e", "b", "a", "gone"],
    "taken_item_ids": ["a", "b", "e", "e"],
    "taken_actions": [2, 2, 2, 4],
    "taken_hours": [1, 5, 7, 7],
    "cycle_item_ids": ["a", "e"],
    "cycle_item_numbers": [2, 3, 9, 1, 2, 5, 25, 4],
    "seen_item_ids": ["b", "z"],
    "seen_times": [4.0, 1.0],
}
Row = namedtuple("Row", PROFILE)  # as DataFrame.itertuples gives it


@pytest.fixture
def catalogue() -> Catalogue:
    tokens = [["brand:x", "category:t"], ["brand:y", "category:t"], ["brand:x", "category:t", "code:c1:0:0"]]
    nothing: list[list[Any]] = [[], [], []]
    ids, popularity = np.array(["a", "b", "e"]), np.ones(3)
    return make_catalogue(ids, tokens, nothing, nothing, popularity, np.eye(3, 4, dtype=np.float32), 5)


def row(**changes: object) -> Any:
    return Row(**{**PROFILE, **changes})


def test_the_last_takes_leave_items_facets_and_sequence(catalogue: Catalogue) -> None:
    left, held_out = without_last(catalogue, row(), most=2)
    assert held_out.tolist() == ["e", "b"]
    assert left.recent_item_ids.tolist() == ["a", "gone"]
    assert (left.own_item_ids.tolist(), left.own_item_values.tolist()) == (["a"], [2.0])
    assert (left.taken_item_ids.tolist(), left.taken_actions.tolist(), left.taken_hours.tolist()) == (["a"], [2], [1])
    assert (left.cycle_item_ids.tolist(), left.cycle_item_numbers.tolist()) == (["a"], [2, 3, 9, 1])
    assert (left.seen_item_ids.tolist(), left.seen_times.tolist()) == (["z"], [1.0])
    # brand:x 6 - 4 of e; brand:y 2 - 2.5 of b, of which something was forgotten; category:t 9 - 4 - 2.5.
    assert left.affinity_values.tolist() == [2.0, 0.0, 2.5]


@pytest.mark.parametrize(
    ("changes", "most", "expected"),
    [
        ({}, 8, ["e", "b"]),  # half of what there is
        ({}, 1, ["e"]),
        ({}, 0, []),
        ({"recent_item_ids": ["e"]}, 8, []),
        ({"recent_item_ids": None}, 8, []),
        ({"evidence": 0}, 8, []),  # a group
    ],
)
def test_at_most_half_of_the_takes_are_held_out(catalogue: Catalogue, changes, most, expected) -> None:
    left, held_out = without_last(catalogue, row(**changes), most)
    assert held_out.tolist() == expected
    assert bool(expected) or left == row(**changes)


def test_takes_that_no_tower_reads_are_not_there(catalogue: Catalogue) -> None:
    nothing = np.array([], dtype=np.float64)
    left, held_out = without_last(
        catalogue, row(taken_item_ids=nothing, taken_actions=nothing, taken_hours=nothing), most=1
    )
    assert held_out.tolist() == ["e"]
    assert len(left.taken_hours) == 0
