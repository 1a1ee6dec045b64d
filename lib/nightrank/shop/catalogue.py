"""The catalogue: what is sold, from which day, at which price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nightrank.sections import ShopConfig
from nightrank.shop import planted, words
from nightrank.shop.draws import Flags, Floats, Ints, stream

LEAVES = tuple((category, *leaf) for category, leaves in words.CATEGORIES.items() for leaf in leaves)
NEVER = 1 << 40  # a day that does not come


@dataclass(frozen=True)
class Catalogue:
    """Items as arrays of length I; brand, leaf, category and words count into words.py.

    quality: log-odds; band: 0..2, the third of its leaf's prices that an item falls into; item_words: (I, 2);
    occasions: (I, occasions); added and repriced: day numbers, 0 and NEVER for most.
    """

    brand: Ints
    leaf: Ints
    category: Ints
    item_words: Ints
    quality: Floats
    popularity: Floats
    price: Floats
    new_price: Floats
    band: Ints
    seller: Ints
    colour: Ints
    phrasing: Ints
    occasions: Flags
    added: Ints
    repriced: Ints
    promoted: Flags
    in_stock: Flags

    @property
    def size(self) -> int:
        """Number of items."""
        return len(self.brand)

    def price_on(self, day: int) -> Floats:
        """The price of each item on a day number, shape (I,)."""
        return np.where(day >= self.repriced, self.new_price, self.price)


def make_catalogue(config: ShopConfig) -> Catalogue:
    """`config.items` items, spread evenly over the leaves so that a category search fills its slate."""
    rng, size, leaf = stream(config.seed, "catalogue"), config.items, np.arange(config.items) % len(LEAVES)
    quality, price = rng.standard_normal(size), _prices(rng, leaf)
    added = _some_day(rng, size, config.days, planted.ITEMS_ADDED, otherwise=0)
    repriced = _some_day(rng, size, config.days, planted.ITEMS_REPRICED, otherwise=NEVER)
    return Catalogue(
        brand=_brands(rng, size),
        leaf=leaf,
        category=np.array([list(words.CATEGORIES).index(LEAVES[n][0]) for n in leaf]),
        item_words=_item_words(rng, size),
        quality=planted.QUALITY_SPREAD * quality,
        popularity=_popularity(rng, quality),
        price=price,
        new_price=np.round(price * rng.uniform(0.75, 1.15, size), 2),
        band=_thirds(price, leaf),
        seller=rng.integers(len(words.SELLERS), size=size),
        colour=rng.integers(len(words.COLOURS), size=size),
        phrasing=rng.integers(len(words.OPENINGS) * len(words.CLOSINGS), size=size),
        occasions=rng.random((size, len(words.OCCASIONS))) < planted.OCCASION_SHARE,
        added=added,
        repriced=np.where(added > 0, NEVER, repriced),
        promoted=rng.random(size) < planted.PROMOTED_ITEMS,
        in_stock=rng.random(size) >= planted.OUT_OF_STOCK,
    )


def _brands(rng: np.random.Generator, size: int) -> Ints:
    weights = np.linspace(1.5, 0.5, len(words.BRANDS))  # the largest brand sells three times what the smallest does
    return rng.choice(len(weights), size, p=weights / weights.sum())


def _item_words(rng: np.random.Generator, size: int) -> Ints:
    look = rng.integers(len(words.LOOKS), size=size)
    return np.stack([look, len(words.LOOKS) + rng.integers(len(words.MAKINGS), size=size)], axis=1)


def _popularity(rng: np.random.Generator, quality: Floats) -> Floats:
    share = planted.POPULARITY_IS_QUALITY
    return share * quality + float(np.sqrt(1 - share**2)) * rng.standard_normal(len(quality))


def _prices(rng: np.random.Generator, leaf: Ints) -> Floats:
    usual = np.array([LEAVES[n][3] for n in leaf])
    return np.round(usual * np.exp(planted.PRICE_SPREAD * rng.standard_normal(len(leaf))), 2)


def _thirds(price: Floats, leaf: Ints) -> Ints:
    """The third of its leaf's prices that each item falls into: 0 low, 2 high."""
    band = np.zeros(len(price), dtype=np.int64)
    for n in np.unique(leaf):
        members = np.flatnonzero(leaf == n)
        ranks = np.argsort(np.argsort(price[members], kind="stable"), kind="stable")
        band[members] = ranks * len(words.PRICE_BANDS) // len(members)
    return band


def _some_day(rng: np.random.Generator, size: int, days: int, share: float, otherwise: int) -> Ints:
    """A day number after the first for a share of the items, shape (size,)."""
    day = rng.integers(1, max(days, 2), size=size)
    return np.where((rng.random(size) < share) & (day < days), day, otherwise)


def changed_on(catalogue: Catalogue, day: int) -> Ints:
    """The items that the catalogue's file of a day holds: all on day 0, later the changed ones, or one restated."""
    if day == 0:
        return np.flatnonzero(catalogue.added == 0)
    changed = np.flatnonzero((catalogue.added == day) | (catalogue.repriced == day))
    first = np.flatnonzero(catalogue.added == 0)[:1]
    return changed if len(changed) else first


def item_id(item: int) -> str:
    """The id of an item in the logs."""
    return f"i{item:05d}"


def title(catalogue: Catalogue, item: int) -> str:
    """Brand, two words and a noun: `Alder Rustic Handmade Kettle`."""
    described = " ".join(words.WORDS[n] for n in catalogue.item_words[item])
    return f"{words.BRANDS[catalogue.brand[item]]} {described.title()} {LEAVES[catalogue.leaf[item]][1].title()}"


def path(catalogue: Catalogue, item: int) -> str:
    """The category path: `Kitchen > Kettles`."""
    category, _, plural, _ = LEAVES[catalogue.leaf[item]]
    return f"{category} > {plural.capitalize()}"


def description(catalogue: Catalogue, item: int) -> str:
    """Two to eight plain sentences; those of its occasions are what exploratory searches find it by."""
    opening, closing = divmod(int(catalogue.phrasing[item]), len(words.CLOSINGS))
    look, making = (words.WORDS[n] for n in catalogue.item_words[item])
    first = words.OPENINGS[opening].format(
        look=look,
        making=making,
        noun=LEAVES[catalogue.leaf[item]][1],
        brand=words.BRANDS[catalogue.brand[item]],
        colour=words.COLOURS[catalogue.colour[item]],
    )
    said = [text for text, has in zip(words.OCCASIONS.values(), catalogue.occasions[item], strict=True) if has]
    return " ".join([first, *said, words.CLOSINGS[closing]])
