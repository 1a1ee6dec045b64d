"""The shoppers: who they are, when they come, and what they like before and after they change their mind."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from nightrank.sections import ShopConfig
from nightrank.shop import planted, words
from nightrank.shop.catalogue import NEVER
from nightrank.shop.draws import Flags, Floats, Ints, orders, stream
from nightrank.shop.planted import World
from nightrank.shop.utility import Tastes


@dataclass(frozen=True)
class Shoppers:
    """Shoppers as arrays of length S. kind counts into planted.KINDS; arrived: a day number; active: chance a day."""

    kind: Ints
    arrived: Ints
    active: Floats
    mobile: Flags
    tastes: Tastes

    @property
    def size(self) -> int:
        """Number of shoppers, bots included."""
        return len(self.kind)


def user_id(shopper: int) -> str:
    """The client id of a shopper in the logs."""
    return f"c{shopper:06d}"


def buckets(size: int) -> range:
    """The buckets that `size` shoppers fall into, in order."""
    return range(-(-size // planted.SHOPPERS_PER_BUCKET))


def members(size: int, bucket: int) -> Ints:
    """The shoppers of a bucket."""
    first = bucket * planted.SHOPPERS_PER_BUCKET
    return np.arange(first, min(first + planted.SHOPPERS_PER_BUCKET, size))


def population(config: ShopConfig) -> int:
    """How many come to the shop: its people and one bot for every 250 of them, at least one."""
    return config.shoppers + max(1, config.shoppers // planted.SHOPPERS_PER_BOT)


def make_shoppers(config: ShopConfig, world: World) -> Shoppers:
    """`config.shoppers` people, and after them the bots."""
    size = population(config)
    parts = [_bucket(config, world, bucket, members(size, bucket)) for bucket in buckets(size)]
    tastes = {f.name: [getattr(part.tastes, f.name) for part in parts] for f in fields(Tastes)}
    return Shoppers(
        kind=np.concatenate([part.kind for part in parts]),
        arrived=np.concatenate([part.arrived for part in parts]),
        active=np.concatenate([part.active for part in parts]),
        mobile=np.concatenate([part.mobile for part in parts]),
        tastes=Tastes(**{name: np.concatenate(arrays) for name, arrays in tastes.items()}),
    )


def _bucket(config: ShopConfig, world: World, bucket: int, shoppers: Ints) -> Shoppers:
    rng, size = stream(config.seed, "shoppers", bucket), planted.SHOPPERS_PER_BUCKET
    kind = rng.choice(len(planted.KIND_SHARES), size, p=planted.KIND_SHARES)
    last_days = max(1, round(config.days * planted.NEW_SHOPPERS_SHARE_OF_DAYS))
    arrival = config.days - 1 - rng.integers(last_days, size=size)
    active = rng.beta(*planted.ACTIVE_SHAPE, size=size)
    mobile = rng.random(size) < planted.MOBILE_SHOPPERS
    # A whole bucket is always drawn, so that one more shopper changes no other.
    here = slice(0, len(shoppers))
    kind = np.where(shoppers >= config.shoppers, planted.KINDS.index("bot"), kind[here])
    return Shoppers(
        kind=kind,
        arrived=np.where(kind == planted.KINDS.index("new"), arrival[here], 0),
        active=np.where(kind == planted.KINDS.index("bot"), planted.BOT_ACTIVE, active[here]),
        mobile=mobile[here],
        tastes=_tastes(rng, config, world, kind),
    )


def _tastes(rng: np.random.Generator, config: ShopConfig, world: World, kind: Ints) -> Tastes:
    """Two tastes a shopper, and the day from which the second holds."""
    size, flip = planted.SHOPPERS_PER_BUCKET, world.flip_day
    brands, categories = orders(rng, size, len(words.BRANDS)), orders(rng, size, len(words.CATEGORIES))
    liked, bands = orders(rng, size, len(words.WORDS)), orders(rng, size, len(words.PRICE_BANDS))
    drifting = np.where(kind == planted.KINDS.index("drifting"), config.days // 2, NEVER)
    n, w, here = planted.FAVOURITE_CATEGORIES, planted.FAVOURITE_WORDS, len(kind)
    tasteless = np.isin(kind, [planted.KINDS.index("indifferent"), planted.KINDS.index("bot")])
    later = 0 if flip is None else 1  # who drifts keeps all tastes but the brand
    return Tastes(
        brand=brands[:here, [0, 2]],
        second_brand=brands[:here, [1, 1 + 2 * later]],
        categories=np.stack([categories[:here, :n], categories[:here, later * n : later * n + n]], axis=1),
        band=bands[:here, [0, later]],
        words=np.stack([liked[:here, :w], liked[:here, later * w : later * w + w]], axis=1),
        strength=np.where(tasteless, 0.0, world.taste_strength),
        changes_on=drifting if flip is None else np.full(here, max(0, (flip - config.first_day).days)),
    )
