"""The catalogue as flat arrays that workers map into memory: one row an item, in item-id order.

Ragged columns (tokens, neighbours) are stored as offsets + values: item i owns values[offsets[i]:offsets[i + 1]].
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Offsets = NDArray[np.int64]
Floats = NDArray[np.float32]

_PRICE_BAND = re.compile(r"^price:-?[0-9]{1,4}$")
KINDS = ("brand", "category", "price", "seller", "keyword", "tier")  # the named facets; every other token has kind -1


@dataclass(frozen=True)
class Catalogue:
    """What is known of the items of a night.

    item_ids: [n] sorted text. vocabulary: [v] sorted tokens; kinds: [v] index into KINDS, -1 for codes.
    expected: [v] the share that a token has of all takes, within its kind: what a shopper without tastes would take.
    token_offsets, token_ids: tokens of each item. neighbour_offsets, neighbour_ids, neighbour_weights: items taken
    with each item, heaviest first. popularity: [n] decayed takes. category: [n] each item's narrowest category, index
    into the vocabulary, -1: none. band: [n] its price band, NaN: none. vectors: [n, dims], unit rows as float32, or
    their directions as int8 (int8.py). popular_offsets, popular_ids: the most popular items of each token, most
    popular first. priors: [n] what the ranker thinks of each item for everybody, in units of the base score; zeros for
    items that are no index's.
    """

    item_ids: NDArray[np.str_]
    vocabulary: NDArray[np.str_]
    kinds: NDArray[np.int8]
    expected: NDArray[np.float64]
    token_offsets: Offsets
    token_ids: Ints
    neighbour_offsets: Offsets
    neighbour_ids: Ints
    neighbour_weights: Floats
    popularity: Floats
    category: Ints
    band: Floats
    vectors: NDArray[np.float32] | NDArray[np.int8]
    popular_offsets: Offsets
    popular_ids: Ints
    priors: NDArray[np.float64]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays by name, to be shared."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def make_catalogue(
    item_ids: NDArray[np.str_],
    tokens: Sequence[Sequence[str]],
    neighbours: Sequence[Sequence[str]],
    neighbour_weights: Sequence[Sequence[float]],
    popularity: NDArray[np.float64],
    vectors: NDArray[np.float32] | NDArray[np.int8],
    popular_per_token: int,
    priors: NDArray[np.float64] | None = None,
) -> Catalogue:
    """The catalogue of items given in id order; neighbours that are not in it are left out.

    Raises ValueError where the ids are not sorted and distinct: every look-up is a binary search.
    """
    item_ids = np.asarray(item_ids, dtype=np.str_)
    _refuse_unsorted(item_ids)
    token_offsets, flat_tokens = _flat(tokens)
    vocabulary, token_ids = np.unique(np.asarray(flat_tokens, dtype=np.str_), return_inverse=True)
    near = _neighbours(item_ids, neighbours, neighbour_weights)
    kinds = np.array([kind_of(token) for token in vocabulary], dtype=np.int8)
    popular_offsets, popular_ids = _popular(token_offsets, token_ids, len(vocabulary), popularity, popular_per_token)
    return Catalogue(
        item_ids=item_ids,
        vocabulary=vocabulary,
        kinds=kinds,
        expected=_expected(token_offsets, token_ids, kinds, popularity),
        token_offsets=token_offsets,
        token_ids=token_ids.astype(np.int32),
        neighbour_offsets=near[0],
        neighbour_ids=near[1],
        neighbour_weights=near[2],
        popularity=popularity.astype(np.float32),
        category=_narrowest(token_offsets, token_ids, kinds),
        band=_bands(token_offsets, token_ids, vocabulary),
        vectors=vectors,
        popular_offsets=popular_offsets,
        popular_ids=popular_ids,
        priors=np.zeros(len(item_ids)) if priors is None else priors.astype(np.float64),
    )


def _neighbours(
    item_ids: NDArray[np.str_], neighbours: Sequence[Sequence[str]], weights: Sequence[Sequence[float]]
) -> tuple[Offsets, Ints, Floats]:
    """Offsets, positions and weights of those that are in the catalogue."""
    found = positions(item_ids, np.asarray(_flat(neighbours)[1], dtype=np.str_))
    owner = np.repeat(np.arange(len(item_ids)), [len(n) for n in neighbours])
    known = found >= 0
    kept = np.asarray(_flat(weights)[1], dtype=np.float32)[known]
    return _offsets(np.bincount(owner[known], minlength=len(item_ids))), found[known].astype(np.int32), kept


def _refuse_unsorted(item_ids: NDArray[np.str_]) -> None:
    if len(item_ids) > 1 and not bool(np.all(item_ids[1:] > item_ids[:-1])):
        raise ValueError("make_catalogue: item_ids must be sorted and distinct")


def kind_of(token: str) -> int:
    """Which of KINDS a token is; -1 for any other (codes)."""
    kind = token.partition(":")[0]
    return KINDS.index(kind) if kind in KINDS else -1


def positions(sorted_ids: NDArray[np.str_], wanted: NDArray[np.str_]) -> NDArray[np.int64]:
    """Where each wanted id stands in the sorted ids, -1 where it does not: int64 [wanted]."""
    if not len(sorted_ids) or not len(wanted):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(sorted_ids, wanted), len(sorted_ids) - 1)
    return np.where(sorted_ids[at] == wanted, at, -1).astype(np.int64)


def from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Catalogue:
    """The catalogue whose `arrays()` these are."""
    return Catalogue(**arrays)  # type: ignore[arg-type]  # the names are Catalogue's own fields


def _flat(ragged: Sequence[Sequence[object]]) -> tuple[Offsets, list[object]]:
    return _offsets(np.array([len(own) for own in ragged], dtype=np.int64)), [v for own in ragged for v in own]


def _offsets(lengths: NDArray[np.int64]) -> Offsets:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _expected(
    token_offsets: Offsets, token_ids: NDArray[np.int64], kinds: NDArray[np.int8], popularity: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Takes of the items that have each token, as a share of those of its kind: [v]; 0 where nothing was taken."""
    takes = np.bincount(token_ids, weights=np.repeat(popularity, np.diff(token_offsets)), minlength=len(kinds))
    of_kind = np.bincount(kinds + 1, weights=takes, minlength=len(KINDS) + 1)[kinds + 1]
    return np.divide(takes, of_kind, out=np.zeros(len(kinds)), where=of_kind > 0)


