"""What the games' benchmarks put beside the product: popularity, item kNN and a plain SASRec."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from games_baselines import item_knn, popularity
from llmrank_games import Games, Lists
from plain_sasrec import SasRec, Settings, _negatives, sasrec_scores, scores

from games_by_hand import games_of, ints, lists_of


def test_popularity_counts_takes() -> None:
    games = games_of([1, 2], [2, 3])
    assert popularity(games, lists_of([[2, 3, 9, -1]], [3])).tolist() == [[2.0, 1.0, 0.0, 0.0]]


def test_knn_sums_cosines_to_the_history_the_last_take_first() -> None:
    games = games_of([1, 2], [1, 3], [2, 3], [2, 4])
    # Takes: 1: 2, 2: 3, 3: 2, 4: 1. Shopper a took 1, then 2: .9 of what is near 1, and what is near 2.
    found = item_knn(games, lists_of([[3, 4, 1, -1]], [3]))[0]
    near_three = 0.9 * 1 / (2 * 2) ** 0.5 + 1 / (3 * 2) ** 0.5
    assert found == pytest.approx([near_three, 1 / (3 * 1) ** 0.5, 1 / (3 * 2) ** 0.5, 0.0])


def test_sasrec_learns_an_order() -> None:
    random = np.random.default_rng(2)
    walks = [[(start + n) % 30 for n in range(length)] for start, length in random.integers((0, 4), (30, 9), (600, 2))]
    games = Games(tuple("g" * 30), {str(n): ints(*one) for n, one in enumerate(walks)}, {}, np.arange(30))
    users = [str(n) for n in range(30)]
    asked = Lists(
        np.array(users), np.tile(np.arange(30), (30, 1)), np.array([(walks[n][-1] + 1) % 30 for n in range(30)])
    )
    settings = Settings(epochs=80, batch=32, dims=32, dropout=0.1, learning_rate=5e-3, threads=1)
    (found,) = sasrec_scores(games, [asked], 0, settings)
    # What a shopper has taken is never a negative of theirs, so nothing is learned of its place.
    new = np.where(asked.seen(games), -np.inf, found)
    assert (new.argmax(axis=1) == asked.taken).mean() > 0.6  # by chance 1 / 30


def test_sasrec_scores_a_shopper_alone_as_among_longer_ones() -> None:
    torch.manual_seed(0)
    model = SasRec(9, Settings(longest=4))
    games = games_of([1, 2], [0, 1, 2, 3, 4, 5, 6], items=9)
    both = lists_of([[3, 4, -1], [1, 2, 3]], [3, 2])
    alone = lists_of([[3, 4]], [3])
    np.testing.assert_allclose(scores(model, games, both)[0, :2], scores(model, games, alone)[0], rtol=1e-5, atol=1e-6)


def test_no_negative_is_something_that_the_shopper_takes() -> None:
    takes = np.array([[1, 2, 3, 4], [5, 6, 0, 0]])
    drawn = np.concatenate([_negatives(takes, 8, np.random.default_rng(n)) for n in range(50)])
    assert set(drawn[::2].ravel()) == {5, 6, 7}
    assert set(drawn[1::2].ravel()) == {1, 2, 3, 4, 7}
