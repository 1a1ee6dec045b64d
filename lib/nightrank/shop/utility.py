"""What shoppers think of items: the planted utilities, and how far down they look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nightrank.shop import planted
from nightrank.shop.draws import Floats, Ints, sigmoid

# Codes while simulating, names when read back from the truth: only equality is asked of them.
Names = npt.NDArray[Any]


@dataclass(frozen=True)
class Tastes:
    """Two tastes a shopper: brand, second_brand, band (S, 2); categories (S, 2, 2); words (S, 2, 3).

    strength (S,): factor on them; changes_on (S,): the day number from which the second one holds.
    """

    brand: Names
    second_brand: Names
    categories: Names
    band: Names
    words: Names
    strength: Floats
    changes_on: Ints


@dataclass(frozen=True)
class Traits:
    """What tastes ask of items: brand, category, band (I,); words (I, 2); quality (I,), in log-odds."""

    brand: Names
    category: Names
    band: Names
    words: Names
    quality: Floats


def utility(tastes: Tastes, traits: Traits, shoppers: Ints, items: Ints, day: Ints | int) -> Floats:
    """Quality plus taste of shopper-item pairs on a day number, in log-odds; the three broadcast."""
    shoppers, items, days = np.broadcast_arrays(shoppers, items, day)
    now = (shoppers, (days >= tastes.changes_on[shoppers]).astype(np.int64))
    brand, category, liked = traits.brand[items], traits.category[items], traits.words[items]
    taste = (
        planted.BRAND * (brand == tastes.brand[now])
        + planted.SECOND_BRAND * (brand == tastes.second_brand[now])
        + planted.CATEGORY * (category[..., None] == tastes.categories[now]).any(axis=-1)
        + planted.PRICE_BAND * (traits.band[items] == tastes.band[now])
        + planted.WORD * (liked[..., :, None] == tastes.words[now][..., None, :]).sum(axis=(-1, -2))
    )
    return np.asarray(traits.quality[items] + tastes.strength[shoppers] * taste)


def intent(items: Ints, targets: Ints) -> Floats:
    """What a search by name adds: targets are items, or -1 where the search names none; in log-odds."""
    return np.where(targets < 0, 0.0, np.where(items == targets, planted.TARGET, planted.NOT_TARGET))


def attraction(utilities: Floats, strength: Floats) -> Floats:
    """Chance of a click on an item that is looked at; utilities with intent, strength of the shopper's tastes."""
    lift = planted.TASTELESS_LIFT * np.clip(1.0 - strength, 0.0, 1.0)
    return sigmoid(planted.INTERCEPT + lift + utilities)


def position_curve(device: str) -> Floats:
    """Chance that each position 1.. of a slate is looked at, shape (SLATE,)."""
    places = np.arange(1, planted.SLATE + 1, dtype=np.float64)
    return np.asarray(places ** -planted.EXAMINATION_EXPONENT[device], dtype=np.float64)
