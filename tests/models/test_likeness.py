"""Cosines with the shopper's last items: worked out by hand, in numpy and in torch."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import torch

from nightrank.models import ranker as torch_ranker
from nightrank.models.artefact import Ranker
from nightrank.models.feature_names import ENGINE_FEATURES, PROFILE_FEATURES
from nightrank.models.likeness import BEST_OF, direction, vector_features

# The mean of the recents is (1, .75) / 1.25 = (.8, .6).
RECENTS, WEIGHTS = np.array([[1.0, 0], [0, 1]]), np.array([1.0, 0.75])
ITEMS = np.array([[0.6, 0.8], [1, 0], [-1, 0], [0, 0]])
# cosine_last, cosine_mean, cosine_best
EXPECTED = np.array([[0.6, 0.96, 0.8], [1, 0.8, 1], [-1, -0.8, 0], [0, 0, 0]])


@pytest.fixture
def words() -> Ranker:
    coefficients = np.zeros(len(PROFILE_FEATURES))
    return Ranker(
        code_version="c1",
        encoder_version="e",
        tower_night=date(2026, 1, 1),
        projection=np.eye(2, dtype=np.float32),
        codebook=np.zeros((1, 1, 2), np.float32),
        a=2.0,
        shopper_coefficients=np.concatenate([coefficients, [3.0, 5.0, 7.0]]),
        engine_coefficients=np.ones((3, len(ENGINE_FEATURES))),
        mean_shopper=np.zeros(2, np.float32),
        recent=20,
        recent_decay=0.75,
    )


@pytest.fixture
def towers(words: Ranker) -> Ranker:
    return replace(words, tower_id="t", shopper_tower={"log_scale": np.float32(1)})


def test_cosines_with_the_last_the_mean_and_the_best(words: Ranker, towers: Ranker) -> None:
    np.testing.assert_allclose(vector_features(towers, ITEMS, RECENTS, WEIGHTS), EXPECTED, atol=1e-6)
    # Of words the mean is u, which the coefficient a weighs already.
    np.testing.assert_allclose(vector_features(words, ITEMS, RECENTS, WEIGHTS), EXPECTED * [1, 0, 1], atol=1e-6)


def test_the_best_is_of_the_last_ten(words: Ranker) -> None:
    recents = np.zeros((BEST_OF + 1, 2))
    recents[-1] = [0.6, 0.8]
    assert vector_features(words, ITEMS, recents, np.ones(BEST_OF + 1))[0, 2] == 0
    assert vector_features(words, ITEMS, recents[1:], np.ones(BEST_OF))[0, 2] == pytest.approx(1)


def test_without_recents_nothing_is_alike(towers: Ranker) -> None:
    assert vector_features(towers, ITEMS, np.zeros((0, 2)), np.zeros(0)).tolist() == [[0.0] * 3] * 4
    assert direction(towers, [0.5, 0.25], np.zeros((0, 2)), np.zeros(0)).tolist() == [1.0, 0.5]


def test_the_direction_is_all_that_is_linear_in_the_item(words: Ranker, towers: Ranker) -> None:
    # 2 (.5, .25) + 3 (1, 0) + 5 (.8, .6)
    np.testing.assert_allclose(direction(towers, [0.5, 0.25], RECENTS, WEIGHTS), [8.0, 3.5], atol=1e-5)
    np.testing.assert_allclose(direction(words, [0.5, 0.25], RECENTS, WEIGHTS), [4.0, 0.5], atol=1e-6)


def test_training_has_the_same_features_and_none_of_padding() -> None:
    recents = torch.tensor(np.stack([[*RECENTS, ITEMS[0]], [ITEMS[1]] * 3]))
    weight = torch.tensor([[1.0, 0.75, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    mean = torch.tensor([[0.8, 0.6], [0, 0]], dtype=torch.float64)
    found = torch_ranker.vector_features(torch.tensor(np.stack([ITEMS, ITEMS])), recents, weight, mean)
    np.testing.assert_allclose(found, [EXPECTED, np.zeros((4, 3))], atol=1e-12)
