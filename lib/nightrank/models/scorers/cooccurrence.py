"""Item co-occurrence: what others took together with the shopper's recent items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightrank.models.catalogue import Catalogue

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def cooccurrence_scores(catalogue: Catalogue, recent: Indices, recent_weights: Floats, items: Indices) -> Floats:
    """sum over recent items r of weight(r) · co-occurrence(r, i), of each item i: float64 [items].

    recent, items: positions in the catalogue, -1 for an item that it does not hold. Item-based top-N recommendation
    (Karypis 2001) over the neighbours that the catalogue keeps of each item; 0.0 for an item that is near none of the
    recent ones, and for all where there are none.
    """
    scores = np.zeros(len(items))
    for item, weight in zip(recent, recent_weights, strict=True):
        if item >= 0:
            near = slice(catalogue.neighbour_offsets[item], catalogue.neighbour_offsets[item + 1])
            same = catalogue.neighbour_ids[near, None] == items
            scores += weight * (catalogue.neighbour_weights[near, None] * same).sum(axis=0, dtype=np.float64)
    return scores