def _narrowest(token_offsets: Offsets, token_ids: NDArray[np.int64], kinds: NDArray[np.int8]) -> Ints:
    """The last category token of each item: a path sorts before what lies below it."""
    owner = np.repeat(np.arange(len(token_offsets) - 1), np.diff(token_offsets))
    is_category = kinds[token_ids] == KINDS.index("category")
    found = np.full(len(token_offsets) - 1, -1)
    np.maximum.at(found, owner[is_category], token_ids[is_category])
    return found.astype(np.int32)


def _bands(token_offsets: Offsets, token_ids: NDArray[np.int64], vocabulary: NDArray[np.str_]) -> Floats:
    owner = np.repeat(np.arange(len(token_offsets) - 1), np.diff(token_offsets))
    band = np.array([float(t.removeprefix("price:")) if _PRICE_BAND.match(t) else np.nan for t in vocabulary.tolist()])
    found = np.full(len(token_offsets) - 1, np.nan)
    np.fmax.at(found, owner, band[token_ids])
    return found.astype(np.float32)


def _popular(
    token_offsets: Offsets, token_ids: NDArray[np.int64], tokens: int, popularity: NDArray[np.float64], most: int
) -> tuple[Offsets, Ints]:
    """The `most` most popular items of each token, ties by item order."""
    owner = np.repeat(np.arange(len(token_offsets) - 1), np.diff(token_offsets))
    order = np.lexsort((owner, -popularity[owner], token_ids))
    counts = np.bincount(token_ids, minlength=tokens)
    rank = np.arange(len(order)) - np.repeat(_offsets(counts)[:-1], counts)
    return _offsets(np.minimum(counts, most)), owner[order][rank < most].astype(np.int32)
