"""Lines through measured nights, and how far a night lies off them."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

from nightrank.config import Config
from nightrank.plan import figure_of
from nightrank.plan_drivers import DRIVERS, Constants, Sizes

FIGURES = ("rows", "bytes", "served_bytes", "shuffle_bytes", "core_seconds")
CORES = 2
MANY_TIMES = 10
Night = Mapping[str, float]


def sizes_of(night: Night) -> Sizes:
    """The sizes of a measured night's shop."""
    return Sizes(**{name.removeprefix("size_"): value for name, value in night.items() if name.startswith("size_")})


def lines_through(small: Night, large: Night, bulk: Night, config: Config) -> Constants:
    """The constants that say of both nights what was measured.

    bulk: figures of PART=raw of bench-prepare, a night that takes in MANY_TIMES what a night does. The core-seconds of
    its stages are then the upper ends of their lines. As it writes some snapshots more, those are steep.
    """
    known: dict[str, Any] = {
        "source": "make bench-sizing",
        "dims": sizes_of(large).dims,
        "sizes": [vars(sizes_of(night)) for night in (small, large)],
        "bulk_events": bulk["size_events"],
        "neighbours": _neighbours(large, bulk),
    }
    lines = {
        stage: {figure: _line(stage, figure, small, large, config, known) for figure in FIGURES} for stage in DRIVERS
    }
    load = {**large, **bulk, "size_nights": 1.0}
    for stage in (name.removeprefix("share_") for name in bulk if name.startswith("share_")):
        load[f"core_seconds.{stage}"] = CORES * bulk["seconds_stages"] * bulk[f"share_{stage}"]
        drives = DRIVERS[stage].of("core_seconds")
        if drives(sizes_of(load), config, known) > MANY_TIMES * drives(sizes_of(large), config, known):
            lines[stage]["core_seconds"] = _line(stage, "core_seconds", small, load, config, known)
    return {**known, "tables": lines}


def _line(stage: str, figure: str, small: Night, large: Night, config: Config, known: Constants) -> list[float]:
    """What the figure is without its driver, and how much a unit of it adds; neither is negative."""
    drives = DRIVERS[stage].of(figure)
    a, b = (drives(sizes_of(night), config, known) for night in (small, large))
    y, z = (night[f"{figure}.{stage}"] for night in (small, large))
    if a == b:
        return [0.0, z / b] if b else [z, 0.0]
    slope = max((z - y) / (b - a), 0.0)
    fixed = y - slope * a
    return [fixed, slope] if fixed >= 0 else [0.0, z / b]


def _neighbours(night: Night, bulk: Night) -> tuple[float, float]:
    """Neighbours of an item = factor * (events an item) ** exponent, in the night and exactly in the bulk load.

    The exponent is at most 1: an event adds no more new pairs later than it does at first.
    """
    size = sizes_of(night)
    a, y = size.events * size.nights / size.items, night["rows.item_neighbours"] / size.items - 1
    b, z = bulk["size_events"] / bulk["size_items"], bulk["pairs"] / bulk["size_items"] - 1
    exponent = min(log(z / y) / log(b / a), 1.0) if b > a else 1.0
    return z / b**exponent, exponent


def wrong_by(night: Night, lines: Constants, config: Config) -> dict[str, float]:
    """By which share of what was measured the lines are wrong, for each `<figure>.<table>` that was not zero."""
    sizes, found = sizes_of(night), {}
    for stage in DRIVERS:
        for figure in FIGURES:
            measured = night[f"{figure}.{stage}"]
            if measured:
                found[f"{figure}.{stage}"] = figure_of(stage, figure, sizes, config, lines) / measured - 1
    return found
