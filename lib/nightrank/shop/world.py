"""The shop as a whole: everything that is settled before the first day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from nightrank.sections import ShopConfig
from nightrank.shop.catalogue import Catalogue, make_catalogue
from nightrank.shop.planted import World
from nightrank.shop.queries import Queries, make_queries
from nightrank.shop.shoppers import Shoppers, make_shoppers
from nightrank.shop.utility import Traits


@dataclass(frozen=True)
class Shop:
    """A world: catalogue, queries and shoppers with their tastes; days are numbered from config.first_day = 0."""

    config: ShopConfig
    world: World
    catalogue: Catalogue
    queries: Queries
    shoppers: Shoppers

    @property
    def traits(self) -> Traits:
        """What tastes ask of the items."""
        made = self.catalogue
        return Traits(made.brand, made.category, made.band, made.item_words, made.quality)


def make_world(config: ShopConfig, world: World | None = None) -> Shop:
    """The shop of a config; the same config and world give the same shop, whatever happens in it later."""
    catalogue, options = make_catalogue(config), world or World()
    return Shop(config, options, catalogue, make_queries(catalogue), make_shoppers(config, options))


def date_of(shop: Shop, day: int) -> date:
    """The date of a day number."""
    return shop.config.first_day + timedelta(days=day)
