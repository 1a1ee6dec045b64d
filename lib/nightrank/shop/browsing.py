"""What is looked at without a search: by people according to taste, by bots without end."""

from __future__ import annotations

import numpy as np

from nightrank.shop import planted
from nightrank.shop.draws import Flags, Ints, stream
from nightrank.shop.logs import CLICK, NO_SEARCH, VIEW, Events, joined
from nightrank.shop.sessions import OPENS, Sessions, bot_sessions
from nightrank.shop.utility import utility
from nightrank.shop.world import Shop


def browse_events(rng: np.random.Generator, shop: Shop, day: int, sessions: Sessions) -> Events:
    """Views and clicks before the session's first search: the best of a few items that came by."""
    looks = rng.poisson(planted.BROWSES, len(sessions.shopper))
    of = np.repeat(np.arange(len(looks)), looks)
    number = np.arange(len(of)) - np.repeat(np.cumsum(looks) - looks, looks)
    shopper = sessions.shopper[of]
    passed = rng.choice(_on_sale(shop, day), (len(of), planted.BROWSE_CHOICE))
    liking = utility(shop.shoppers.tastes, shop.traits, shopper[:, None], passed, day)
    best = np.argmax(liking + rng.gumbel(size=passed.shape), axis=1)  # Gumbel: a draw in proportion to e^utility
    ms = sessions.ms[of] - 300_000 + 20_000 * number + rng.integers(0, 9_000, len(of))
    action = np.where(rng.random(len(of)) < planted.BROWSE_CLICKS, CLICK, VIEW)
    item = passed[np.arange(len(of)), best]
    return _unsearched(shopper, ms, action, item, sessions.mobile[of], sessions.anonymous[of])


def bot_events(shop: Shop, day: int, bucket: int) -> Events:
    """Hundreds of views a bot, one to five a second."""
    bots = bot_sessions(shop, bucket, day)
    return joined([_crawl(shop, day, int(bot)) for bot in bots] or [_crawl(shop, day, None)])


def _crawl(shop: Shop, day: int, bot: int | None) -> Events:
    """One bot's views; of no bot: no events."""
    rng = stream(shop.config.seed, "crawl", bot or 0, day)
    views = 0 if bot is None else int(rng.poisson(planted.BOT_VIEWS))
    ms = OPENS + rng.integers(0, 12 * 3_600_000) + np.cumsum(rng.integers(*planted.BOT_PAUSE_MS, size=views))
    item = rng.choice(_on_sale(shop, day), views)
    none = np.zeros(views, dtype=bool)
    return _unsearched(np.full(views, bot or 0), ms, np.full(views, VIEW), item, none, none)


def _on_sale(shop: Shop, day: int) -> Ints:
    return np.flatnonzero((shop.catalogue.added <= day) & shop.catalogue.in_stock)


def _unsearched(shopper: Ints, ms: Ints, action: Ints, item: Ints, mobile: Flags, anonymous: Flags) -> Events:
    """Events that follow no search: without position, of one piece."""
    none = np.zeros(len(shopper), dtype=np.int64)
    return Events(shopper, none + NO_SEARCH, ms, mobile, anonymous, action, item, none, none + 1)
