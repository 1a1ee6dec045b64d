"""A profile's last session: what the shopper was after when last seen."""

from __future__ import annotations

import numpy as np
import pyarrow

from nightrank.config import Config
from nightrank.models.folding import EVER, Entries, merged, standing
from nightrank.models.ordering import Longs, order_of, ranges
from nightrank.steps.batches import lists_of, times
from nightrank.steps.shopper_log import Facets, Log

MINUTE = 60_000_000  # in microseconds


def last_session(log: Log, facets: Facets, config: Config) -> pyarrow.Array:
    """The last session of each asked profile: when, how many events, and the facets in most of them, ties by token.

    Of the night in which its last events arrived: what a session has of the night before belongs to that night's, so
    that no night needs events of another.
    """
    section = config.user_profiles
    order = order_of(log.shopper, log.night, log.ts)
    first, many = _last_of_each_night(log, order, section.session_minutes * MINUTE)
    held = log.previous["last_session"]
    old = Entries(log.previous_shopper, log.previous_night, np.arange(len(held))[:, None])
    new = Entries(log.shopper[order[first]], log.night[order[first]], len(held) + np.arange(len(first))[:, None])
    sessions = merged(old, new)
    row = standing(sessions, *log.asked, EVER)
    which = sessions.values[row, 0]
    made = np.unique(which[(row >= 0) & (which >= len(held))]) - len(held)
    built = _sessions(log, facets, order, first[made], many[made], section.session_tokens)
    place = np.arange(len(held) + len(first))
    place[len(held) + made] = len(held) + np.arange(len(made))
    return pyarrow.concat_arrays([held.cast(built.type), built]).take(pyarrow.array(place[which], mask=row < 0))


def _last_of_each_night(log: Log, order: Longs, longest_gap: int) -> tuple[Longs, Longs]:
    """Where in `order` each shopper's and night's last session begins, and of how many events it is."""
    shopper, night, ts = log.shopper[order], log.night[order], log.ts[order]
    changes = (np.diff(shopper) != 0) | (np.diff(night) != 0)
    begins = np.flatnonzero(np.concatenate([[True], changes | (np.diff(ts) > longest_gap)])[: len(order)])
    ends = np.append(begins[1:], len(order))[: len(begins)]
    is_last = np.append(changes, True)[ends - 1] if len(begins) else np.zeros(0, dtype=np.bool_)
    return begins[is_last], (ends - begins)[is_last]


def _sessions(log: Log, facets: Facets, order: Longs, first: Longs, many: Longs, most: int) -> pyarrow.Array:
    ts = log.ts[order]
    event = order[ranges(first, many)]
    session = np.full(len(order), -1)
    session[event] = np.repeat(np.arange(len(first)), many)
    of_facet = session[facets.event]
    size = max(len(facets.names), 1)
    key, found = np.unique((of_facet * size + facets.code)[of_facet >= 0], return_counts=True)
    ranked = order_of(key // size, -found, key % size)
    sizes = np.bincount(key // size, minlength=len(first))
    rank = np.arange(len(key)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = ranked[rank < most]
    columns = {"token": facets.names.take(pyarrow.array(key[kept] % size)), "events": pyarrow.array(found[kept])}
    tokens = lists_of(columns, np.minimum(sizes, most))
    parts = [times(ts[first]), times(ts[first + many - 1]), pyarrow.array(many), tokens]
    return pyarrow.StructArray.from_arrays(parts, ["started", "ended", "events", "tokens"])
