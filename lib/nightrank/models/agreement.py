"""How far the ranker agrees with a shopper's own past choices: does it rank high what they took, not knowing of it?

The last takes are held out of the profile (steps/held_out.py). For each, g(u, i) of what is left ranks the take among
rivals: the best sellers of its narrowest category that the shopper never took: much the slate of a search for it, so
that neither popularity nor what was asked for counts as taste. Best sellers and profile stand in the same snapshot, so
a rerun finds the same; and a shopper costs one more reading of the profile and a few dozen scores, no look-up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nightrank.models.artefact import Ranker
from nightrank.models.catalogue import KINDS, Catalogue
from nightrank.models.features import Shopper, tokens_of
from nightrank.models.row import interests, shopper_part

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
DECIMALS = 6  # rounded, as weights are


def agreements(
    catalogue: Catalogue, ranker: Ranker, shoppers: Sequence[Shopper], held_out: Sequence[Indices]
) -> Floats:
    """float64 [shoppers], from 0 to 1, .5 by chance: the mean over takes of the share of rivals ranked below; else NaN.

    Ties count half: the area under the ROC curve (Hanley & McNeil 1982), a take at a time. shoppers: without the takes
    that are held out of them: positions in the catalogue, -1 for an item that it does not hold. NaN: there is no take
    with a rival.
    """
    interest = interests(catalogue, ranker, shoppers)
    centred = np.where(interest.any(axis=1, keepdims=True), interest - ranker.mean_shopper.astype(np.float32), 0)
    found = [
        _agreement(catalogue, ranker, shopper, own.astype(np.float64), takes)
        for shopper, own, takes in zip(shoppers, centred, held_out, strict=True)
    ]
    return np.array(found, dtype=np.float64).round(DECIMALS)


def _agreement(catalogue: Catalogue, ranker: Ranker, shopper: Shopper, centred: Floats, held_out: Indices) -> float:
    known = held_out[held_out >= 0]
    never_taken = [np.setdiff1d(rivals(catalogue, int(take)), [*shopper.own, *known]) for take in known]
    against = [(take, others) for take, others in zip(known, never_taken, strict=True) if len(others)]
    if not against:
        return float("nan")
    items = np.concatenate([[take, *others] for take, others in against]).astype(np.int64)
    scores = shopper_part(catalogue, ranker, shopper, centred, items)
    parts = np.split(scores, np.cumsum([1 + len(others) for _, others in against])[:-1])
    return float(np.mean([share_below(part[0], part[1:]) for part in parts]))


def share_below(score: float, others: Floats) -> float:
    """The share of the others that are below the score, ties by half."""
    return float(((others < score) + 0.5 * (others == score)).mean())


def rivals(catalogue: Catalogue, item: int) -> Indices:
    """The best sellers of the item's narrowest category; of its coarsest code where it has no category.

    int64, in the order of their takes; the item may be among them.
    """
    tokens = np.sort(tokens_of(catalogue, np.array([item], dtype=np.int64))[1])
    # In a sorted vocabulary a longer category path comes after its beginning, and a code's first level first.
    categories, codes = (tokens[catalogue.kinds[tokens] == kind] for kind in (KINDS.index("category"), -1))
    alike = [*categories[-1:], *codes[:1]]
    if not alike:
        return np.zeros(0, dtype=np.int64)
    own = slice(*catalogue.popular_offsets[alike[0] : alike[0] + 2])
    return catalogue.popular_ids[own].astype(np.int64)
