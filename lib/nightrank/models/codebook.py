"""Residual quantisation of item vectors: v_i is about the sum over levels l of codebook[l, code_l(i)].

u.v_i is then a sum of one weight u.codebook[l, code] a level, which an engine can add up without a model. Level by
level, k-means (k-means++ starts, Lloyd's steps) of what the levels before left over; afterwards the token vectors are
fitted again, all levels together, by weighted least squares on the chosen codes.

A large catalogue is fitted by an even sample of it, so that time and memory are bounded, and each step sees all of the
sample. Sums run in a fixed order in float64, so threads change no bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nightrank.errors import ContractError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Codes = NDArray[np.int64]

_LLOYD_STEPS = 30
_REFITS = 5
# Enough for thousands of items a code; every k-th item is taken from larger catalogues.
_FITTED_ITEMS = 200_000
_ITEMS_AT_ONCE = 65_536
# Distances are compared after rounding, so that equal ones tie however the matrix product added them up.
_DISTANCE_DECIMALS = 9


def fit_codebook(vectors: ArrayLike, weights: ArrayLike | None, levels: int, codes: int, seed: int) -> Floats:
    """Token vectors, float32 [levels, codes, dims], of item vectors [n, dims], n >= 1.

    weights [n]: how much each item counts; None: alike. The same input and seed give the same bits. With fewer
    different items than codes the codes left over are zero vectors. Raises ContractError without items or with
    numbers that are not finite.
    """
    items, importance = _fitted_part(vectors, weights)
    random = np.random.default_rng(seed)
    residual, book = items, np.zeros((levels, codes, items.shape[1]))
    for level in range(levels):
        book[level] = _k_means(residual, importance, codes, random)
        residual = residual - book[level][_nearest(residual, book[level])]
    for _ in range(_REFITS):
        refitted = _least_squares(items, importance, book)
        if _error(items, importance, refitted) >= _error(items, importance, book):
            break
        book = refitted
    return book.astype(np.float32)


def assign_codes(vectors: ArrayLike, codebook: ArrayLike) -> Codes:
    """The code of each item at each level, int64 [n, levels]: greedily nearest to what is left; ties to the lowest."""
    items, book = np.asarray(vectors, np.float64), np.asarray(codebook, np.float64)
    parts = [_assign(items[start : start + _ITEMS_AT_ONCE], book) for start in range(0, len(items), _ITEMS_AT_ONCE)]
    return np.concatenate(parts) if parts else np.zeros((0, len(book)), np.int64)


def decode(codes: NDArray[np.int64], codebook: ArrayLike) -> Doubles:
    """What codes [n, levels] stand for: the sum of their token vectors, float64 [n, dims]."""
    book = np.asarray(codebook, np.float64)
    return np.asarray(sum(book[level][codes[:, level]] for level in range(len(book))))


def _fitted_part(vectors: ArrayLike, weights: ArrayLike | None) -> tuple[Doubles, Doubles]:
    every = np.asarray(vectors)
    step = max(1, -(-len(every) // _FITTED_ITEMS))
    items = every[::step].astype(np.float64)
    importance = np.ones(len(items)) if weights is None else np.asarray(weights)[::step].astype(np.float64)
    if not len(items) or not np.isfinite(items).all() or not np.isfinite(importance).all():
        raise ContractError(
            f"A codebook cannot be fitted: expected finite vectors of at least one item, found {len(items)} with "
            f"{int((~np.isfinite(items)).sum())} numbers that are not finite. "
            "Look at the tables items and item_embeddings."
        )
    return items, importance


def _k_means(items: Doubles, importance: Doubles, codes: int, random: np.random.Generator) -> Doubles:
    centres = _starts(items, importance, codes, random)
    for _ in range(_LLOYD_STEPS):
        nearest = _nearest(items, centres)
        moved = _means(items, importance, nearest, centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _starts(items: Doubles, importance: Doubles, codes: int, random: np.random.Generator) -> Doubles:
    """k-means++: each start is drawn by weight times squared distance to the nearest start so far."""
    centres = np.zeros((codes, items.shape[1]))
    distance = np.ones(len(items))
    for code in range(codes):
        cumulative = np.cumsum(importance * distance)
        if cumulative[-1] <= 0:
            break  # every item is a start already
        drawn = min(int(np.searchsorted(cumulative, random.random() * cumulative[-1], side="right")), len(items) - 1)
        centres[code] = items[drawn]
        to_drawn = np.round(((items - items[drawn]) ** 2).sum(axis=1), _DISTANCE_DECIMALS)
        distance = to_drawn if code == 0 else np.minimum(distance, to_drawn)
    return centres


def _means(items: Doubles, importance: Doubles, nearest: Codes, centres: Doubles) -> Doubles:
    """Weighted mean of each code's items; a code without items moves to the item that is served worst."""
    weight = np.bincount(nearest, weights=importance, minlength=len(centres))
    sums = np.stack(
        [np.bincount(nearest, weights=importance * column, minlength=len(centres)) for column in items.T], axis=1
    )
    moved = np.divide(sums, weight[:, None], out=centres.copy(), where=weight[:, None] > 0)
    served = np.round(importance * ((items - moved[nearest]) ** 2).sum(axis=1), _DISTANCE_DECIMALS)
    for code in np.flatnonzero(weight == 0):
        worst = int(np.argmax(served))
        if served[worst] <= 0:
            break
        moved[code], served[worst] = items[worst], 0.0
    return moved


def _nearest(items: Doubles, centres: Doubles) -> Codes:
    parts = [
        np.round((centres**2).sum(axis=1) - 2 * items[at : at + _ITEMS_AT_ONCE] @ centres.T, _DISTANCE_DECIMALS)
        for at in range(0, len(items), _ITEMS_AT_ONCE)
    ]
    return np.concatenate([part.argmin(axis=1) for part in parts])


def _assign(items: Doubles, book: Doubles) -> Codes:
    residual, chosen = items, np.zeros((len(items), len(book)), np.int64)
    for level, centres in enumerate(book):
        chosen[:, level] = _nearest(residual, centres)
        residual = residual - centres[chosen[:, level]]
    return chosen


def _least_squares(items: Doubles, importance: Doubles, book: Doubles) -> Doubles:
    """The token vectors that minimise the weighted squared error for the codes that `book` assigns."""
    levels, codes, dims = book.shape
    chosen = _assign(items, book) + np.arange(levels) * codes
    error = items - book.reshape(-1, dims)[chosen].sum(axis=1)
    gram, moment = np.zeros((levels * codes, levels * codes)), np.zeros((levels * codes, dims))
    for level in range(levels):
        np.add.at(moment, chosen[:, level], importance[:, None] * error)
        for other in range(levels):
            np.add.at(gram, (chosen[:, level], chosen[:, other]), importance)
    # The levels share a constant and codes may be unused: a little ridge keeps those at what they were.
    ridge = 1e-6 * importance.sum() * np.eye(levels * codes)
    return book + np.linalg.solve(gram + ridge, moment).reshape(book.shape)


def _error(items: Doubles, importance: Doubles, book: Doubles) -> float:
    left = items - decode(_assign(items, book), book)
    return float((importance * (left**2).sum(axis=1)).sum())
