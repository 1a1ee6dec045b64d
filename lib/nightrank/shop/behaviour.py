"""What shoppers do on a day: a pure function of the shop, the bucket of shoppers and the day."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from nightrank.shop import planted
from nightrank.shop.browsing import bot_events, browse_events
from nightrank.shop.draws import Flags, Floats, Ints, pick, sigmoid, stream
from nightrank.shop.engine import day_scores, show
from nightrank.shop.logs import BUY, CART, CLICK, HIDE, LIKE, DayLog, Events, Searches, joined
from nightrank.shop.queries import NONE
from nightrank.shop.sessions import Sessions, open_sessions, query_weights
from nightrank.shop.shoppers import buckets
from nightrank.shop.utility import attraction, intent, position_curve, utility
from nightrank.shop.world import Shop

BETWEEN_SEARCHES_MS = 12 * 60_000  # the slowest purchase is over before the next search
# Earliest and latest moment of each action, after the one before it.
AFTER_MS = {CLICK: (500, 4_000), CART: (5_000, 60_000), BUY: (30_000, 300_000), LIKE: (1_000, 5_000), HIDE: (0, 2_000)}
LOOK_MS = 1_500  # between one position and the next


def simulate_day(shop: Shop, day: int, only: Iterable[int] | None = None) -> DayLog:
    """What the shoppers of some buckets (all by default) did on a day number; buckets do not touch each other."""
    scores = day_scores(shop.config.seed, shop.catalogue, shop.queries, day)
    chosen = buckets(shop.shoppers.size) if only is None else only
    parts = [_simulate(shop, day, bucket, scores) for bucket in chosen]
    return DayLog(joined([part.searches for part in parts]), joined([part.events for part in parts]))


def _simulate(shop: Shop, day: int, bucket: int, scores: Floats) -> DayLog:
    rng = stream(shop.config.seed, "behaviour", bucket, day)
    sessions = open_sessions(rng, shop, bucket, day)
    browsed = browse_events(rng, shop, day, sessions)
    searches = _searches(rng, shop, day, sessions, scores)
    found = _after_searches(rng, shop, day, searches)
    return DayLog(searches, joined([browsed, *found, bot_events(shop, day, bucket)]))


def _searches(rng: np.random.Generator, shop: Shop, day: int, sessions: Sessions, scores: Floats) -> Searches:
    of = np.repeat(np.arange(len(sessions.shopper)), sessions.searches)
    number = np.arange(len(of)) - np.repeat(np.cumsum(sessions.searches) - sessions.searches, sessions.searches)
    query = pick(rng, query_weights(shop, day, sessions.shopper[of]))
    slates = show(rng, shop.catalogue, shop.queries, scores, query)
    return Searches(
        shopper=sessions.shopper[of],
        number=number,
        query=query,
        ms=sessions.ms[of] + number * BETWEEN_SEARCHES_MS,
        mobile=sessions.mobile[of],
        anonymous=sessions.anonymous[of],
        recased=rng.random(len(of)) < planted.RECASED_QUERIES,
        items=slates.items,
        scores=slates.scores,
        sponsored=slates.sponsored,
    )


def _after_searches(rng: np.random.Generator, shop: Shop, day: int, searches: Searches) -> list[Events]:
    """Clicks by the position-based model, examination times attraction, and what follows them."""
    shown = searches.items != NONE
    wants = wanted(shop, day, searches)
    strength = shop.shoppers.tastes.strength[searches.shopper][:, None]
    looked = shown & (rng.random(shown.shape) < _examination(searches.mobile))
    clicked = looked & (rng.random(shown.shape) < attraction(wants, strength))
    carted = clicked & happens(rng, planted.CART, wants)
    bought = carted & happens(rng, planted.BUY, wants)
    liked = clicked & happens(rng, planted.LIKE, wants)
    hidden = looked & ~clicked & happens(rng, planted.HIDE, wants)
    seen = searches.ms[:, None] + LOOK_MS * np.arange(planted.SLATE)
    at_click = seen + _pause(rng, CLICK, shown.shape)
    at_cart = at_click + _pause(rng, CART, shown.shape)
    at_buy = at_cart + _pause(rng, BUY, shown.shape)
    return [
        _events(rng, searches, CLICK, clicked, at_click),
        _events(rng, searches, CART, carted, at_cart),
        _events(rng, searches, BUY, bought, at_buy),
        _events(rng, searches, LIKE, liked, at_click + _pause(rng, LIKE, shown.shape)),
        _events(rng, searches, HIDE, hidden, seen + _pause(rng, HIDE, shown.shape)),
    ]


def wanted(shop: Shop, day: int, searches: Searches) -> Floats:
    """Utility of each shown item for its shopper and search, (searches, SLATE)."""
    likes = utility(shop.shoppers.tastes, shop.traits, searches.shopper[:, None], searches.items, day)
    return likes + intent(searches.items, shop.queries.target[searches.query][:, None])


def _examination(mobile: Flags) -> Floats:
    curves = np.stack([position_curve(device) for device in planted.DEVICES])
    return np.asarray(curves[mobile.astype(np.int64)])


def happens(rng: np.random.Generator, odds: tuple[float, float], wants: Floats) -> Flags:
    """Which of the things that may follow a click do: odds are intercept and slope on the utility."""
    return np.asarray(rng.random(wants.shape) < sigmoid(odds[0] + odds[1] * wants))


def _pause(rng: np.random.Generator, action: int, shape: tuple[int, ...]) -> Ints:
    return rng.integers(*AFTER_MS[action], size=shape)


def _events(rng: np.random.Generator, searches: Searches, action: int, where: Flags, ms: Ints) -> Events:
    """One event for each True of `where` (searches, SLATE)."""
    search, place = np.nonzero(where)
    pieces = rng.poisson(planted.MORE_PIECES, len(search)) if action in (CART, BUY) else 0
    return Events(
        shopper=searches.shopper[search],
        number=searches.number[search],
        ms=ms[search, place],
        mobile=searches.mobile[search],
        anonymous=searches.anonymous[search],
        action=np.full(len(search), action),
        item=searches.items[search, place],
        position=place + 1,
        quantity=np.ones(len(search), dtype=np.int64) + pieces,
    )
