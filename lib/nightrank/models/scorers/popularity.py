"""Popularity: what everybody takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def popularity_scores(takes: ArrayLike) -> NDArray[np.float64]:
    """log(1 + decayed takes of each item): float64 [items]; 0.0 for one that nobody has taken."""
    return np.log1p(np.asarray(takes, dtype=np.float64))


def popular_first(scores: ArrayLike, popularity: ArrayLike) -> NDArray[np.float64]:
    """The ranks of scores, from 0 upwards, equal ones apart by popularity: float64 [items]; equal in both: equal.

    Most baselines know nothing of many an item, or nothing of the shopper: the popular ones are what is left to show.
    """
    score, takes = np.asarray(scores, dtype=np.float64), np.asarray(popularity, dtype=np.float64)
    order = np.lexsort((takes, score))
    rises = (np.diff(score[order]) != 0) | (np.diff(takes[order]) != 0)
    ranks = np.zeros(len(score))
    ranks[order[1:]] = np.cumsum(rises)
    return ranks
