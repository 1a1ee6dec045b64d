"""What the games' benchmarks put beside the product that learns nothing: popularity and item kNN."""

from __future__ import annotations

import numpy as np
from llmrank_games import Games, Lists
from numpy.typing import NDArray
from scipy import sparse

STEP = 0.9  # what a take weighs beside the one after it
Doubles = NDArray[np.float64]


def takes_of(games: Games) -> Doubles:
    """How often each item was taken: float64 [items]."""
    return np.bincount(np.concatenate(list(games.histories.values())), minlength=len(games.titles)).astype(np.float64)


def popularity(games: Games, lists: Lists) -> Doubles:
    """Takes of each candidate: [n, K]."""
    return np.where(lists.mask, takes_of(games)[lists.items], 0.0)


def item_knn(games: Games, lists: Lists) -> Doubles:
    """sum over the shopper's takes j, the k-th last weighing 0.9 ** (k - 1), of cosine(i, j): [n, K].

    cosine(i, j): shoppers who took both / sqrt(shoppers of i * shoppers of j), without the one asked for (i = j).
    """
    taken = _by_shopper(games)
    norms = np.sqrt(np.maximum(np.asarray(taken.sum(axis=0)).ravel(), 1.0))
    unit = sparse.csc_matrix(taken @ sparse.diags(1.0 / norms))
    alike = sparse.csr_matrix(unit.T @ unit)
    found = np.zeros(lists.items.shape)
    for row, (user, mask) in enumerate(zip(lists.users.tolist(), lists.mask, strict=True)):
        history = games.histories[user]
        weights = STEP ** np.arange(len(history))[::-1]
        known = sparse.csr_matrix((weights, history, [0, len(history)]), shape=(1, len(games.titles)))
        near = np.asarray((known @ alike).todense()).ravel()
        items = lists.items[row, mask]
        # An item is no neighbour of itself.
        own = np.array([weights[history == item].sum() for item in items.tolist()])
        found[row, mask] = near[items] - own
    return found


def _by_shopper(games: Games) -> sparse.csr_matrix:
    """1.0 for each item of each shopper: [shoppers, items]."""
    lengths = [len(np.unique(items)) for items in games.histories.values()]
    columns = np.concatenate([np.unique(items) for items in games.histories.values()])
    rows = np.repeat(np.arange(len(lengths)), lengths)
    return sparse.csr_matrix((np.ones(len(columns)), (rows, columns)), shape=(len(lengths), len(games.titles)))
