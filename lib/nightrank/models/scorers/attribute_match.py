"""Attribute match: every attribute that the shopper likes against every attribute of the item."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nightrank.models.similarity import softmax

Floats = NDArray[np.float64]


def attribute_match(
    liked: ArrayLike, liked_vectors: ArrayLike, owner: ArrayLike, weights: ArrayLike, vectors: ArrayLike, items: int
) -> Floats:
    """S_i = sum over attributes a of the shopper, b of the item i, of U_a · P_ib · exp(v_a · v_b): float64 [items].

    liked: U [a]; liked_vectors: [a, dims]. The items' attributes are one flat list: owner [b], the item that each
    belongs to; weights: P [b]; vectors: [b, dims]. Of unit vectors exp is between 1/e and e: two attributes without
    anything in common still count 1, so U and P should each sum to 1, or items with many attributes win. 0.0 for an
    item without attributes, and for all where the shopper likes none.
    """
    likes, weight = np.asarray(liked, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    # einsum without its optimiser adds in one order, whatever the threads; a matrix product does not.
    alike = np.exp(np.einsum("ad,bd->ab", np.asarray(liked_vectors, float), np.asarray(vectors, float)))
    matched = weight * (likes[:, None] * alike).sum(axis=0)
    return np.bincount(np.asarray(owner, dtype=np.int64), weights=matched, minlength=items).astype(np.float64)


def attribute_match_scores(
    liked: ArrayLike, liked_vectors: ArrayLike, owner: ArrayLike, weights: ArrayLike, vectors: ArrayLike, items: int
) -> Floats:
    """Each item's share of the slate: the softmax of attribute_match over its items, float64 [items], summing to 1."""
    return softmax(attribute_match(liked, liked_vectors, owner, weights, vectors, items))
