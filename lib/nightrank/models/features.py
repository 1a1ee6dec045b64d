"""What a shopper's profile says of items: the shopper features of training and of the row compiler, one function.

Order of the columns: feature_names.PROFILE_FEATURES, which begin with the affinity sums of catalogue.KINDS and end with
the same sums over what was looked at: how much a look says of taste is learned, as shops differ in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightrank.models.catalogue import KINDS, Catalogue, positions
from nightrank.models.habits import NO_HABITS, Habits
from nightrank.models.sequences import NOTHING_TAKEN, Taken

# Pseudo-takes added to the sum of a kind, so that one event does not make a shopper all of one brand.
SMOOTHING = 5.0
# A logarithm counts weights of neighbours in this: what one sequence of two items weighs that a hundred took each.
NEIGHBOUR_UNIT = 0.01
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Shopper:
    """A profile at one moment, its values decayed to it.

    tokens, shares: index into the vocabulary, and the share of the shopper's weight within the token's kind that is
    above (or below) what everybody takes of it. seen_tokens, seen_shares: the same of what was looked at, each look
    weighing 1.
    own, own_values: items taken before and log(1 + decayed takes). recent, recent_weights: distinct recent items,
    newest first, and their weight. near, near_weights: neighbours of the recent items, in item order; next_items,
    next_weights: those of the newest alone.
    taken: the last takes in order, not distinct: what a shopper tower reads. habits: as of the day that is served.
    """

    tokens: Indices
    shares: Floats
    own: Indices
    own_values: Floats
    recent: Indices
    recent_weights: Floats
    near: Indices
    near_weights: Floats
    next_items: Indices
    next_weights: Floats
    seen_tokens: Indices
    seen_shares: Floats
    taken: Taken = NOTHING_TAKEN
    habits: Habits = NO_HABITS


def make_shopper(
    catalogue: Catalogue,
    affinity_tokens: Sequence[str],
    affinity_values: Sequence[float],
    own_item_ids: Sequence[str],
    own_item_values: Sequence[float],
    recent_item_ids: Sequence[str],
    recent_decay: float,
    taken: Taken = NOTHING_TAKEN,
    habits: Habits = NO_HABITS,
) -> Shopper:
    """The shopper in the catalogue's terms; tokens and items that it no longer holds are left out.

    The k-th of the recent items (from 0) weighs recent_decay ** k.
    """
    told, values = _known(catalogue.vocabulary, affinity_tokens, np.asarray(affinity_values, dtype=np.float64))
    tokens, shares = _shares(catalogue, told, values)
    looks, seen = tokens_of(catalogue, habits.seen)
    seen_tokens, seen_shares = _shares(catalogue, seen, np.expm1(habits.seen_values)[looks])
    own, own_values = _known(catalogue.item_ids, own_item_ids, np.log1p(np.asarray(own_item_values, dtype=np.float64)))
    decays = recent_decay ** np.arange(len(recent_item_ids), dtype=np.float64)
    recent, recent_weights = _known(catalogue.item_ids, recent_item_ids, decays)
    near = _near(catalogue, recent, recent_weights)
    following = _near(catalogue, recent[:1], np.ones(1))
    of_looks = seen_tokens, seen_shares
    return Shopper(tokens, shares, own, own_values, recent, recent_weights, *near, *following, *of_looks, taken, habits)


def shopper_features(catalogue: Catalogue, shopper: Shopper, items: Indices) -> Floats:
    """float64 [items, len(PROFILE_FEATURES)]: affinity sums by kind, own takes, and what is taken after recent items.

    items: positions in the catalogue; -1 (unknown) gives zeros. neighbours: summed over the recent items, as they
    weigh; next_item: of the newest alone. An item's neighbours are above all what is taken after it: what is taken
    before it counts item_neighbours.backward times that. own_item: log(1 + takes); taken_before: 1 for any at all, as
    from none to one is another step than from one to two. category_due: summed over the item's categories.
    """
    owner, tokens = tokens_of(catalogue, items)
    by_kind, seen_by_kind = (
        _sums_by_kind(catalogue, owner, tokens, _looked_up(*shares, tokens), len(items))
        for shares in ((shopper.tokens, shopper.shares), (shopper.seen_tokens, shopper.seen_shares))
    )
    near = _looked_up(shopper.near, shopper.near_weights, items)
    following = _looked_up(shopper.next_items, shopper.next_weights, items)
    own = _looked_up(shopper.own, shopper.own_values, items)
    logs = [np.log1p(weights / NEIGHBOUR_UNIT) for weights in (near, following)]
    habits = shopper.habits
    due = _looked_up(habits.due_items, habits.item_due, items)
    by_token = _looked_up(habits.due_categories, habits.category_due, tokens)
    category_due = np.bincount(owner, weights=by_token, minlength=len(items))
    seen, price = _looked_up(habits.seen, habits.seen_values, items), _usual_price(catalogue, habits, items)
    told = [near, own, own > 0, logs[0], following, logs[1], due, category_due, price, seen]
    return np.column_stack([by_kind, *told, seen_by_kind])


def _sums_by_kind(catalogue: Catalogue, owner: Indices, tokens: Indices, shares: Floats, items: int) -> Floats:
    """The sum over each item's named tokens, a kind at a time: float64 [items, len(KINDS)]."""
    named = catalogue.kinds[tokens] >= 0
    cell = owner[named] * len(KINDS) + catalogue.kinds[tokens[named]]
    sums: Floats = np.bincount(cell, weights=shares[named], minlength=items * len(KINDS)).astype(np.float64)
    return sums.reshape(items, len(KINDS))


