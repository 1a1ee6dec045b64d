"""Rows in order, by whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]
# Of a long but its sign and one more, so that no shift touches it.
BITS = 62


def order_of(*keys: Longs) -> Longs:
    """The rows by the first key, then the second, …; equal ones as they stood. What numpy.lexsort gives, keys reversed.

    Key after key from the last, each sorted as it stands.
    """
    *more, last = keys
    order = _order(last)
    for key in reversed(more):
        order = order[_order(key[order])]
    return order


def _order(key: Longs) -> Longs:
    """The rows by one key. Where both fit into a long, the key and the row's number are sorted as one.

    numpy sorts longs with the processor's vectors where the processor has them; their stable order it finds without.
    """
    if not len(key):
        return np.zeros(0, dtype=np.int64)
    least, bits = int(key.min()), len(key).bit_length()
    if (int(key.max()) - least).bit_length() + bits > BITS:
        return np.argsort(key, kind="stable")
    packed = ((key - least) << bits) | np.arange(len(key))
    packed.sort()
    rows: Longs = packed & ((1 << bits) - 1)
    return rows


def firsts(ordered: Longs) -> Longs:
    """The first row of each run of equal numbers."""
    begins = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return np.flatnonzero(begins)


def ranges(first: Longs, many: Longs) -> Longs:
    """first[0], first[0] + 1, … many[0] of them, then those of first[1], …"""
    before = np.cumsum(many) - many
    rows: Longs = np.arange(int(many.sum())) + np.repeat(first - before, many)
    return rows


def heaviest(worth: Doubles, sizes: Longs, most: int) -> tuple[Longs, Longs]:
    """The rows of each group's `most` largest, the largest first, equal ones as they stood; and how many each has.

    worth: of one group after the other, sizes rows each; none is below 0, so its bits sort as it does.
    """
    group = np.repeat(np.arange(len(sizes)), sizes)
    bits = np.ascontiguousarray(worth + 0.0).view(np.int64)
    order = order_of(group, -(bits >> 31), -(bits & (2**31 - 1)))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[rank < most], np.minimum(sizes, most)
