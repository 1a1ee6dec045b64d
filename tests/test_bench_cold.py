"""What `make bench-cold` withholds, asks for and reports."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from bench_cold import baselines, cold_items, cold_lists, of_seeds, warm_lists, without
from llmrank_games import Lists

from games_by_hand import games_of, ints, lists_of


def test_withheld_items_are_out_of_histories_and_shelf_and_asked_for_among_themselves() -> None:
    games = games_of([1, 2, 3], [3], [4, 5], items=30, targets=[3, 6, 7])
    cold = ints(3, 6)
    known = without(games, cold)
    assert {user: items.tolist() for user, items in known.histories.items()} == {"a": [1, 2], "c": [4, 5]}
    assert not set(cold) & set(known.shelf.tolist())
    found = cold_lists(known, cold)
    assert (found.users.tolist(), found.items.tolist()) == (["a"], [[3, 6]])

    lists = Lists(np.array(["a", "b", "c"]), np.array([[3, 1], [6, 2], [7, 6]]), ints(3, 6, 7))
    warm = warm_lists(known, lists)
    assert (warm.users.tolist(), warm.items.tolist(), warm.taken.tolist()) == (["c"], [[7, -1]], [7])
    assert len(cold_items(games)) == 3


def test_chance_and_the_cost_of_dropping_ids() -> None:
    games = games_of([1], items=30)
    # Of two places the first is worth 1, the second 1 / log2(3).
    assert baselines(games, lists_of([[3, 6]], [3]))["chance"] == pytest.approx(50 * (1 + 1 / log2(3)))
    found = [{"full_warm": np.array([70.0, 60.0]), "undropped_warm": np.array([71.0, 61.0])}]
    told = of_seeds(found)
    assert (told["warm_cost"], told["warm_cost_lower"], told["full_warm"]) == pytest.approx((1.0, 1.0, 65.0))
