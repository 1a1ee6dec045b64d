"""The exact fold in numbers: the state of each key after each night that touched it.

A key is a whole number; nights are days since 1970. Entries of one key are worked through in order of night, all keys
at once: every key's second entry, then every key's third. So the operations on a key, and their order, are the same
whichever keys are beside it, and a product or a sum of two doubles is rounded the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]
# Amounts are counted in millionths.
UNIT = 1e6
EVER = 10**6  # nights: what is never forgotten


@dataclass(frozen=True)
class Entries:
    """What touched keys, by key and then night: key and night (n,), values (n, m) doubles or longs."""

    key: Longs
    night: Longs
    values: NDArray[Any]


def kept_shares(half_life_nights: float, forget_nights: int) -> Doubles:
    """What is left after 0, 1, … nights: d**0 … d**forget_nights, d = 0.5**(1 / half life); then 0: forgotten."""
    d = 0.5 ** (1.0 / half_life_nights)
    return np.array([*(d**nights for nights in range(forget_nights + 1)), 0.0])


def nightly_sums(key: Longs, night: Longs, amounts: Longs) -> Entries:
    """One entry a key and night: the sums of its amounts, (rows, m) in millionths, as longs, then in units."""
    if not len(key):
        return Entries(key, night, amounts / UNIT)
    order, first = by_night(key, night)
    sums = np.add.reduceat(amounts[order], first, axis=0)
    return Entries(key[order[first]], night[order[first]], sums / UNIT)


def by_night(key: Longs, night: Longs) -> tuple[Longs, Longs]:
    """The rows by key and night, and where among them each key's each night begins."""
    if not len(key):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    code = _in_order(key, night, int(night.min()), int(night.max()))
    order = np.argsort(code, kind="stable")
    return order, _firsts(code[order])


def fold(previous: Entries, added: Entries, kept: Doubles, least: float = 0.0) -> Entries:
    """The state of each key after each entry: what the nights between left of the state before, plus the entry.

    kept: (m, forget + 2), a row of kept_shares a value. previous: a state a key at most, the oldest of its entries.
    least: of less than that is left nothing.
    """
    entries = merged(previous, added)
    gap = np.diff(entries.night, prepend=entries.night[:1])
    left = kept[:, np.clip(gap, 0, kept.shape[1] - 1)].T
    values = entries.values.copy()
    for at in successors(entries.key):
        worth = values[at - 1] * left[at]
        values[at] += np.where(np.abs(worth) >= least, worth, 0.0)
    return Entries(entries.key, entries.night, values)


def merged(previous: Entries, added: Entries) -> Entries:
    """The entries of both, those of `previous` first where a key has one of each in a night."""
    if not len(previous.key):
        return added
    key, night = np.concatenate([previous.key, added.key]), np.concatenate([previous.night, added.night])
    order = np.lexsort((night, key))  # stable: a state comes before what its own night adds
    return Entries(key[order], night[order], np.concatenate([previous.values, added.values])[order])


def successors(key: Longs) -> Iterator[Longs]:
    """Rows whose predecessor has the same key: every key's second row, then every key's third, …; key: sorted."""
    first = _firsts(key)
    many = np.diff(first, append=len(key))
    order = np.argsort(-many, kind="stable")
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
    keys = entries.key[_firsts(entries.key)]
    first = np.searchsorted(keys, group * names)
    many = np.searchsorted(keys, (group + 1) * names) - first
    asked = np.repeat(np.arange(len(group)), many)
    row = standing(entries, keys[ranges(first, many)], as_of[asked], forget_nights)
    return row[row >= 0], np.bincount(asked[row >= 0], minlength=len(group))


def ranges(first: Longs, many: Longs) -> Longs:
    """first[0], first[0] + 1, … many[0] of them, then those of first[1], …"""
    before = np.cumsum(many) - many
    rows: Longs = np.arange(int(many.sum())) + np.repeat(first - before, many)
    return rows


def _in_order(key: Longs, night: Longs, first: int, last: int) -> Longs:
    """One number a row that sorts by key, then night. A night before `first` sorts with the key before."""
    return key * (last - first + 1) + (night - first)


def _firsts(sorted_codes: Longs) -> Longs:
    """The first row of each run of equal codes."""
    begins = np.ones(len(sorted_codes), dtype=np.bool_)
    np.not_equal(sorted_codes[1:], sorted_codes[:-1], out=begins[1:])
    return np.flatnonzero(begins)
