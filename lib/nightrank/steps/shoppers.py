"""Profiles as flat arrays, decayed to the moment they are read at: what training and the row compiler both see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.catalogue import Catalogue
from nightrank.models.features import Shopper, make_shopper
from nightrank.steps.folding import decayed
from nightrank.tables import ANONYMOUS

FLAT = (
    "user_id string, as_of date, evidence bigint, segment string, affinity_tokens array<string>, "
    "affinity_values array<double>, own_item_ids array<string>, own_item_values array<double>, "
    "recent_item_ids array<string>"
)
COLUMNS = tuple(column.split()[0] for column in FLAT.split(", "))


def flat_shoppers(profiles: DataFrame, config: Config) -> DataFrame:
    """One row a profile and as_of date, in COLUMNS: values decayed to as_of, recent items distinct, newest first.

    profiles: columns of user_profiles and `as_of`. evidence is the number of events behind the profile.
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
    )


def group_shoppers(shoppers: DataFrame, config: Config) -> DataFrame:
    """The mean shopper of each segment and of everybody, in the same columns: `segment:<name>` and `anonymous`.

    Affinities and own items are means over the group's shoppers (summed in integer millionths, so exactly); the recent
    items are those that the group takes most. evidence is 0: such a row speaks for shoppers of whom nothing is known.
    """
    groups = F.array_compact(F.array(F.lit(ANONYMOUS), F.col("segment")))
    grouped = shoppers.withColumn("group", F.explode(groups))
    sizes = grouped.groupBy("group", "as_of").agg(F.count(F.lit(1)).alias("shoppers"))
    affinities = _mean_of(grouped, sizes, "affinity_tokens", "affinity_values")
    own = _mean_of(grouped, sizes, "own_item_ids", "own_item_values")
    most_taken = F.slice(
        F.transform(
            F.array_sort(F.transform("pairs", lambda p: F.struct(-p["value"], p["name"]))), lambda p: p["name"]
        ),
        1,
        config.training_examples.recent,
    )
    return (
        sizes.join(
            affinities.select("group", "as_of", F.col("pairs").alias("facets")), on=["group", "as_of"], how="left"
        )
        .join(own.withColumn("most_taken", most_taken), on=["group", "as_of"], how="left")
        .select(
            F.col("group").alias("user_id"),
            "as_of",
            F.lit(0).cast("bigint").alias("evidence"),
            F.lit(None).cast("string").alias("segment"),
            F.coalesce(F.col("facets.name"), F.array().cast("array<string>")).alias("affinity_tokens"),
            F.coalesce(F.col("facets.value"), F.array().cast("array<double>")).alias("affinity_values"),
            F.array().cast("array<string>").alias("own_item_ids"),
            F.array().cast("array<double>").alias("own_item_values"),
            F.coalesce("most_taken", F.array().cast("array<string>")).alias("recent_item_ids"),
        )
    )


def read_shopper(catalogue: Catalogue, row: Any, recent_decay: float) -> Shopper:
    """The shopper of one flat row, as pandas gives it (arrays of numbers and texts; None: no profile)."""
    return make_shopper(
        catalogue,
        _listed(row.affinity_tokens),
        _listed(row.affinity_values),
        _listed(row.own_item_ids),
        _listed(row.own_item_values),
        _listed(row.recent_item_ids),
        recent_decay,
    )


def _listed(values: Sequence[Any] | None) -> Sequence[Any]:
    return () if values is None or not hasattr(values, "__len__") else values


def _mean_of(grouped: DataFrame, sizes: DataFrame, names: str, values: str) -> DataFrame:
    """Per group: array of (name, mean value over all its shoppers), in name order."""
    keys = ["group", "as_of"]
    millionths = F.round(F.col("pair")[values] * 1_000_000).cast("bigint")
    sums = (
        grouped.select(*keys, F.explode(F.arrays_zip(names, values)).alias("pair"))
        .groupBy(*keys, F.col("pair")[names].alias("name"))
        .agg(F.sum(millionths).alias("total"))
    )
    mean = F.col("total") / F.col("shoppers") / 1_000_000
    pairs = F.array_sort(F.collect_list(F.struct("name", mean.alias("value"))))
    return sums.join(sizes, on=keys, how="inner").groupBy(*keys).agg(pairs.alias("pairs"))