def _usual_price(catalogue: Catalogue, habits: Habits, items: Indices) -> Floats:
    """known * exp(-|band - the shopper's usual band in the item's category|): 1 for what is always paid there.

    0 where nothing was taken in the category, or the item has no category or price. A band is a doubling of the price,
    or what items.price_bands_per_doubling makes of it.
    """
    category = np.where(items >= 0, catalogue.category[items], -1)
    usual = _looked_up(habits.priced, habits.usual_band, category)
    known = _looked_up(habits.priced, habits.band_known, category)
    away = np.abs(catalogue.band[items].astype(np.float64) - usual)
    return np.where(np.isnan(away), 0.0, known * np.exp(-away))


def tokens_of(catalogue: Catalogue, items: Indices) -> tuple[Indices, Indices]:
    """The tokens of items as two flat arrays: row in `items`, token; unknown items (-1) have none."""
    known = np.flatnonzero(items >= 0)
    starts = catalogue.token_offsets[items[known]]
    lengths = catalogue.token_offsets[items[known] + 1] - starts
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    tokens = catalogue.token_ids[np.repeat(starts, lengths) + within]
    return np.repeat(known, lengths), tokens.astype(np.int64)


def _shares(catalogue: Catalogue, tokens: Indices, values: Floats) -> tuple[Indices, Floats]:
    """(w - W expected) / (W + SMOOTHING), W the shopper's weight of the kind: Dirichlet posterior less its prior.

    So a shopper who takes what everybody takes has shares near 0, however much was taken: popularity is no taste.
    tokens: index into the vocabulary, a token once or more, each time with its part of w; the result: each once.
    """
    known, at = np.unique(tokens, return_inverse=True)
    weights = np.bincount(at, weights=values, minlength=len(known))
    kinds = catalogue.kinds[known]
    totals = np.zeros(len(KINDS) + 1)
    np.add.at(totals, kinds, weights)
    above = weights - totals[kinds] * catalogue.expected[known]
    return known.astype(np.int64), above / (totals[kinds] + SMOOTHING)


def _known(sorted_ids: NDArray[np.str_], wanted: Sequence[str], values: Floats) -> tuple[Indices, Floats]:
    found = positions(sorted_ids, np.asarray(wanted, dtype=np.str_))
    return found[found >= 0], values[found >= 0]


def _near(catalogue: Catalogue, recent: Indices, weights: Floats) -> tuple[Indices, Floats]:
    """Neighbours of the recent items with their summed weights, in item order."""
    if not len(recent):
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    spans = [slice(catalogue.neighbour_offsets[i], catalogue.neighbour_offsets[i + 1]) for i in recent]
    ids = np.concatenate([catalogue.neighbour_ids[s] for s in spans])
    each = np.concatenate(
        [w * catalogue.neighbour_weights[s].astype(np.float64) for w, s in zip(weights, spans, strict=True)]
    )
    near, inverse = np.unique(ids, return_inverse=True)
    return near.astype(np.int64), np.bincount(inverse, weights=each, minlength=len(near)).astype(np.float64)


def _looked_up(keys: Indices, values: Floats, wanted: NDArray[np.integer]) -> Floats:
    """The value of each wanted key, 0 where it is missing; keys need not be sorted."""
    if not len(keys):
        return np.zeros(len(wanted))
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.where(ordered[at] == wanted, values[order][at], 0.0)
