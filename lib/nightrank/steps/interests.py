"""A profile's decayed states: the facets that a shopper's actions weigh, and the items taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow

from nightrank.config import Config
from nightrank.models.folding import Doubles, Entries, Longs, fold, kept_shares, nightly_sums, standing_by_group
from nightrank.steps.batches import dates, doubles, flat, lists_of, longs, sorted_codes
from nightrank.steps.shopper_log import Log, is_take, nights_late, units_of


@dataclass(frozen=True)
class Added:
    """What events add to names of their shoppers: one row an event and name."""

    event: Longs
    name: Any
    amount: Longs


def affinities(log: Log, config: Config) -> pyarrow.Array:
    """Each asked profile's facets: what its items had on arrival, weighed by the action."""
    amount = event_amounts(log, config)
    tokens, many = flat(log.events["facets"])
    event = np.repeat(np.arange(len(amount)), many)
    return folded_states(log, "affinities", "token", Added(event, tokens, amount[event]), config)


def own_items(log: Log, config: Config) -> pyarrow.Array:
    """Each asked profile's taken items."""
    taken = np.flatnonzero(is_take(log, config))
    items = log.events["item_id"].take(pyarrow.array(taken))
    return folded_states(log, "own_items", "item_id", Added(taken, items, event_amounts(log, config)[taken]), config)


def event_amounts(log: Log, config: Config) -> Longs:
    """What each event weighs, in millionths: its action's weight, decayed by the nights that it came late."""
    section = config.user_profiles
    units = units_of(log, config.events.action_weights)
    kept = kept_shares(section.half_life_nights, section.forget_nights)
    late = np.minimum(nights_late(log), len(kept) - 1)
    return np.rint(units * kept[late]).astype(np.int64)


def folded_states(log: Log, column: str, name: str, added: Added, config: Config) -> pyarrow.Array:
    """The states `column` of each asked profile, sorted by `name`: the snapshot's, and what was added since."""
    section = config.user_profiles
    held, many = flat(log.previous[column])
    (held_names, new_names), names = sorted_codes(held.field(name), added.name)
    previous = Entries(
        np.repeat(log.previous_shopper, many) * len(names) + held_names,
        longs(held.field("touched")),
        doubles(held.field("value"))[:, None],
    )
    counts = added.amount > 0
    event = added.event[counts]
    key = log.shopper[event] * len(names) + new_names[counts]
    new = nightly_sums(key, log.night[event], added.amount[counts][:, None])
    kept = kept_shares(section.half_life_nights, section.forget_nights)[None, :]
    states = fold(previous, new, kept)
    row, sizes = standing_by_group(states, len(names), *log.asked, section.forget_nights)
    return lists_of(_columns(name, names, states, row), sizes)


def _columns(name: str, names: Any, states: Entries, row: Longs) -> dict[str, Any]:
    value: Doubles = states.values[row, 0]
    return {
        name: names.take(pyarrow.array(states.key[row] % max(len(names), 1))),
        "value": pyarrow.array(value),
        "touched": dates(states.night[row]),
    }
