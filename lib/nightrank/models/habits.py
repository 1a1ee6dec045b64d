"""What a shopper does by habit: buys again when it is due, pays alike in a category, comes back to what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nightrank.models.catalogue import Catalogue, positions
from nightrank.models.cycles import how_due

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
# Names, and so many numbers a name, one name's after the other's. A name may be there twice: once an id of a person.
Told = tuple[Sequence[str], ArrayLike]
NOTHING_TOLD: Told = ((), ())
# As much weight of takes as makes the price band of a category half known: what one buy weighs.
HALF_KNOWN = 5.0


def _none() -> Indices:
    return np.zeros(0, dtype=np.int64)


def _no_values() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True)
class Habits:
    """One shopper's, as of the day that is served; the keys of each are distinct and rise.

    due_items, due_categories: what was bought on several days, positions in the catalogue and index into the
    vocabulary, and how due each is, 0 to 1. priced: categories, the mean price band of what was taken there, and how
    well that is known, 0 to 1. seen: items that were looked at, and log(1 + times).
    """

    due_items: Indices = field(default_factory=_none)
    item_due: Floats = field(default_factory=_no_values)
    due_categories: Indices = field(default_factory=_none)
    category_due: Floats = field(default_factory=_no_values)
    priced: Indices = field(default_factory=_none)
    usual_band: Floats = field(default_factory=_no_values)
    band_known: Floats = field(default_factory=_no_values)
    seen: Indices = field(default_factory=_none)
    seen_values: Floats = field(default_factory=_no_values)


NO_HABITS = Habits()


def make_habits(
    catalogue: Catalogue,
    item_cycles: Told = NOTHING_TOLD,
    category_cycles: Told = NOTHING_TOLD,
    prices: Told = NOTHING_TOLD,
    seen: Told = NOTHING_TOLD,
) -> Habits:
    """Habits in the catalogue's terms; items and categories that it does not hold are left out.

    cycles: of each name the numbers that cycles.how_due takes; of a name that is there twice the one bought last
    counts. prices: weight of what was taken of each category, and the sum of its bands so weighed. seen: times.
    """
    priced, (weight, bands) = _summed(catalogue.vocabulary, prices, 2)
    known = weight > 0
    looked_at, (times,) = _summed(catalogue.item_ids, seen, 1)
    return Habits(
        *_due(catalogue.item_ids, item_cycles),
        *_due(catalogue.vocabulary, category_cycles),
        priced[known],
        bands[known] / weight[known],
        weight[known] / (weight[known] + HALF_KNOWN),
        looked_at,
        np.log1p(times),
    )


def _due(sorted_names: NDArray[np.str_], cycles: Told) -> tuple[Indices, Floats]:
    """Keys and how due they are."""
    found, numbers = _found(sorted_names, cycles, 4)
    buys, _, _, since = numbers.T
    order = np.lexsort((-buys, since, found))
    keys, first = np.unique(found[order], return_index=True)
    return keys, how_due(*numbers[order][first].T)


def _summed(sorted_names: NDArray[np.str_], told: Told, many: int) -> tuple[Indices, list[Floats]]:
    """Keys and the sums of each of their numbers."""
    found, numbers = _found(sorted_names, told, many)
    keys, inverse = np.unique(found, return_inverse=True)
    return keys, [np.bincount(inverse, weights=each, minlength=len(keys)).astype(np.float64) for each in numbers.T]


def _found(sorted_names: NDArray[np.str_], told: Told, many: int) -> tuple[Indices, Floats]:
    names, numbers = told
    at = positions(sorted_names, np.asarray(names, dtype=np.str_))
    return at[at >= 0], np.asarray(numbers, dtype=np.float64).reshape(len(names), many)[at >= 0]
