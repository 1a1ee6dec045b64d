"""What a shopper's log says of their tastes at best: the posterior under the simulated shop's own model.

Everything but the tastes is given: items' qualities, how far down people look, what a search asks for, whether and when
the shopper's tastes changed. Tastes are drawn by Gibbs sampling (Geman & Geman 1984), one favourite at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightrank.shop import planted
from nightrank.shop.draws import pick, sigmoid
from nightrank.shop.logs import CLICK, NO_SEARCH, DayLog
from nightrank.shop.utility import intent, position_curve
from nightrank.shop.world import Shop

Doubles, Ints = NDArray[np.float64], NDArray[np.int64]
SWEEPS, BURN_IN = 40, 10
BOT = planted.KINDS.index("bot")


@dataclass(frozen=True)
class Seen:
    """What a shopper was shown and took. items, looked_at, appeal, clicked: [n], one a slot of a slate.

    looked_at: the chance that the slot was; appeal: log-odds of a click but for taste. browsed: [m] items.
    """

    items: Ints
    looked_at: Doubles
    appeal: Doubles
    clicked: NDArray[np.bool_]
    browsed: Ints


@dataclass(frozen=True)
class Favourite:
    """One of a shopper's favourites. worth: [options, items] what each option adds to the utility of each item.

    unlike: which other favourites have another option.
    """

    worth: Doubles
    unlike: tuple[int, ...]


def favourites_of(shop: Shop) -> list[Favourite]:
    """Brand, second brand, two categories, price band, three words."""
    traits = shop.traits
    brand, category, band = (_one_hot(trait[:, None]) for trait in (traits.brand, traits.category, traits.band))
    word = _one_hot(traits.words)
    return [
        Favourite(planted.BRAND * brand, (1,)),
        Favourite(planted.SECOND_BRAND * brand, (0,)),
        Favourite(planted.CATEGORY * category, (3,)),
        Favourite(planted.CATEGORY * category, (2,)),
        Favourite(planted.PRICE_BAND * band, ()),
        *[Favourite(planted.WORD * word, tuple({5, 6, 7} - {at})) for at in (5, 6, 7)],
    ]


def _one_hot(options: Ints) -> Doubles:
    """[options, items] of [items, k]: how often an item has each."""
    return (options[None] == np.arange(options.max() + 1)[:, None, None]).sum(axis=-1).astype(np.float64)


def mean_taste(shop: Shop, favourites: Sequence[Favourite], seen: Seen, random: np.random.Generator) -> Doubles:
    """What taste adds to the utility of each item, [items]: its mean over draws from the posterior."""
    chosen = [int(random.integers(len(one.worth))) for one in favourites]
    taste = sum((one.worth[at] for one, at in zip(favourites, chosen, strict=True)), np.zeros(shop.catalogue.size))
    total = np.zeros_like(taste)
    for sweep in range(SWEEPS):
        for place, one in enumerate(favourites):
            free = np.setdiff1d(np.arange(len(one.worth)), [chosen[other] for other in one.unlike])
            tried = taste - one.worth[chosen[place]] + one.worth[free]
            at = _drawn(log_likelihood(shop, seen, tried), random)
            chosen[place], taste = int(free[at]), tried[at]
        # The first two brands change places: one at a time they hardly would.
        changed = taste - sum(favourites[p].worth[chosen[p]] - favourites[p].worth[chosen[1 - p]] for p in (0, 1))
        if _drawn(log_likelihood(shop, seen, np.stack([taste, changed])), random):
            chosen[:2], taste = chosen[1::-1], changed
        total += taste * (sweep >= BURN_IN)
    return np.asarray(total / (SWEEPS - BURN_IN))


def _drawn(log_weights: Doubles, random: np.random.Generator) -> int:
    return int(pick(random, np.exp(log_weights - log_weights.max())[None])[0])


def log_likelihood(shop: Shop, seen: Seen, tastes: Doubles) -> Doubles:
    """Of what was seen, [k], for tastes [k, items]: clicks by the position-based model, browsing by a softmax."""
    click = seen.looked_at * sigmoid(seen.appeal + tastes[:, seen.items])
    found = np.where(seen.clicked, np.log(click), np.log1p(-click)).sum(axis=1)
    liked = shop.catalogue.quality + tastes
    # A shopper takes the best of a few items that come by: about a draw among all.
    among_all = np.logaddexp.reduce(liked, axis=1)
    return np.asarray(found + liked[:, seen.browsed].sum(axis=1) - len(seen.browsed) * among_all)


def seen_by(shop: Shop, logs: Sequence[DayLog], since: int = 0) -> dict[int, Seen]:
    """What each known shopper, but for bots, left since their tastes last changed, of these days from `since` on."""
    days = list(enumerate(logs))[since:]
    slots = _by_shopper(shop, [_slots(shop, log, day, len(logs)) for day, log in days])
    browses = _by_shopper(shop, [_browses(shop, log, day, len(logs)) for day, log in days])
    both = enumerate(zip(slots, browses, strict=True))
    return {
        one: Seen(*of_slates, *browsed) for one, (of_slates, browsed) in both if len(of_slates[0]) + len(browsed[0])
    }


def _by_shopper(shop: Shop, days: Sequence[tuple[NDArray[Any], ...]]) -> list[list[NDArray[Any]]]:
    """The columns of each shopper in turn; the first of the columns given says whose a row is."""
    shopper, *columns = (np.concatenate(column) for column in zip(*days, strict=True))
    order = np.argsort(shopper, kind="stable")
    starts = np.searchsorted(shopper[order], np.arange(1, shop.shoppers.size))
    return [list(own) for own in zip(*(np.split(column[order], starts) for column in columns), strict=True)]


def _slots(shop: Shop, log: DayLog, day: int, days: int) -> tuple[Ints, Ints, Doubles, Doubles, NDArray[np.bool_]]:
    """A row a slot: shopper, item, chance to be looked at, appeal but for taste, clicked."""
    searches = log.searches
    counted = ~searches.anonymous & _tells(shop, searches.shopper, day, days)
    search, place = np.nonzero((searches.items >= 0) & counted[:, None])
    items = searches.items[search, place]
    curves = np.stack([position_curve(device) for device in planted.DEVICES])
    asked = intent(items, shop.queries.target[searches.query[search]])
    appeal = planted.INTERCEPT + shop.catalogue.quality[items] + asked
    looked_at = curves[searches.mobile[search].astype(np.int64), place]
    return searches.shopper[search], items, looked_at, appeal, gained(log, {CLICK: 1.0})[search, place] > 0


def _browses(shop: Shop, log: DayLog, day: int, days: int) -> tuple[Ints, Ints]:
    events = log.events
    kept = (events.number == NO_SEARCH) & ~events.anonymous & _tells(shop, events.shopper, day, days)
    return events.shopper[kept], events.item[kept]


def _tells(shop: Shop, shoppers: Ints, day: int, days: int) -> NDArray[np.bool_]:
    """Whether what a shopper did on a day tells of the tastes that they have on the day after the last."""
    changes = shop.shoppers.tastes.changes_on[shoppers]
    return (shop.shoppers.kind[shoppers] != BOT) & ((changes > days) | (day >= changes))


def gained(log: DayLog, gains: Mapping[int, float]) -> Doubles:
    """[searches, slate]: the greatest gain of what was done to each slot, by action; 0 for nothing."""
    searches, events = log.searches, log.events
    found = np.zeros(searches.items.shape)
    order = np.lexsort((searches.number, searches.shopper))
    many = int(searches.number.max(initial=0)) + 1
    keys = searches.shopper * many + searches.number
    after = np.flatnonzero((events.number != NO_SEARCH) & np.isin(events.action, list(gains)))
    row = order[np.searchsorted(keys[order], events.shopper[after] * many + events.number[after])]
    worth = np.array([gains[int(action)] for action in events.action[after]])
    np.maximum.at(found, (row, events.position[after] - 1), worth)
    return found
