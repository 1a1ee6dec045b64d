"""Own repeats, then popularity: whoever buys the same things again needs no model."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Popularity is a logarithm of takes, at most some 20: so it stays below any take of one's own that has not decayed to
# two hundredths.
POPULARITY_SHARE = 1e-3


def repeat_scores(own: ArrayLike, popularity: ArrayLike) -> NDArray[np.float64]:
    """Own items first, the most taken first; the others by popularity: float64 [items].

    own: log(1 + the shopper's decayed takes) of each item, 0.0 for one never taken. popularity: popularity_scores.
    A shopper without takes gets the order of popularity.
    """
    scores: NDArray[np.float64] = np.asarray(own, dtype=np.float64) + POPULARITY_SHARE * np.asarray(popularity)
    return scores
