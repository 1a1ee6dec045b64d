"""Matrix factorisation of implicit feedback: Hu, Koren & Volinsky 2008, by alternating least squares.

Not Spark's ALS, whose sums follow the order in which a shuffle brings the ratings: a rerun would differ in its last
bits, and every half round would be a job. A night learns from a bounded sample of shoppers, which needs no cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightrank.models.scorers.takes import Takes, takers

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
# Takes whose outer products are held at once: 40 MB of them at 16 factors.
_AT_ONCE = 20_000
SEED = 11  # of the items' first factors; any fixed number
SPREAD = 0.1  # of them: small beside what the first round makes of them


@dataclass(frozen=True)
class AlsSettings:
    """factors of each vector; rounds over both sides; alpha: a take of value r is believed 1 + alpha r; l2 > 0."""

    factors: int
    rounds: int
    alpha: float
    l2: float


def fit_items(takes: Takes, settings: AlsSettings) -> Floats:
    """The items' factors [items, factors] after so many rounds. The same takes in the same order give the same bits.

    Minimises sum over all pairs of c_ui (p_ui - x_u · y_i)² + l2 (|x|² + |y|²), where p is 1 for what was taken, else
    0, and c = 1 + alpha r. Each half round is exact (`factors_of`).
    """
    items = np.random.Generator(np.random.Philox(SEED)).normal(0, SPREAD, (len(takes.item_ids), settings.factors))
    turned = takers(takes)
    for _ in range(settings.rounds):
        shoppers = factors_of(items, gram_of(items), takes.offsets, takes.items, takes.values, settings)
        items = factors_of(shoppers, gram_of(shoppers), *turned, settings)
    return items


def gram_of(factors: Floats) -> Floats:
    """YᵀY: [factors, factors]. By einsum, which adds in one order whatever the threads."""
    gram: Floats = np.einsum("ni,nj->ij", factors, factors)
    return gram


def factors_of(
    other: Floats, gram: Floats, offsets: Indices, taken: Indices, values: Floats, settings: AlsSettings
) -> Floats:
    """The best factors of each row given the other side's: x = (YᵀY + Yᵀ(C - I)Y + l2 I)⁻¹ YᵀC p, [rows, factors].

    other: Y [n, factors]; gram: YᵀY. Row r took taken[offsets[r]:offsets[r + 1]], with these values. A row without
    takes gets zeros: that is where the formula leads, too. OpenBLAS solves systems below 200 × 200 in one thread, so
    the bits are the same whatever the cores.
    """
    solved = np.zeros((len(offsets) - 1, other.shape[1]))
    for start, stop in _blocks(offsets):
        block = slice(offsets[start], offsets[stop])
        own, extra = other[taken[block]], settings.alpha * values[block]
        filled = np.flatnonzero(np.diff(offsets[start : stop + 1]))
        if not len(filled):
            continue
        begins = (offsets[start:stop] - offsets[start])[filled]
        squares = np.add.reduceat(extra[:, None, None] * own[:, :, None] * own[:, None, :], begins)
        right = np.add.reduceat((1 + extra)[:, None] * own, begins)
        left = gram + settings.l2 * np.eye(other.shape[1]) + squares
        solved[start + filled] = np.linalg.solve(left, right[..., None])[..., 0]
    return solved


def als_scores(
    items: Floats, gram: Floats, own: Indices, values: Floats, wanted: Indices, settings: AlsSettings
) -> Floats:
    """x · y_i of each wanted item: float64 [wanted]; x is folded in from the shopper's own items.

    own, wanted: rows of `items`; -1 in `wanted` scores 0.0, as does every item for a shopper without takes.
    """
    shopper = factors_of(items, gram, np.array([0, len(own)]), own, values, settings)[0]
    return np.where(wanted >= 0, (items[wanted] * shopper).sum(axis=1), 0.0)


def _blocks(offsets: Indices) -> Iterator[tuple[int, int]]:
    """Rows start, stop of each block: as many as have _AT_ONCE takes together, but one at least."""
    start, rows = 0, len(offsets) - 1
    while start < rows:
        stop = int(np.searchsorted(offsets, offsets[start] + _AT_ONCE, side="right")) - 1
        yield start, max(start + 1, stop)
        start = max(start + 1, stop)
