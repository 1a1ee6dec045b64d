"""What the tables of a night and the work of its stages grow with: the shop's sizes, its settings, a power of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nightrank.config import Config

Constants = Mapping[str, Any]


@dataclass(frozen=True)
class Sizes:
    """A shop: shoppers with a profile, items on sale, events and searches a night, distinct queries in their window.

    nights: of events like these behind the tables. slate: results a search shows; dims: of the item tower.
    changed_items and new_queries: how many texts a night are encoded for the first time.
    """

    shoppers: float
    items: float
    events: float
    searches: float
    queries: float
    nights: float
    slate: float
    dims: float
    changed_items: float = 0.0
    new_queries: float = 0.0


Drives = Callable[[Sizes, Config, Constants], float]


@dataclass(frozen=True)
class Drivers:
    """What a table's rows, its bytes (as many as its rows, by default) and its stage's work (so too) grow with."""

    rows: Drives
    bytes: Drives | None = None
    work: Drives | None = None

    def of(self, figure: str) -> Drives:
        """The driver of a figure: `rows`, `bytes`, `served_bytes`, `shuffle_bytes` or `core_seconds`."""
        if figure == "rows":
            return self.rows
        if figure in {"bytes", "served_bytes"}:
            return self.bytes or self.rows
        return self.work or self.bytes or self.rows


def pairs(sizes: Sizes, config: Config, constants: Constants) -> float:
    """Rows of item_neighbours: each item, and the items met with it: a power of the events an item, at most all."""
    events_an_item = sizes.events * min(sizes.nights, config.item_neighbours.forget_nights) / sizes.items
    factor, exponent = constants["neighbours"]
    return float(sizes.items * (1 + min(factor * events_an_item**exponent, sizes.items - 1)))


def _examples(sizes: Sizes, config: Config, _: Constants) -> float:
    section = config.training_examples
    return sizes.searches * section.share_of_searches * min(section.window_nights, sizes.nights)


def _judged(sizes: Sizes, config: Config, _: Constants) -> float:
    section = config.evaluations
    return min(sizes.searches * section.share_of_searches, section.max_searches)


def _gated(sizes: Sizes, config: Config, _: Constants) -> float:
    of_a_night = sizes.searches * config.gates.share_of_searches
    nights = min(config.training_examples.held_out_nights, sizes.nights)
    return min(of_a_night * nights, config.gates.max_searches)


def _slots(nights: Callable[[Config], float]) -> Drives:
    """Results shown in so many nights."""
    return lambda sizes, config, _: sizes.searches * sizes.slate * min(nights(config), sizes.nights)


def _nothing(_: Sizes, __: Config, ___: Constants) -> float:
    return 0.0


def _of(name: str) -> Drives:
    return lambda sizes, _, __: float(getattr(sizes, name))


# Not of `people`: it is made for shops that link ids, and nobody's night with it was measured yet.
DRIVERS: Mapping[str, Drivers] = {
    "items": Drivers(_of("items")),
    "events": Drivers(_of("events")),
    "manifest": Drivers(_nothing, work=_of("events")),
    "searches": Drivers(_of("searches"), bytes=_slots(lambda _: 1)),
    "query_classes": Drivers(_of("queries"), work=_slots(lambda config: config.query_classes.window_nights)),
    "user_profiles": Drivers(_of("shoppers"), work=lambda sizes, _, __: sizes.shoppers + sizes.events),
    "item_neighbours": Drivers(pairs, work=lambda *of: pairs(*of) + of[0].events),
    "segments": Drivers(_nothing, work=_of("shoppers")),
    "item_embeddings": Drivers(_of("changed_items")),
    "query_embeddings": Drivers(_of("new_queries")),
    "propensities": Drivers(_nothing, work=_slots(lambda config: config.propensities.window_nights)),
    "training_examples": Drivers(_examples),
    "ranker_runs": Drivers(_nothing, work=_examples),
    "item_tokens": Drivers(_of("items")),
    "gates": Drivers(_nothing, work=_gated),
    "evaluations": Drivers(_judged),
    "promotions": Drivers(_nothing, work=_judged),
    "rerank_weights": Drivers(_of("shoppers")),
}
