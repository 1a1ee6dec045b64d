"""What an engine ranks by that adds each item's prior to its base scores: nobody's taste, and in no row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightrank.models.catalogue import Catalogue, positions


def with_priors(index: Catalogue, base: NDArray[np.float64], item_ids: NDArray[np.str_]) -> NDArray[np.float64]:
    """base + prior of each item: float64 [items]; base alone for one that the index does not hold."""
    at = positions(index.item_ids, item_ids)
    return base + np.where(at >= 0, index.priors[at], 0.0)
