"""Who comes on a day, on which device, and what they ask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nightrank.shop import planted
from nightrank.shop.catalogue import LEAVES
from nightrank.shop.draws import Flags, Floats, Ints, stream
from nightrank.shop.queries import CLASSES, NONE
from nightrank.shop.shoppers import members
from nightrank.shop.utility import utility
from nightrank.shop.words import CATEGORIES
from nightrank.shop.world import Shop

HOUR_MS = 3_600_000
OPENS, OPEN_HOURS = 6 * HOUR_MS, 15 * HOUR_MS  # what starts by 21:00 is over by midnight: no log spills into the next


@dataclass(frozen=True)
class Sessions:
    """At most one session a shopper and day. ms: its start since midnight UTC; searches: how many."""

    shopper: Ints
    ms: Ints
    searches: Ints
    mobile: Flags
    anonymous: Flags


def open_sessions(rng: np.random.Generator, shop: Shop, bucket: int, day: int) -> Sessions:
    """The sessions of a bucket's people on a day."""
    people, who = shop.shoppers, members(shop.shoppers.size, bucket)
    chance = people.active[who] * (people.arrived[who] <= day) * (people.kind[who] != planted.KINDS.index("bot"))
    here = who[rng.random(len(who)) < chance]
    return Sessions(
        shopper=here,
        ms=OPENS + (OPEN_HOURS * rng.beta(2.5, 2.0, len(here))).astype(np.int64),
        searches=1 + np.minimum(rng.poisson(planted.MORE_SEARCHES, len(here)), 5),
        mobile=people.mobile[here] ^ (rng.random(len(here)) >= planted.MAIN_DEVICE),
        anonymous=rng.random(len(here)) < planted.ANONYMOUS_SESSIONS,
    )


def query_weights(shop: Shop, day: int, shopper: Ints) -> Floats:
    """How likely each shopper asks each query, (searches, Q): each class has its share, within it tastes speak."""
    weights = shop.queries.weight * _liking(shop, day, shopper)
    for index, name in enumerate(CLASSES):
        mine = shop.queries.class_index == index
        weights[:, mine] *= planted.QUERY_MIX[name] / weights[:, mine].sum(axis=1, keepdims=True)
    return weights


def _liking(shop: Shop, day: int, shopper: Ints) -> Floats:
    """How much more a shopper asks a query than others do, (searches, Q): names and categories that they like."""
    asked, tastes = shop.queries, shop.shoppers.tastes
    liking = np.ones((len(shopper), len(asked.text)))
    named, of_leaf = asked.target != NONE, asked.leaf != NONE
    taste = utility(tastes, shop.traits, shopper[:, None], asked.target[named], day)
    liking[:, named] = np.exp(np.minimum(taste, 4.0))
    categories = list(CATEGORIES)
    category = np.array([categories.index(LEAVES[leaf][0]) for leaf in asked.leaf[of_leaf]])
    now = (day >= tastes.changes_on[shopper]).astype(np.int64)
    liked = (category[None, :, None] == tastes.categories[shopper, now][:, None, :]).any(axis=2)
    liked &= tastes.strength[shopper][:, None] > 0
    liking[:, of_leaf] = np.where(liked, planted.FAVOURITE_CATEGORY_SEARCHES, 1.0)
    return liking


def bot_sessions(shop: Shop, bucket: int, day: int) -> Ints:
    """The bots of a bucket that come on a day."""
    who = members(shop.shoppers.size, bucket)
    bots = who[shop.shoppers.kind[who] == planted.KINDS.index("bot")]
    chance = stream(shop.config.seed, "bots", bucket, day).random(len(bots))
    return np.asarray(bots[chance < shop.shoppers.active[bots]], dtype=np.int64)
