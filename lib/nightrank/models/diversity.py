"""Lists whose items are not all alike: which items are boosted beside others, and how unlike those of a list are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightrank.models.catalogue import KINDS, Catalogue
from nightrank.models.features import Shopper, tokens_of
from nightrank.models.similar import as_floats
from nightrank.sections import RerankWeightsConfig

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def boosted(
    catalogue: Catalogue, shopper: Shopper, items: Indices, scores: Floats, config: RerankWeightsConfig
) -> NDArray[np.intp]:
    """Which of the candidate items (rising) are boosted: positions in `items`, rising.

    The best config.boosts by score, ties by item order. With config.diversity or boosts_per_brand: those of them that
    the shopper took before, has just taken or that others take after that, as the shopper has asked for these; and
    beside them others, chosen diversely.
    """
    best = np.argsort(-scores, kind="stable")[: config.boosts]
    if config.diversity or config.boosts_per_brand:
        asked_for = np.isin(items, np.concatenate([shopper.own, shopper.recent, shopper.near]))
        vectors = as_floats(catalogue.vectors[items]).astype(np.float64)
        brands = _brands(catalogue, items)
        sure = best[asked_for[best]]
        best = diversely(scores, vectors, brands, sure, config.boosts, config.diversity, config.boosts_per_brand)
    return np.sort(best)


def diversely(
    scores: Floats, vectors: Floats, brands: Indices, sure: NDArray[np.intp], most: int, diversity: float, a_brand: int
) -> NDArray[np.intp]:
    """`most` items, the sure ones first, in the order in which they are chosen.

    The next is the one with the largest (1 - diversity) * score - diversity * its largest cosine with one chosen
    before, ties by position, scores being brought to 0..1: maximal marginal relevance (Carbonell & Goldstein 1998). No
    further item of a brand is chosen once a_brand are there (0: no cap; brands -1: none); the list may end early.

    scores [n], vectors [n, dims] unit rows or zero, brands [n], sure: positions of fewer than `most`.
    """
    chosen = [int(position) for position in sure]
    relevance = (scores - scores.min(initial=np.inf)) / max(float(np.ptp(scores)) if len(scores) else 0.0, 1e-12)
    redundancy = (vectors @ vectors[sure].T).max(axis=1, initial=-1.0)
    worth = np.where(np.isin(np.arange(len(scores)), sure), -np.inf, (1 - diversity) * relevance)
    for brand in set(brands[sure].tolist()):
        worth[_full(brand, brands, chosen, a_brand)] = -np.inf
    while len(chosen) < min(most, len(scores)):
        following = int(np.argmax(worth - diversity * redundancy))
        if worth[following] == -np.inf:
            break
        chosen.append(following)
        worth[following] = -np.inf
        redundancy = np.maximum(redundancy, vectors @ vectors[following])
        worth[_full(int(brands[following]), brands, chosen, a_brand)] = -np.inf
    return np.array(chosen, dtype=np.intp)


def _full(brand: int, brands: Indices, chosen: list[int], a_brand: int) -> NDArray[np.bool_]:
    """The items of the brand if it has its number already, else none."""
    of_brand: NDArray[np.bool_] = brands == brand
    full = a_brand > 0 and brand >= 0 and int(of_brand[chosen].sum()) >= a_brand
    return of_brand if full else np.zeros_like(of_brand)


def _brands(catalogue: Catalogue, items: Indices) -> Indices:
    """The brand token of each item, -1 where it has none; of several the first."""
    owner, tokens = tokens_of(catalogue, items)
    of_brand = catalogue.kinds[tokens] == KINDS.index("brand")
    brands = np.full(len(items), -1, dtype=np.int64)
    brands[owner[of_brand][::-1]] = tokens[of_brand][::-1]
    return brands


def intra_list_diversity(cosines: Floats, listed: NDArray[np.intp]) -> float:
    """1 - the mean cosine of every two of the listed items (Ziegler et al. 2005, turned round); NaN for less than two.

    cosines: [n, n] of all items with each other, NaN where one of them has no vector: such items are left out.
    """
    own = cosines[np.ix_(listed, listed)]
    kept = ~np.isnan(np.diagonal(own))
    pairs = int(kept.sum()) * (int(kept.sum()) - 1)
    within = own[np.ix_(kept, kept)]
    return float(1 - (within.sum() - np.trace(within)) / pairs) if pairs else float("nan")


def cosines_of(catalogue: Catalogue, items: Indices) -> Floats:
    """The cosines of items with each other: float64 [items, items]; NaN for items that the catalogue lacks (-1)."""
    held = items >= 0
    vectors = as_floats(catalogue.vectors[items[held]]).astype(np.float64)
    cosines = np.full((len(items), len(items)), np.nan)
    cosines[np.ix_(held, held)] = vectors @ vectors.T
    return cosines
