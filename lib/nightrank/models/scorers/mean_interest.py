"""Mean interest: items like the mean of what the shopper did last."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nightrank.models.similarity import Activation, Measure, similarity

Floats = NDArray[np.float64]


def mean_interest(recent_vectors: ArrayLike, recent_weights: ArrayLike) -> Floats:
    """sum(weight · vector) / sum(weight) of the recent items: float64 [dims]; zeros where there are none.

    recent_vectors: [recent, dims]; recent_weights: [recent], none below 0.
    """
    vectors, weights = (np.asarray(given, dtype=np.float64) for given in (recent_vectors, recent_weights))
    # Summed elementwise: a matrix product would change its last bits with the number of threads.
    total = (weights[:, None] * vectors).sum(axis=0)
    mean: Floats = total / weights.sum() if weights.any() else np.zeros(vectors.shape[-1])
    return mean


def mean_interest_scores(
    recent_vectors: ArrayLike,
    recent_weights: ArrayLike,
    item_vectors: ArrayLike,
    measure: Measure = "cosine",
    activation: Activation = "identity",
) -> Floats:
    """activation(measure(mean interest, v_i)) of each item: float64 [items]. item_vectors: [items, dims].

    Where all item vectors have one length, the nine pairs of measure and activation give two orders at most: of one
    mean, cosine, dot product and distance rise and fall together, and a sigmoid keeps any order. Only ReLU of a cosine
    or a dot product makes ties, of all items that point away. Without recent items all are equal.
    """
    return similarity(mean_interest(recent_vectors, recent_weights), item_vectors, measure, activation)
