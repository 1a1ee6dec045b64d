"""How well an encoder finds what was taken: nDCG@10 and recall@100 of query -> item over the catalogue; numpy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightrank.models.artefact import DECIMALS
from nightrank.models.metrics import kendall_tau
from nightrank.models.query_augmenting import augmented

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Vectors = NDArray[np.float32]

TOP, FOUND = 10, 100
# Kendall's tau compares all pairs of items: so many of the catalogue tell as much.
TAU_ITEMS = 200


@dataclass(frozen=True)
class Takes:
    """What searches took, a row each [N], rows of one search together: search (0, 1, …), its query, item and gain."""

    search: Ints
    query: Ints
    item: Ints
    gain: Doubles

    def where(self, kept: Flags) -> Takes:
        """The rows that are kept; searches are numbered anew."""
        _, search = np.unique(self.search[kept], return_inverse=True)
        return Takes(search.astype(np.int64), self.query[kept], self.item[kept], self.gain[kept])


def ranks(queries: Vectors, items: Vectors, takes: Takes, among: Flags) -> Ints:
    """The rank from 1 of each taken item [N] for its query among the items of `among` [I]; equal scores by number.

    queries [Q, D], items [I, D]: unit vectors. Every taken item is one of `among`.
    """
    allowed = np.flatnonzero(among)
    place = np.zeros(len(among), np.int64)
    found = np.zeros(len(takes.query), np.int64)
    catalogue = items[allowed].astype(np.float64)
    for query in np.unique(takes.query):
        # Rounded, so that what differs in a product's last bits alone is a tie.
        score = (catalogue @ queries[query].astype(np.float64)).round(DECIMALS)
        place[allowed[np.argsort(-score, kind="stable")]] = np.arange(1, len(allowed) + 1)
        mine = takes.query == query
        found[mine] = place[takes.item[mine]]
    return found


def ndcg_by_search(rank: Ints, takes: Takes) -> Doubles:
    """nDCG@10 of each search [S], with linear gains: of what it took, wherever in the catalogue that ranks."""
    best = np.lexsort((-takes.gain, takes.search))
    starts = np.searchsorted(takes.search, takes.search)  # rows of one search are together
    ideal = _discounted(takes.gain[best], np.arange(len(rank)) - starts + 1)
    return _by_search(_discounted(takes.gain, rank), takes) / _by_search(ideal, takes)


def recall_by_search(rank: Ints, takes: Takes) -> Doubles:
    """The share of what each search took that ranks among the first 100 [S]."""
    return _by_search((rank <= FOUND).astype(np.float64), takes) / _by_search(np.ones(len(rank)), takes)


def above(rank: Ints, items: int) -> Doubles:
    """The share of the other items that each take ranks above [N], its AUC: 1.0 the first, 0.5 by chance, 0.0 the last.

    Of one item alone it is 1.0.
    """
    return np.asarray(1.0 - (rank - 1) / max(items - 1, 1), dtype=np.float64)


def robustness(encode: Callable[[list[str]], Vectors], queries: Sequence[str], items: Vectors, seed: int) -> float:
    """The mean Kendall's tau of item scores before and after a query is typed in another way; 1.0 without queries.

    items [I, D]: evenly spaced ones of them are scored. Queries that no way changes are left out.
    """
    draws = np.random.default_rng(seed)
    pairs = [(query, typed) for query in queries if (typed := augmented(query, draws)) != query]
    if not pairs:
        return 1.0
    scored = items[:: -(-len(items) // TAU_ITEMS)].astype(np.float64)
    before, after = (encode([pair[n] for pair in pairs]).astype(np.float64) @ scored.T for n in (0, 1))
    taus = [kendall_tau(one, other) for one, other in zip(before, after, strict=True)]
    return float(np.mean(taus))


def _discounted(gain: Doubles, rank: Ints) -> Doubles:
    return np.where(rank <= TOP, gain / np.log2(1.0 + rank), 0.0)


def _by_search(values: Doubles, takes: Takes) -> Doubles:
    return np.bincount(takes.search, weights=values).astype(np.float64)
