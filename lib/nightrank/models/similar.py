"""The items most similar to shoppers, exactly: matrix products in float32, and by hand what they leave in doubt.

The last bits of a matrix product in float32 depend on its shape. So it decides only what it can be sure of: a pair that
it puts too near the last place is multiplied again in float64, by itself, and rounded, which depends on nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nightrank.models.artefact import DECIMALS
from nightrank.models.int8 import from_int8
from nightrank.models.similarity import dot

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]
Vectors = NDArray[np.float32] | NDArray[np.int8]

# The products of so many shoppers with a block of items are held at a time. At most 2 ** 15: see _in_order.
_SHOPPERS_AT_ONCE = 512
_PAIRS_AT_ONCE = 16_384  # whose vectors are gathered
_HALF = 0.5 * 10.0**-DECIMALS


@dataclass(frozen=True)
class _Pairs:
    """Pairs of a shopper and an item: row in `asked`, row in the vectors, their product in float32."""

    shopper: NDArray[np.int16]
    item: Indices
    product: Floats


@dataclass(frozen=True)
class _Search:
    """Some shoppers on their way through the items.

    asked: [q, dims]. doubt: [q] how far a float32 product may be from the rounded one. least: [q] what a product must
    be at least to count. best: the best `wanted` items of each, once there were so many; waiting: what came after.
    """

    asked: Floats
    doubt: Doubles
    least: Floats
    best: _Pairs
    waiting: tuple[_Pairs, ...] = ()


def most_similar(vectors: Vectors, interest: Floats, most: int, block: int) -> Indices:
    """int64 [shoppers, min(most, items)]: the items with the largest dot product with each interest, in item order.

    vectors: unit rows [items, dims], or their directions in int8, which become floats a block at a time, once for all
    shoppers. interest [shoppers, dims]. Products are compared in DECIMALS decimals, of equal ones the first item
    counts: so the result depends neither on `block`, nor on threads, nor on who else is asked for. Memory beyond the
    arguments grows with the block, not with shoppers times items.
    """
    wanted = min(most, len(vectors))
    found = np.tile(np.arange(wanted), (len(interest), 1))  # to a zero vector all items are alike
    known = np.flatnonzero(interest.any(axis=1))
    parts = [known[at : at + _SHOPPERS_AT_ONCE] for at in range(0, len(known) if wanted else 0, _SHOPPERS_AT_ONCE)]
    searches = [_begun(np.ascontiguousarray(interest[part], np.float32)) for part in parts]
    for start, items in _blocks(vectors if searches else vectors[:0], max(block, wanted)):
        searches = [_looked_at(search, items, start, vectors, wanted) for search in searches]
    for part, search in zip(parts, searches, strict=True):
        found[part] = _merged(search, vectors, wanted).best.item.reshape(len(part), wanted)
    return found


def as_floats(vectors: Vectors) -> Floats:
    """Unit vectors in float32, whether these are them already or their directions in int8."""
    return from_int8(vectors) if vectors.dtype == np.int8 else vectors.astype(np.float32)


def _blocks(vectors: Vectors, rows: int) -> Iterator[tuple[int, Floats]]:
    for start in range(0, len(vectors), rows):
        yield start, as_floats(vectors[start : start + rows])


def _begun(asked: Floats) -> _Search:
    # Twice what float32 may take from or add to a sum of so many products (Higham 2002, section 3.1), items being of
    # length 1, and what rounding may.
    lengths = np.sqrt(np.einsum("nd,nd->n", asked, asked, dtype=np.float64))
    doubt = 2 * (asked.shape[1] + 4) * 2.0**-24 * lengths + _HALF
    nothing = _Pairs(np.zeros(0, np.int16), np.zeros(0, np.int64), np.zeros(0, np.float32))
    return _Search(asked, doubt, np.full(len(asked), -np.inf, np.float32), nothing)


def _looked_at(search: _Search, items: Floats, start: int, vectors: Vectors, wanted: int) -> _Search:
    """The search after one more block, the first of which has `wanted` items at least."""
    products = search.asked @ items.T
    if not start:
        search = replace(search, least=_least(_kth(products, wanted), search.doubt))
    shopper, item = np.divmod(np.flatnonzero(products >= search.least[:, None]), products.shape[1])
    pairs = _Pairs(shopper.astype(np.int16), item + start, products[shopper, item])
    search = replace(search, waiting=(*search.waiting, pairs))
    # Merged when there are as many as are kept: about each time that twice as many items have been seen.
    return _merged(search, vectors, wanted) if _many(search.waiting, len(search.asked) * wanted) else search


def _many(waiting: tuple[_Pairs, ...], enough: int) -> bool:
    return sum(len(pairs.item) for pairs in waiting) >= enough


def _kth(products: Floats, wanted: int) -> Floats:
    """The wanted-th largest of each row."""
    kth: Floats = np.partition(products, products.shape[1] - wanted, axis=1)[:, products.shape[1] - wanted]
    return kth


def _least(kth: Floats, doubt: Doubles) -> Floats:
    """What a product is at least if it may be among the wanted ones, `wanted` products being kth or more."""
    return (kth - 2 * doubt).astype(np.float32)


def _merged(search: _Search, vectors: Vectors, wanted: int) -> _Search:
    """The search with nothing waiting: exactly `wanted` items of each shopper are left, in item order."""
    if not search.waiting:
        return search
    pairs = _in_order([search.best, *search.waiting])
    kth = _kth(_dense(pairs, len(search.asked)), wanted)
    least = _least(kth, search.doubt)
    pairs = _of(pairs, pairs.product >= least[pairs.shopper])
    if len(pairs.item) > len(search.asked) * wanted:
        above = (kth + 2 * search.doubt).astype(np.float32)
        pairs = _of(pairs, _chosen(pairs, pairs.product > above[pairs.shopper], search.asked, vectors, wanted))
    return replace(search, best=pairs, least=least, waiting=())


def _in_order(several: list[_Pairs]) -> _Pairs:
    """All pairs by shopper and item. Items rise from one to the next: sorting by shopper, stably, is enough.

    (Which numpy does in linear time for 16-bit numbers.)
    """
    shopper, item, product = (
        np.concatenate([getattr(pairs, name) for pairs in several]) for name in ("shopper", "item", "product")
    )
    return _of(_Pairs(shopper, item, product), np.argsort(shopper, kind="stable"))


def _of(pairs: _Pairs, rows: NDArray[np.bool_] | NDArray[np.intp]) -> _Pairs:
    return _Pairs(pairs.shopper[rows], pairs.item[rows], pairs.product[rows])


def _dense(pairs: _Pairs, shoppers: int) -> Floats:
    """The products of each shopper in a row of its own, filled up with -inf."""
    counts = np.bincount(pairs.shopper, minlength=shoppers)
    within = np.arange(len(pairs.shopper)) - np.repeat(np.cumsum(counts) - counts, counts)
    dense = np.full((shoppers, int(counts.max())), -np.inf, np.float32)
    dense[pairs.shopper, within] = pairs.product
    return dense


def _chosen(pairs: _Pairs, sure: NDArray[np.bool_], asked: Floats, vectors: Vectors, wanted: int) -> NDArray[np.bool_]:
    """Whether a pair is one of the shopper's `wanted` best: the sure ones, and the best of the doubtful ones."""
    room = wanted - np.bincount(pairs.shopper[sure], minlength=len(asked))
    doubtful = np.flatnonzero(~sure)
    shopper, item = pairs.shopper[doubtful], pairs.item[doubtful]
    exact = np.concatenate([np.zeros(0), *_exact(asked, shopper, vectors, item)])
    order = np.lexsort((item, -exact, shopper))
    firsts = np.searchsorted(shopper[order], np.arange(len(asked)))
    best = order[np.arange(len(order)) - firsts[shopper[order]] < room[shopper[order]]]
    chosen = sure.copy()
    chosen[doubtful[best]] = True
    return chosen


def _exact(asked: Floats, shopper: NDArray[np.int16], vectors: Vectors, item: Indices) -> Iterator[Doubles]:
    for at in range(0, len(item), _PAIRS_AT_ONCE):
        rows = slice(at, at + _PAIRS_AT_ONCE)
        yield dot(asked[shopper[rows]], as_floats(vectors[item[rows]])).round(DECIMALS) + 0.0  # no negative zeros
