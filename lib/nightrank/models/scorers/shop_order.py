"""The shop's own order: what a search engine shows that knows nothing of the shopper."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def shop_scores(base_scores: ArrayLike) -> NDArray[np.float64]:
    """The base scores themselves: float64 [items]. What the formula of the row gives with alpha = 0."""
    return np.array(base_scores, dtype=np.float64)
