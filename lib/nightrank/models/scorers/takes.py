"""Who took what, as one flat list: what matrix factorisation and EASE are learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Takes:
    """The takes of some rows (shoppers), row after row: row r owns items[offsets[r]:offsets[r + 1]].

    item_ids: [columns] sorted text. offsets: [rows + 1]. items: column of each take, once a row; values: its weight.
    """

    item_ids: NDArray[np.str_]
    offsets: Indices
    items: Indices
    values: Floats


def make_takes(item_ids: Sequence[Sequence[str]], values: Sequence[Sequence[float]]) -> Takes:
    """The takes of shoppers, each with distinct items and their values."""
    lengths = np.array([len(own) for own in item_ids], dtype=np.int64)
    flat = np.array([item for own in item_ids for item in own], dtype=np.str_)
    columns, items = np.unique(flat, return_inverse=True)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Takes(columns, offsets, items.astype(np.int64), np.array([v for own in values for v in own], dtype=float))


def takers(takes: Takes) -> tuple[Indices, Indices, Floats]:
    """The same the other way round, item after item: (offsets [items + 1], rows, values)."""
    order = np.argsort(takes.items, kind="stable")
    rows = np.repeat(np.arange(len(takes.offsets) - 1), np.diff(takes.offsets))
    counts = np.bincount(takes.items, minlength=len(takes.item_ids))
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), rows[order], takes.values[order]
