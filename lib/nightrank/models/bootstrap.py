"""How sure a figure is: intervals by resampling shoppers, not searches.

Searches of one shopper are alike, so they are drawn together (a cluster bootstrap). Inputs are sums by user: the
numerator (weight × figure) and the denominator (weight) of each, in a fixed order of users.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Sums = NDArray[np.float64]
Interval = tuple[float, float, float]
LEVEL = 0.95
# Drawn indices held at once: 32 MB of them.
BLOCK = 4_000_000


def mean_interval(numerator: ArrayLike, denominator: ArrayLike, draws: int, seed: int) -> Interval:
    """(value, lower, upper): sum(numerator) / sum(denominator) and its 95 % percentile interval over users.

    numerator, denominator: (users); users with a denominator of 0 are left out. No user at all: value 0. Fewer than
    two users say nothing about the others, so the bounds are value - 1 and value + 1: the widest that a figure
    within [0, 1] can be off, which no gate passes. Source: Efron & Tibshirani 1993, ch. 13 and 8 (clusters).
    """
    shares = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    kept = shares[1] > 0
    top, below = shares[0][kept], shares[1][kept]
    value = float(top.sum() / below.sum()) if len(top) else 0.0
    if len(top) < 2:
        return value, value - 1.0, value + 1.0
    lower, upper = np.quantile(_resampled(top, below, draws, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return value, float(lower), float(upper)


def difference_interval(
    challenger: ArrayLike, champion: ArrayLike, denominator: ArrayLike, draws: int, seed: int
) -> Interval:
    """(value, lower, upper) of the paired difference challenger - champion: both judged on the same searches.

    challenger, champion: numerators by user (users), over one denominator. Edges as in mean_interval.
    """
    difference = np.asarray(challenger, dtype=np.float64) - np.asarray(champion, dtype=np.float64)
    return mean_interval(difference, denominator, draws, seed)


def user_mean(numerator: ArrayLike, denominator: ArrayLike) -> float:
    """The mean over users of each user's own mean: every user counts once. 0.0 without users."""
    top, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    kept = below > 0
    return float((top[kept] / below[kept]).mean()) if kept.any() else 0.0


def sums_by_user(
    users: ArrayLike, figures: ArrayLike, weights: ArrayLike | None = None
) -> tuple[NDArray[np.generic], Sums, Sums]:
    """(users, numerator, denominator): each user once, in id order, with sum(weight × figure) and sum(weight).

    users, figures, weights: (searches). The sums follow the order of the rows, so rows come sorted.
    """
    figure = np.asarray(figures, dtype=np.float64)
    weight = np.ones_like(figure) if weights is None else np.asarray(weights, dtype=np.float64)
    names, row = np.unique(np.asarray(users), return_inverse=True)
    numerator, denominator = (
        np.bincount(row, weights=each, minlength=len(names)) for each in (weight * figure, weight)
    )
    return names, numerator.astype(np.float64), denominator.astype(np.float64)


def _resampled(numerator: Sums, denominator: Sums, draws: int, seed: int) -> Sums:
    """The ratio in each of `draws` samples of as many users, drawn with replacement."""
    users, generator = len(numerator), np.random.default_rng(seed)
    block = max(1, BLOCK // users)
    ratios = []
    for start in range(0, draws, block):
        drawn = generator.integers(0, users, size=(min(block, draws - start), users))
        ratios.append(numerator[drawn].sum(axis=1) / denominator[drawn].sum(axis=1))
    return np.concatenate(ratios)
