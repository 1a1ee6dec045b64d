"""The features that a ranker weighs, by name and in the order of its coefficients; numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nightrank.errors import ContractError

Doubles = NDArray[np.float64]

# The last is what the towers say of an item whoever asks; without towers it is 0.
ENGINE_FEATURES = ("base_score", "log_popularity", "query_cosine", "tower_bias")
# Made of the profile (features.py); the first are those of catalogue.KINDS, the last the same of what was looked at.
PROFILE_FEATURES = (
    "brand", "category", "price", "seller", "keyword", "tier", "neighbours", "own_item",
    "taken_before", "log_neighbours", "next_item", "log_next_item", "due", "category_due", "usual_price", "seen",
    "brand_seen", "category_seen", "price_seen", "seller_seen", "keyword_seen", "tier_seen",
)  # fmt: skip
# Made of the vectors (likeness.py), in whatever space the ranker's items have theirs.
VECTOR_FEATURES = ("cosine_last", "cosine_mean", "cosine_best")
SHOPPER_FEATURES = (*PROFILE_FEATURES, *VECTOR_FEATURES)


def in_order(coefficients: Doubles, names: Sequence[str], known: Sequence[str]) -> Doubles:
    """Coefficients [..., names] as [..., known]; 0 for a feature that the ranker of these names did not have.

    Raises ContractError for a name that is not known: without its feature the ranker would score something else.
    """
    if unknown := sorted(set(names) - set(known)):
        raise ContractError(
            f"A ranker cannot be scored: it weighs features that this program does not make: {', '.join(unknown)}. "
            "Run the version of nightrank that trained it; or train one, which takes over by its own figures."
        )
    found = np.zeros((*coefficients.shape[:-1], len(known)))
    found[..., [known.index(name) for name in names]] = coefficients
    return found
