"""A profile's evidence: how much is known of a shopper, since when, and what was taken last."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow

from nightrank.config import Config
from nightrank.models.folding import EVER, Entries, by_night, merged, standing, successors
from nightrank.models.ordering import Longs, order_of, ranges
from nightrank.steps.batches import flat, lists_of, longs, sorted_codes, times
from nightrank.steps.shopper_log import Facets, Log, is_take

FIGURES = ("events", "takes", "nights", "first_ts", "last_ts")


def evidence(log: Log, config: Config) -> dict[str, Any]:
    """FIGURES of each asked profile; NULL where nothing had arrived by its date.

    nights: in how many something arrived. A late event counts in the night that it arrived in.
    """
    held = np.stack([longs(log.previous[name]) for name in FIGURES], axis=1)
    entries = merged(Entries(log.previous_shopper, log.previous_night, held), _nightly(log, config))
    figures = entries.values
    for at in successors(entries.key):
        figures[at, :3] += figures[at - 1, :3]
        figures[at, 3] = np.minimum(figures[at, 3], figures[at - 1, 3])
        figures[at, 4] = np.maximum(figures[at, 4], figures[at - 1, 4])
    row = standing(entries, *log.asked, EVER)
    columns = {name: pyarrow.array(figures[row, n], mask=row < 0) for n, name in enumerate(FIGURES)}
    utc = pyarrow.timestamp("us", tz="UTC")
    return {name: column.cast(utc) if name.endswith("_ts") else column for name, column in columns.items()}


def _nightly(log: Log, config: Config) -> Entries:
    """FIGURES of each shopper and night."""
    order, first = by_night(log.shopper, log.night)
    ts = log.ts[order]
    taken = is_take(log, config)[order].astype(np.int64)
    many = np.diff(first, append=len(order))
    if not len(order):
        return Entries(order, order, np.zeros((0, len(FIGURES)), dtype=np.int64))
    times_of = [np.minimum.reduceat(ts, first), np.maximum.reduceat(ts, first)]
    figures = np.stack([many, np.add.reduceat(taken, first), np.ones_like(many), *times_of], axis=1)
    return Entries(log.shopper[order[first]], log.night[order[first]], figures)


def recent(log: Log, _: Facets, config: Config) -> pyarrow.Array:
    """The newest distinct takes of each asked profile, newest first, ties by item and action.

    The latest of last night's latest and tonight's are the latest of all.
    """
    taken = np.flatnonzero(is_take(log, config))
    held, many = flat(log.previous["recent"])
    (held_items, new_item), item_ids = sorted_codes(held.field("item_id"), log.item_ids)
    (held_actions, new_action), actions = sorted_codes(held.field("action"), log.actions)
    shopper = np.concatenate([np.repeat(log.previous_shopper, many), log.shopper[taken]])
    night = np.concatenate([np.repeat(log.previous_night, many), log.night[taken]])
    ts = np.concatenate([longs(held.field("ts")), log.ts[taken]])
    item = np.concatenate([held_items, new_item[log.item[taken]]])
    action = np.concatenate([held_actions, new_action[log.action[taken]]])
    row = _distinct(shopper, -ts, item, action, night)
    at, sizes = _newest(shopper[row], night[row], log.asked, config.user_profiles.recent)
    row = row[at]
    columns = {
        "ts": times(ts[row]),
        "item_id": item_ids.take(pyarrow.array(item[row])),
        "action": actions.take(pyarrow.array(action[row])),
    }
    return lists_of(columns, sizes)


def _distinct(*keys_and_night: Longs) -> Longs:
    """Rows in order of the keys, one of each: that of the first night."""
    *keys, _ = keys_and_night
    order = order_of(*keys_and_night)
    changes = np.zeros(len(order), dtype=np.bool_)
    for key in keys:
        changes[1:] |= key[order][1:] != key[order][:-1]
    changes[:1] = True
    return order[changes]


def _newest(shopper: Longs, night: Longs, asked: tuple[Longs, Longs], most: int) -> tuple[Longs, Longs]:
    """The first `most` rows of each asked shopper that had arrived by its date, and how many they are."""
    who, as_of = asked
    first = np.searchsorted(shopper, who)
    many = np.searchsorted(shopper, who, side="right") - first
    row, of = ranges(first, many), np.repeat(np.arange(len(who)), many)
    known = night[row] <= as_of[of]
    row, of = row[known], of[known]
    found = np.bincount(of, minlength=len(who))
    rank = np.arange(len(row)) - np.repeat(np.cumsum(found) - found, found)
    return row[rank < most], np.minimum(found, most)
