"""A profile's decayed states: facets liked and disliked, items taken and seen, prices, how much was done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray

from nightrank.config import Config
from nightrank.models.folding import (
    UNIT,
    Entries,
    fold,
    kept_shares,
    nightly_sums,
    standing,
    standing_by_group,
)
from nightrank.models.ordering import Longs
from nightrank.sections import UserProfilesConfig
from nightrank.steps.batches import dates, doubles, flat, lists_of, longs, sorted_codes
from nightrank.steps.shopper_log import Facets, Log, hours_old, is_take, nights_late, units_of

VIEW = "view"
BANDS = ("seen", "seen_bands", "taken", "taken_bands")


@dataclass(frozen=True)
class Added:
    """What events add to names of their shoppers: a row an event and name, its number in names.

    amounts: what each event of the log adds, (events, m) in millionths; nothing where the first is 0.
    """

    event: Longs
    name: Longs
    names: Any
    amounts: NDArray[np.int64]


@dataclass(frozen=True)
class States:
    """How a column of states is folded: its name, its values' names, and what is kept of each (m, forget + 2)."""

    column: str
    name: str
    values: tuple[str, ...]
    kept: NDArray[np.float64]


def affinities(log: Log, facets: Facets, config: Config) -> pyarrow.Array:
    """Each asked profile's facets: what its items had on arrival, weighed by the action, with three half-lives.

    value and value_season fade by nights, value_short by hours: to midnight after the night of arrival, then by nights.
    """
    section = config.user_profiles
    units = units_of(log, config.events.action_weights)
    by_hour = kept_shares(section.short_half_life_hours, 24 * section.forget_nights)
    amounts = [
        late_amounts(log, units, section.half_life_nights, section),
        np.rint(units * by_hour[np.minimum(hours_old(log), len(by_hour) - 1)]).astype(np.int64),
        late_amounts(log, units, section.season_half_life_nights, section),
    ]
    half_lives = section.half_life_nights, section.short_half_life_hours / 24, section.season_half_life_nights
    kept = np.stack([kept_shares(half_life, section.forget_nights) for half_life in half_lives])
    states = States("affinities", "token", ("value", "value_short", "value_season"), kept)
    return folded(log, states, Added(facets.event, facets.code, facets.names, np.stack(amounts, axis=1)))


def own_items(log: Log, _: Facets, config: Config) -> pyarrow.Array:
    """Each asked profile's taken items."""
    section = config.user_profiles
    amount = late_amounts(log, units_of(log, config.events.action_weights), section.half_life_nights, section)
    return folded(log, plain_states("own_items", "item_id", section), _of_items(log, amount * is_take(log, config)))


def dislikes(log: Log, facets: Facets, config: Config) -> pyarrow.Array:
    """Each asked profile's facets of what was hidden or disliked."""
    section = config.user_profiles
    amount = late_amounts(log, units_of(log, section.dislike_weights), section.half_life_nights, section)
    added = Added(facets.event, facets.code, facets.names, amount[:, None])
    return folded(log, plain_states("dislikes", "token", section), added)


def seen_items(log: Log, _: Facets, config: Config) -> pyarrow.Array:
    """Each asked profile's viewed items and how often: nothing fades, but after seen_forget_nights it is forgotten."""
    seen = units_of(log, {VIEW: 1.0})
    kept = np.array([[*[1.0] * (config.user_profiles.seen_forget_nights + 1), 0.0]])
    return folded(log, States("seen_items", "item_id", ("value",), kept), _of_items(log, seen))


def price_positions(log: Log, facets: Facets, config: Config) -> pyarrow.Array:
    """Each asked profile's price bands by category: decayed weights and weighted sums of bands, of all and of takes.

    taken_bands / taken - seen_bands / seen is by how many bands the shopper's takes are dearer than what he or she
    looks at in the category: an item's narrowest one, so far as items have a price band.
    """
    section = config.user_profiles
    amount = late_amounts(log, units_of(log, config.events.action_weights), section.half_life_nights, section)
    event = np.flatnonzero((facets.category >= 0) & facets.has_band)
    of_take = amount * is_take(log, config)
    amounts = np.stack([amount, amount * facets.band, of_take, of_take * facets.band], axis=1)
    kept = np.repeat(plain_states("", "", section).kept, len(BANDS), axis=0)
    added = Added(event, facets.category[event], facets.names, amounts)
    return folded(log, States("price_positions", "token", BANDS, kept), added)


def effective_events(log: Log, _: Facets, config: Config) -> pyarrow.Array:
    """How many events each asked profile has, decayed: value and touched; NULL where there were none for long."""
    section = config.user_profiles
    amount = late_amounts(log, np.full(len(log.night), round(UNIT)), section.half_life_nights, section)
    held = log.previous["effective_events"]
    known = pyarrow.array(held.is_valid())
    previous = Entries(
        log.previous_shopper[np.asarray(known)],
        longs(held.field("touched").filter(known)),
        doubles(held.field("value").filter(known))[:, None],
    )
    kept = kept_shares(section.half_life_nights, section.forget_nights)[None, :]
    entries = fold(previous, nightly_sums(log.shopper, log.night, amount[:, None]), kept)
    row = standing(entries, *log.asked, section.forget_nights)
    columns = [pyarrow.array(entries.values[row, 0]), dates(entries.night[row])]
    return pyarrow.StructArray.from_arrays(columns, ["value", "touched"], mask=pyarrow.array(row < 0))


def late_amounts(log: Log, units: Longs, half_life_nights: float, section: UserProfilesConfig) -> Longs:
    """What each event weighs, in millionths: its units, decayed by the nights that it came late."""
    kept = kept_shares(half_life_nights, section.forget_nights)
    late = np.minimum(nights_late(log), len(kept) - 1)
    return np.rint(units * kept[late]).astype(np.int64)


def plain_states(column: str, name: str, section: UserProfilesConfig) -> States:
    """States of one value, which fades by nights."""
    return States(column, name, ("value",), kept_shares(section.half_life_nights, section.forget_nights)[None, :])


def _of_items(log: Log, amount: Longs) -> Added:
    return Added(np.arange(len(log.item)), log.item, log.item_ids, amount[:, None])


def folded(log: Log, states: States, added: Added) -> pyarrow.Array:
    """The states of each asked profile, by name: the snapshot's, and what was added since, where it weighs anything."""
    held, many = flat(log.previous[states.column])
    (held_names, number), names = sorted_codes(held.field(states.name), added.names)
    previous = Entries(
        np.repeat(log.previous_shopper, many) * len(names) + held_names,
        longs(held.field("touched")),
        np.stack([doubles(held.field(value)) for value in states.values], axis=1),
    )
    weighs = (added.amounts[:, 0] > 0)[added.event]
    event = added.event[weighs]
    key = log.shopper[event] * len(names) + number[added.name[weighs]]
    entries = fold(previous, nightly_sums(key, log.night[event], added.amounts, of=event), states.kept)
    row, sizes = standing_by_group(entries, len(names), *log.asked, states.kept.shape[1] - 2)
    values = {name: pyarrow.array(entries.values[row, n]) for n, name in enumerate(states.values)}
    name = names.take(pyarrow.array(entries.key[row] % max(len(names), 1)))
    return lists_of({states.name: name, **values, "touched": dates(entries.night[row])}, sizes)
