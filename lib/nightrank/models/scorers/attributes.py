"""The attributes of items and shoppers, as attribute_match wants them: the named facets (brand, category, …)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nightrank.models.catalogue import Catalogue, positions
from nightrank.models.features import tokens_of
from nightrank.models.ordering import ranges
from nightrank.models.row import unit_vectors

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def liked_attributes(
    catalogue: Catalogue, tokens: Sequence[str], values: Sequence[float], most: int
) -> tuple[Indices, Floats]:
    """The shopper's heaviest attributes, ties by token, and U: their weights, which sum to 1. None: both are empty."""
    known, weights = positions(catalogue.vocabulary, np.asarray(tokens, dtype=np.str_)), np.asarray(values, dtype=float)
    named = (known >= 0) & (weights > 0)
    known, weights = known[named], weights[named]
    named = catalogue.kinds[known] >= 0
    known, weights = known[named], weights[named]
    heaviest = np.lexsort((known, -weights))[:most]
    known, weights = known[heaviest], weights[heaviest]
    return known, weights / weights.sum() if len(weights) else weights


def item_attributes(catalogue: Catalogue, items: Indices) -> tuple[Indices, Indices, Floats]:
    """The attributes of items (-1: unknown, has none) as flat arrays: item, token, and P: equal, an item's sum to 1."""
    owner, tokens = tokens_of(catalogue, items)
    named = catalogue.kinds[tokens] >= 0
    owner, tokens = owner[named], tokens[named]
    return owner, tokens, 1.0 / np.bincount(owner, minlength=len(items))[owner]


def attribute_vectors(catalogue: Catalogue, tokens: Indices) -> Floats:
    """v_a of each token: the direction of the sum of its most popular items' vectors, float64 [tokens, dims].

    The catalogue keeps some of them a token (popular_ids). Zeros where they cancel out.
    """
    first = catalogue.popular_offsets[tokens]
    many = catalogue.popular_offsets[tokens + 1] - first
    popular = catalogue.popular_ids[ranges(first, many)].astype(np.int64)
    found = unit_vectors(catalogue, popular).astype(np.float64)
    sums, filled = np.zeros((len(tokens), catalogue.vectors.shape[1])), many > 0
    if filled.any():
        sums[filled] = np.add.reduceat(found, (np.cumsum(many) - many)[filled])
    lengths = np.sqrt((sums * sums).sum(axis=1, keepdims=True))
    directions: Floats = np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 0)
    return directions
