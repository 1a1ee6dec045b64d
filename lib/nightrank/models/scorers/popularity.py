"""Popularity: what everybody takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def popularity_scores(takes: ArrayLike) -> NDArray[np.float64]:
    """log(1 + decayed takes of each item): float64 [items]; 0.0 for one that nobody has taken."""
    return np.log1p(np.asarray(takes, dtype=np.float64))
