"""The exact fold in numbers: the state of each key after each night that touched it.

A key is a whole number; nights are days since 1970. Entries of one key are worked through in order of night, all keys
at once: every key's second entry, then every key's third. So the operations on a key, and their order, are the same
whichever keys are beside it, and a product or a sum of two doubles is rounded the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightrank.models.ordering import Doubles, Longs, firsts, order_of, ranges

# Amounts are counted in millionths.
UNIT = 1e6
EVER = 10**6  # nights: what is never forgotten


@dataclass(frozen=True)
class Entries:
    """What touched keys, by key and then night: key and night (n,), values (n, m) doubles or longs."""

    key: Longs
    night: Longs
    values: NDArray[Any]


@cache
def kept_shares(half_life_nights: float, forget_nights: int) -> Doubles:
    """What is left after 0, 1, … nights: d**0 … d**forget_nights, d = 0.5**(1 / half life); then 0: forgotten."""
    d = 0.5 ** (1.0 / half_life_nights)
    shares = np.array([*(d**nights for nights in range(forget_nights + 1)), 0.0])
    shares.flags.writeable = False
    return shares


def nightly_sums(key: Longs, night: Longs, amounts: Longs, of: Longs | None = None) -> Entries:
    """One entry a key and night: the sums of its amounts, (rows, m) in millionths, as longs, then in units.

    of: which row of amounts each key adds, where many add the same; else each its own.
    """
    if not len(key):
        return Entries(key, night, np.zeros((0, amounts.shape[1])))
    order, first = by_night(key, night)
    row = order if of is None else of[order]
    values = np.empty((amounts.shape[1], len(first)))
    for column, value in zip(amounts.T, values, strict=True):
        np.divide(np.add.reduceat(column[row], first), UNIT, out=value)
    return Entries(key[order[first]], night[order[first]], values.T)


def by_night(key: Longs, night: Longs) -> tuple[Longs, Longs]:
    """The rows by key and night, and where among them each key's each night begins."""
    if not len(key):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    code = _in_order(key, night, int(night.min()), int(night.max()))
    order = order_of(code)
    return order, firsts(code[order])


def fold(previous: Entries, added: Entries, kept: Doubles, least: float = 0.0) -> Entries:
    """The state of each key after each entry: what the nights between left of the state before, plus the entry.

    kept: (m, forget + 2), a row of kept_shares a value. previous: a state a key at most, the oldest of its entries.
    least: of less than that is left nothing.
    """
    entries = merged(previous, added)
    values, longest = entries.values.copy(order="K"), kept.shape[1] - 1
    for at in successors(entries.key):
        gap = np.minimum(entries.night[at] - entries.night[at - 1], longest)
        for value, left in zip(values.T, kept, strict=True):
            worth = value[at - 1] * left[gap]
            value[at] += np.where(np.abs(worth) >= least, worth, 0.0) if least else worth
    return Entries(entries.key, entries.night, values)


def merged(previous: Entries, added: Entries) -> Entries:
    """The entries of both, those of `previous` first where a key has one of each in a night."""
    if not len(previous.key):
        return added
    key, night = np.concatenate([previous.key, added.key]), np.concatenate([previous.night, added.night])
    order = order_of(key, night)  # stable: a state comes before what its own night adds
    return Entries(key[order], night[order], np.concatenate([previous.values, added.values])[order])


def successors(key: Longs) -> Iterator[Longs]:
    """Rows whose predecessor has the same key: every key's second row, then every key's third, …; key: sorted."""
    first = firsts(key)
    many = np.diff(first, append=len(key))
    first, many = first[many > 1], many[many > 1]
    order = order_of(-many)
    first, many = first[order], many[order]
    for number in range(1, int(many[0]) if len(many) else 0):
        yield first[: np.searchsorted(-many, -number)] + number


def standing(entries: Entries, key: Longs, as_of: Longs, forget_nights: int) -> Longs:
    """The row of each asked key's last entry up to its as_of; -1: none, or it is forgotten."""
    if not len(entries.key):
        return np.full(len(key), -1)
    first, last = int(entries.night.min()), int(entries.night.max())
    codes = _in_order(entries.key, entries.night, first, last)
    asked = _in_order(key, np.clip(as_of, first - 1, last), first, last)
    row = np.searchsorted(codes, asked, side="right") - 1
    found = (row >= 0) & (entries.key[row] == key) & (as_of - entries.night[row] <= forget_nights)
    return np.where(found, row, -1)


def standing_by_group(
    entries: Entries, names: int, group: Longs, as_of: Longs, forget_nights: int
) -> tuple[Longs, Longs]:
    """What stands of each asked group (key // names) at its as_of: rows in order of group and key, rows a group."""
    begins = firsts(entries.key)
    keys = entries.key[begins]
    first = np.searchsorted(keys, group * names)
    many = np.searchsorted(keys, (group + 1) * names) - first
    asked, of = np.repeat(np.arange(len(group)), many), ranges(first, many)
    if len(of) and as_of.min() >= entries.night.max():  # as in most runs: nothing to look for
        last = np.append(begins[1:], len(entries.key))[of] - 1
        row = np.where(as_of[asked] - entries.night[last] <= forget_nights, last, -1)
    else:
        row = standing(entries, keys[of], as_of[asked], forget_nights)
    return row[row >= 0], np.bincount(asked[row >= 0], minlength=len(group))


def _in_order(key: Longs, night: Longs, first: int, last: int) -> Longs:
    """One number a row that sorts by key, then night. A night before `first` sorts with the key before."""
    return key * (last - first + 1) + (night - first)
