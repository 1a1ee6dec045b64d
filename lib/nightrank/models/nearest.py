"""The nearest items of vectors, exactly: products in blocks on the device, what may be among the nearest again by hand.

A matrix product in float32 is fast and its last bits depend on its shape. So it only says which pairs may be among the
nearest; those are multiplied again in float64, one by one, and rounded, which depends on nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from nightrank.models.artefact import DECIMALS
from nightrank.models.similarity import dot

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]

# With blocks of 8,192 items 16 MB of products at a time. From 32 MB on the C library maps memory anew for each block,
# and that is slow.
_QUERIES_AT_ONCE = 512
# Their vectors, gathered: 50 MB each at 384 dims.
_PAIRS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Nearest:
    """rows of the items [queries, k], nearest first, and the dot products with them, rounded to DECIMALS."""

    rows: Rows
    products: Doubles


def nearest(queries: ArrayLike, items: ArrayLike, k: int, block: int = 8192, device: str = "cpu") -> Nearest:
    """The k items, k >= 1, with the largest dot product with each query; of equal products the lower row comes first.

    queries [q, dims] and items [n, dims], finite; of fewer items than k, all. The result depends neither on `block`
    nor on device or threads. Memory beyond the arguments grows with the block, not with q times n.
    """
    asked, held = (np.ascontiguousarray(vectors, np.float32) for vectors in (queries, items))
    wanted = min(k, len(held))
    longest = float(_lengths(held).max(initial=0.0))
    parts = [Nearest(np.zeros((0, wanted), np.int64), np.zeros((0, wanted)))]
    for at in range(0, len(asked), _QUERIES_AT_ONCE):
        part = asked[at : at + _QUERIES_AT_ONCE]
        # Twice what float32 may take from or add to a sum of so many products (Higham 2002, section 3.1).
        slack = 2 * (part.shape[1] + 4) * 2.0**-24 * _lengths(part) * longest
        parts.append(_nearest(part, held, wanted, max(block, wanted), slack, device))
    return Nearest(np.concatenate([part.rows for part in parts]), np.concatenate([part.products for part in parts]))


def _nearest(asked: Floats, items: Floats, k: int, block: int, slack: Doubles, device: str) -> Nearest:
    """The same of queries that fit into one block, which has room for k items. slack [q]: the products' error."""
    best = Nearest(np.zeros((len(asked), 0), np.int64), np.zeros((len(asked), 0)))
    queries = torch.from_numpy(asked).to(device)
    for start in range(0, len(items), block):
        products = queries @ torch.from_numpy(items[start : start + block]).to(device).T
        least = torch.from_numpy((_least(best, products, k) - slack).astype(np.float32)).to(device)
        asking, found = np.divmod(_true(products >= least[:, None]), products.shape[1])
        best = _merged(best, asking, found + start, asked, items, k)
    return best


def _least(best: Nearest, products: torch.Tensor, k: int) -> Doubles:
    """The least that an exact product of this block can be if it is one of the k nearest so far, float64 [q]."""
    half = 0.5 * 10.0**-DECIMALS
    if best.rows.shape[1]:
        # Rows come in order: a later one counts only where it is greater, by one in the last decimal.
        return np.asarray(best.products[:, -1] + half)
    kth = products.topk(k, dim=1).values[:, -1].cpu().numpy().astype(np.float64)
    return np.asarray(kth - 2 * half)  # a lesser one may be the same when both are rounded


def _true(mask: torch.Tensor) -> Rows:
    """Where the flattened mask is true. On a CPU numpy looks for it without a copy."""
    if mask.device.type == "cpu":
        return np.flatnonzero(mask.numpy())
    return np.asarray(mask.flatten().nonzero()[:, 0].cpu().numpy())


def _merged(best: Nearest, asking: Rows, found: Rows, asked: Floats, items: Floats, k: int) -> Nearest:
    """The k nearest among the best so far and new pairs of a query's row (asking) and an item's (found)."""
    query = np.concatenate([np.repeat(np.arange(len(asked)), best.rows.shape[1]), asking])
    row = np.concatenate([best.rows.ravel(), found])
    product = np.concatenate([best.products.ravel(), *_exact(asked, asking, items, found)])
    order = np.lexsort((row, -product, query))
    firsts = np.searchsorted(query[order], np.arange(len(asked)))
    kept = order[np.arange(len(order)) - firsts[query[order]] < k]
    return Nearest(row[kept].reshape(-1, k), product[kept].reshape(-1, k))


def _exact(asked: Floats, asking: Rows, items: Floats, found: Rows) -> Iterator[Doubles]:
    for at in range(0, len(found), _PAIRS_AT_ONCE):
        pairs = slice(at, at + _PAIRS_AT_ONCE)
        yield dot(asked[asking[pairs]], items[found[pairs]]).round(DECIMALS) + 0.0  # + 0.0: no negative zeros


def _lengths(vectors: Floats) -> Doubles:
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)))
