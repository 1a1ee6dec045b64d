"""Profiles as flat arrays, decayed to the moment they are read at: what training and the row compiler both see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.catalogue import Catalogue
from nightrank.models.features import Shopper, make_shopper
from nightrank.models.habits import Habits, make_habits
from nightrank.models.sequences import ACTIONS, Taken, make_taken
from nightrank.steps.folding import decayed
from nightrank.steps.habits import COLUMNS as HABITS
from nightrank.steps.habits import FLAT_HABITS, STATES, habit_columns, no_habits

FLAT = (
    "user_id string, as_of date, evidence bigint, segment string, affinity_tokens array<string>, "
    "affinity_values array<double>, own_item_ids array<string>, own_item_values array<double>, "
    "recent_item_ids array<string>, taken_item_ids array<string>, taken_actions array<int>, taken_hours array<bigint>, "
    f"{FLAT_HABITS}"
)
# The columns of profiles that are made flat.
FLATTENED = ("user_id", "affinities", "own_items", "recent", "events", "segment", *STATES)
COLUMNS = tuple(column.split()[0] for column in FLAT.split(", "))


def flat_shoppers(profiles: DataFrame, config: Config) -> DataFrame:
    """One row a profile and as_of date, in COLUMNS: values decayed to as_of, recent items distinct, newest first.

    profiles: columns of user_profiles and `as_of`. evidence is the number of events behind the profile. taken_…: the
    takes in order, see taken_columns; habits, see habit_columns.
    """
    half_life = config.user_profiles.half_life_nights

    def values(column: str) -> Column:
        return F.transform(column, lambda x: decayed(x["value"], x["touched"], F.col("as_of"), half_life))

    recent = F.slice(F.array_distinct(F.col("recent.item_id")), 1, config.training_examples.recent)
    return profiles.select(
        "user_id",
        "as_of",
        F.col("events").alias("evidence"),
        "segment",
        F.col("affinities.token").alias("affinity_tokens"),
        values("affinities").alias("affinity_values"),
        F.col("own_items.item_id").alias("own_item_ids"),
        values("own_items").alias("own_item_values"),
        recent.alias("recent_item_ids"),
        *taken_columns(),
        *habit_columns(config),
    )


def taken_columns() -> tuple[Column, Column, Column]:
    """Of a profile's `recent`, oldest first: ids of the items, indices of the actions, whole hours since 1970."""
    takes = F.reverse("recent")
    known = F.array(*map(F.lit, ACTIONS))
    # array_position counts from 1 and is 0 where there is none: sequences.action_index.
    actions = F.transform(takes, lambda take: F.array_position(known, take["action"]).cast("int"))
    hours = F.transform(takes, lambda take: F.floor(F.unix_seconds(take["ts"]) / 3600))
    return takes["item_id"].alias("taken_item_ids"), actions.alias("taken_actions"), hours.alias("taken_hours")


def without_takes(shoppers: DataFrame) -> DataFrame:
    """The flat shoppers with nothing in taken_…: where no tower reads it, Spark does not carry it either."""
    kinds = {name: shoppers.schema[name].dataType for name in shoppers.columns if name.startswith("taken_")}
    return shoppers.withColumns({name: F.array().cast(kind) for name, kind in kinds.items()})


def unwanted_items(config: Config) -> Column:
    """The items of a profile that its shopper has seen seen_often times or more and never taken, in order of id.

    As far as the profile remembers: takes for forget_nights, looks for seen_forget_nights after the last.
    """
    often = F.filter("seen_items", lambda state: state["value"] >= config.user_profiles.seen_often)
    return F.array_except(F.transform(often, lambda state: state["item_id"]), F.col("own_items.item_id"))


def group_shoppers(segments: DataFrame) -> DataFrame:
    """The mean shoppers of one night's segments, in COLUMNS: `segment:<name>` and `anonymous`.

    evidence is 0: their rows speak for shoppers of whom nothing is known.
    """
    nothing = F.array().cast("array<string>")
    return segments.select(
        F.col("segment").alias("user_id"),
        F.col("run_date").alias("as_of"),
        F.lit(0).cast("bigint").alias("evidence"),
        F.lit(None).cast("string").alias("segment"),
        F.coalesce("affinity_tokens", nothing).alias("affinity_tokens"),
        F.coalesce("affinity_values", F.array().cast("array<double>")).alias("affinity_values"),
        nothing.alias("own_item_ids"),
        F.array().cast("array<double>").alias("own_item_values"),
        F.coalesce("recent_item_ids", nothing).alias("recent_item_ids"),
        *_taken_by_nobody("recent_item_ids"),
        *no_habits(),
    )


def _taken_by_nobody(most_taken: str) -> tuple[Column, Column, Column]:
    """The group's items, the most taken last, as if taken by no known action and at once."""
    ids = F.reverse(F.coalesce(most_taken, F.array().cast("array<string>")))
    zeros = F.transform(ids, lambda _: F.lit(0))
    hours = zeros.cast("array<bigint>")
    return ids.alias("taken_item_ids"), zeros.alias("taken_actions"), hours.alias("taken_hours")


def read_shopper(catalogue: Catalogue, row: Any, recent_decay: float) -> Shopper:
    """The shopper of one flat row, as pandas gives it (arrays of numbers and texts; None: no profile)."""
    return make_shopper(
        catalogue,
        listed(row.affinity_tokens),
        listed(row.affinity_values),
        listed(row.own_item_ids),
        listed(row.own_item_values),
        listed(row.recent_item_ids),
        recent_decay,
        read_taken(catalogue.item_ids, row),
        _read_habits(catalogue, row),
    )


def read_taken(item_ids: NDArray[np.str_], row: Any) -> Taken:
    """The takes of one row of the columns of taken_columns, as pandas gives it; item_ids: the catalogue's, sorted."""
    return make_taken(item_ids, listed(row.taken_item_ids), listed(row.taken_actions), listed(row.taken_hours))


def _read_habits(catalogue: Catalogue, row: Any) -> Habits:
    told = [listed(getattr(row, name)) for name in HABITS]
    return make_habits(catalogue, *zip(told[::2], told[1::2], strict=True))


def listed(values: Sequence[Any] | None) -> Sequence[Any]:
    """An array column of one row as pandas gives it, () for NULL."""
    return () if values is None or not hasattr(values, "__len__") else values
