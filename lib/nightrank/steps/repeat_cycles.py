"""A profile's repeat cycles: what is bought again, and how regularly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow

from nightrank.config import Config
from nightrank.models.cycles import first_buys, fold_buys
from nightrank.models.folding import Entries, standing_by_group
from nightrank.models.ordering import Longs
from nightrank.steps.batches import dates, flat, lists_of, longs, sorted_codes
from nightrank.steps.shopper_log import Facets, Log, day_of, units_of

SUMS = ("buys", "days", "squared_days", "last")


def item_cycles(log: Log, _: Facets, config: Config) -> pyarrow.Array:
    """Each asked profile's cycle of each bought item."""
    bought = _bought(log, config)
    states = "item_cycles", "item_id"
    return _cycles(log, states, bought, log.item[bought], log.item_ids, config)


def category_cycles(log: Log, facets: Facets, config: Config) -> pyarrow.Array:
    """Each asked profile's cycle of each category that was bought from: an item's narrowest one."""
    bought = _bought(log, config)
    bought = bought[facets.category[bought] >= 0]
    states = "category_cycles", "token"
    return _cycles(log, states, bought, facets.category[bought], facets.names, config)


def _bought(log: Log, config: Config) -> Longs:
    return np.flatnonzero(units_of(log, dict.fromkeys(config.user_profiles.cycle_actions, 1.0)))


def _cycles(
    log: Log, states: tuple[str, str], event: Longs, bought: Longs, bought_names: Any, config: Config
) -> pyarrow.Array:
    """states: the column and its name; what each event bought is the number `bought` in bought_names."""
    column, name = states
    forget = config.user_profiles.forget_nights
    held, many = flat(log.previous[column])
    (held_names, number), names = sorted_codes(held.field(name), bought_names)
    previous = Entries(
        np.repeat(log.previous_shopper, many) * len(names) + held_names,
        longs(held.field("touched")),
        np.stack([longs(held.field(part)) for part in SUMS], axis=1),
    )
    key = log.shopper[event] * len(names) + number[bought]
    cycles = fold_buys(previous, first_buys(key, log.night[event], day_of(log)[event]), forget)
    row, sizes = standing_by_group(cycles, len(names), *log.asked, forget)
    buys, days, squared, last = cycles.values[row].T
    columns = {
        name: names.take(pyarrow.array(cycles.key[row] % max(len(names), 1))),
        **{part: pyarrow.array(sums) for part, sums in zip(SUMS, (buys, days, squared), strict=False)},
        "last": dates(last),
        "touched": dates(cycles.night[row]),
    }
    return lists_of(columns, sizes)
