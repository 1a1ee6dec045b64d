"""A shopper's takes in order, as numbers: what the shopper tower reads; numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nightrank.models.catalogue import positions
from nightrank.sections import TakenBy

Indices = NDArray[np.int64]

# Action k of these has index k + 1; a shop's own actions share index 0, as `other`.
ACTIONS: tuple[str, ...] = get_args(TakenBy)[1:]
ACTION_INDICES = len(ACTIONS) + 1
# Bucket 0: the first take, and one within the hour; k: 2 ** (k - 1) hours and more after the take before; the last
# one is two years.
GAPS = 16
# The columns of takes as padded arrays.
TAKEN = ("taken_index", "taken_action", "taken_gap")


@dataclass(frozen=True)
class Taken:
    """Takes, oldest first: position of the item in the catalogue, index of the action, bucket of the gap before."""

    items: Indices
    actions: Indices
    gaps: Indices


NOTHING_TAKEN = Taken(*(np.zeros(0, np.int64) for _ in range(3)))


def make_taken(item_ids: NDArray[np.str_], taken_ids: Sequence[str], actions: ArrayLike, hours: ArrayLike) -> Taken:
    """The takes of items that the catalogue holds, item_ids sorted.

    actions: indices; hours: since 1970. An item that is taken twice in a row (put into the cart, then bought) is one
    take, the later one.
    """
    found = positions(item_ids, np.asarray(taken_ids, dtype=np.str_))
    known = np.flatnonzero(found >= 0)
    last_of_run = np.append(found[known][1:] != found[known][:-1], True)[: len(known)]
    kept = known[last_of_run]
    return Taken(found[kept], np.asarray(actions, np.int64)[kept], gap_buckets(np.asarray(hours, np.int64)[kept]))


def action_index(action: str) -> int:
    """The index of an action."""
    return ACTIONS.index(action) + 1 if action in ACTIONS else 0


def gap_buckets(hours: Indices) -> Indices:
    """The bucket of the time from each take's predecessor to it; hours rise."""
    gaps = np.diff(hours, prepend=hours[:1])
    return np.minimum(np.frexp(np.maximum(gaps, 0).astype(np.float64))[1], GAPS - 1).astype(np.int64)


def padded(taken: Sequence[Taken], longest: int) -> tuple[Indices, Indices, Indices]:
    """Items, actions and gaps of the last takes, each [shoppers, longest], filled up behind with -1, 0 and 0."""
    items, actions, gaps = (np.full((len(taken), longest), filler, np.int64) for filler in (-1, 0, 0))
    for row, one in enumerate(taken):
        last = slice(max(len(one.items) - longest, 0), len(one.items))
        for kept, values in ((items, one.items), (actions, one.actions), (gaps, one.gaps)):
            kept[row, : last.stop - last.start] = values[last]
    return items, actions, gaps
