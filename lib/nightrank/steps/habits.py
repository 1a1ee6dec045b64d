"""A profile's habits as flat arrays of names and numbers: what models/habits.py is made from."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.steps.folding import decayed

# The columns of profiles that habits are.
STATES = ("item_cycles", "category_cycles", "price_positions", "seen_items")
FLAT_HABITS = (
    "cycle_item_ids array<string>, cycle_item_numbers array<bigint>, cycle_categories array<string>, "
    "cycle_category_numbers array<bigint>, priced_categories array<string>, price_numbers array<double>, "
    "seen_item_ids array<string>, seen_times array<double>"
)
COLUMNS = tuple(column.split()[0] for column in FLAT_HABITS.split(", "))


def habit_columns(config: Config) -> list[Column]:
    """Of a profile with as_of, in FLAT_HABITS: numbers lie one name's after the other's, decayed to as_of.

    Of cycles with more than one buy: buys, days, squared_days, and the days from the last buy to the day after as_of,
    which is the day that is served. Of prices: taken, taken_bands.
    """
    half_life = config.user_profiles.half_life_nights

    def of_cycle(state: Column) -> list[Column]:
        since = F.date_diff(F.date_add("as_of", 1), state["last"]).cast("bigint")
        return [state["buys"], state["days"], state["squared_days"], since]

    def of_price(state: Column) -> list[Column]:
        return [decayed(state[of], state["touched"], F.col("as_of"), half_life) for of in ("taken", "taken_bands")]

    items, categories = (F.filter(states, lambda state: state["buys"] > 1) for states in STATES[:2])
    priced = F.filter("price_positions", lambda state: state["taken"] > 0)
    return [
        *_named(items["item_id"], items, of_cycle, 0),
        *_named(categories["token"], categories, of_cycle, 2),
        *_named(priced["token"], priced, of_price, 4),
        *_named(F.col("seen_items.item_id"), F.col("seen_items"), lambda state: [state["value"]], 6),
    ]


def no_habits() -> list[Column]:
    """The same of whom nothing is known."""
    return [F.array().cast(column.split(" ")[1]).alias(column.split(" ")[0]) for column in FLAT_HABITS.split(", ")]


def without_habits(shoppers: DataFrame) -> DataFrame:
    """The flat shoppers with no habits: where nothing reads them, Spark does not carry them either."""
    return shoppers.withColumns(dict(zip(COLUMNS, no_habits(), strict=True)))


def _named(names: Column, states: Column, numbers: Callable[[Column], list[Column]], at: int) -> list[Column]:
    """Two columns of FLAT_HABITS, from the at-th on."""
    each = F.flatten(F.transform(states, lambda state: F.array(*numbers(state))))
    return [names.alias(COLUMNS[at]), each.alias(COLUMNS[at + 1])]
