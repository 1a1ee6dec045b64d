"""What happens on a day, as arrays: one row a search, one row an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from nightrank.shop.draws import Flags, Floats, Ints

ACTIONS = ("view", "click", "add_to_cart", "purchase", "like", "hide")
VIEW, CLICK, CART, BUY, LIKE, HIDE = range(len(ACTIONS))
NO_SEARCH = -1


@dataclass(frozen=True)
class Searches:
    """Searches of a day, M of them.

    number: which search of its shopper's day, from 0; query counts into Queries; ms: since midnight UTC; mobile and
    anonymous are those of the session; items, scores, sponsored: the slate, (M, SLATE).
    """

    shopper: Ints
    number: Ints
    query: Ints
    ms: Ints
    mobile: Flags
    anonymous: Flags
    recased: Flags
    items: Ints
    scores: Floats
    sponsored: Flags


@dataclass(frozen=True)
class Events:
    """Events of a day. number: the search that it followed, or NO_SEARCH; position: 1.. in its slate, 0 without."""

    shopper: Ints
    number: Ints
    ms: Ints
    mobile: Flags
    anonymous: Flags
    action: Ints
    item: Ints
    position: Ints
    quantity: Ints


@dataclass(frozen=True)
class DayLog:
    """All that one day left."""

    searches: Searches
    events: Events


Rows = TypeVar("Rows", Searches, Events)


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, in the order given."""
    kind = type(parts[0])
    return kind(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(kind)})
