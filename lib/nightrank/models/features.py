"""What a shopper's profile says of items: the shopper features of training and of the row compiler, one function.

Order of the columns: feature_names.PROFILE_FEATURES, which begin with the affinity sums of catalogue.KINDS.
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
    above (or below) what everybody takes of it.
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
    tokens, shares = _shares(catalogue, affinity_tokens, affinity_values)
    own, own_values = _known(catalogue.item_ids, own_item_ids, np.log1p(np.asarray(own_item_values, dtype=np.float64)))
    decays = recent_decay ** np.arange(len(recent_item_ids), dtype=np.float64)
    recent, recent_weights = _known(catalogue.item_ids, recent_item_ids, decays)
    near = _near(catalogue, recent, recent_weights)
    following = _near(catalogue, recent[:1], np.ones(1))
    return Shopper(tokens, shares, own, own_values, recent, recent_weights, *near, *following, taken, habits)


def shopper_features(catalogue: Catalogue, shopper: Shopper, items: Indices) -> Floats:
    """float64 [items, len(PROFILE_FEATURES)]: affinity sums by kind, own takes, and what is taken after recent items.

    items: positions in the catalogue; -1 (unknown) gives zeros. neighbours: summed over the recent items, as they
    weigh; next_item: of the newest alone. An item's neighbours are above all what is taken after it: what is taken
    before it counts item_neighbours.backward times that. category_due: summed over the item's categories.
    """
    owner, tokens = tokens_of(catalogue, items)
    shares = _looked_up(shopper.tokens, shopper.shares, tokens)
    named = catalogue.kinds[tokens] >= 0
    cell = owner[named] * len(KINDS) + catalogue.kinds[tokens[named]]
    sums = np.bincount(cell, weights=shares[named], minlength=len(items) * len(KINDS))
    near = _looked_up(shopper.near, shopper.near_weights, items)
    following = _looked_up(shopper.next_items, shopper.next_weights, items)
    own = _looked_up(shopper.own, shopper.own_values, items)
    logs = [np.log1p(weights / NEIGHBOUR_UNIT) for weights in (near, following)]
    by_kind, habits = sums.reshape(len(items), len(KINDS)), shopper.habits
    due = _looked_up(habits.due_items, habits.item_due, items)
    by_token = _looked_up(habits.due_categories, habits.category_due, tokens)
    category_due = np.bincount(owner, weights=by_token, minlength=len(items))
    seen, price = _looked_up(habits.seen, habits.seen_values, items), _usual_price(catalogue, habits, items)
    return np.column_stack([by_kind, near, own, logs[0], following, logs[1], due, category_due, price, seen])


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


def _shares(catalogue: Catalogue, tokens: Sequence[str], values: Sequence[float]) -> tuple[Indices, Floats]:
    """(w - W expected) / (W + SMOOTHING), W the shopper's weight of the kind: Dirichlet posterior less its prior.

    So a shopper who takes what everybody takes has shares near 0, however much was taken: popularity is no taste.
    """
    known, weights = _known(catalogue.vocabulary, tokens, np.asarray(values, dtype=np.float64))
    kinds = catalogue.kinds[known]
    totals = np.zeros(len(KINDS) + 1)
    np.add.at(totals, kinds, weights)
    order = np.argsort(known, kind="stable")
    above = weights - totals[kinds] * catalogue.expected[known]
    return known[order], (above / (totals[kinds] + SMOOTHING))[order]


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
