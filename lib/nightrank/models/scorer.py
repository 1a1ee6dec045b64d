"""The formula of the weights row, in numpy: the definition that every export, evaluation and explanation is held to.

score'(u, q, i) = base(q, i) + alpha_u[class(q)] * clip( sum over tokens t of i: facet_weights_u[t]
                                                        + item_boosts_u[i],  -bound[class(q)], +bound[class(q)] )
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def row_sums(
    item_ids: Sequence[str],
    tokens: Sequence[Sequence[str]],
    facet_weights: Mapping[str, float],
    item_boosts: Mapping[str, float],
) -> Array:
    """What a row says of each item before alpha and clip: float64 [items].

    An item that is not in the index has no tokens: its sum is its boost, or 0.
    """
    return np.array(
        [
            sum(facet_weights.get(token, 0.0) for token in own) + item_boosts.get(item, 0.0)
            for item, own in zip(item_ids, tokens, strict=True)
        ],
        dtype=np.float64,
    )


def reranked_scores(base: Array, sums: Array, alpha: float, bound: float) -> Array:
    """score' of each item: float64 [items]. alpha 0 gives the base scores exactly."""
    return base + alpha * np.clip(sums, -bound, bound)


def ranked_order(scores: Array, item_ids: Sequence[str]) -> NDArray[np.intp]:
    """Positions of the items from best to worst, ties by item id."""
    return np.lexsort((np.asarray(item_ids), -scores))


def base_from_rank(rank: Array) -> Array:
    """The base score where the logs carry none: -log2(1 + rank), rank from 1."""
    return -np.log2(1.0 + rank)
