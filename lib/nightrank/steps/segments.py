"""segments: the mean shopper of each segment and of all, and the rule that puts a shopper without a row into one."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.persons import persons
from nightrank.steps.shoppers import flat_shoppers
from nightrank.tables import ANONYMOUS

KEYS = ("run_date", "segment")
TOKEN, ITEM = "token", "item"


def build_segments(user_profiles: DataFrame, people: DataFrame, night: Night, config: Config) -> DataFrame:
    """One row a snapshot night and segment with enough shoppers, and one for `anonymous`: everybody.

    token: the category token that stands for the segment; a shopper without a row whose first look is at that category
    gets the segment's. affinity_values are means over the segment's shoppers, summed in integer millionths, so exactly;
    recent_item_ids are the items that it takes most. A person counts once, whatever the number of their ids.
    """
    wanted = user_profiles.where(F.col("run_date").isin(list(night.snapshots)))
    shoppers = flat_shoppers(persons(wanted.withColumn("as_of", F.col("run_date")), people, config), config)
    groups = F.array_compact(F.array(F.lit(ANONYMOUS), F.col("segment")))
    grouped = shoppers.withColumn("run_date", F.col("as_of")).withColumn("segment", F.explode(groups))
    sizes = grouped.groupBy(*KEYS).agg(F.count(F.lit(1)).alias("shoppers"))
    large = (F.col("shoppers") >= config.segments.min_shoppers) | (F.col("segment") == ANONYMOUS)
    means = _means(grouped, sizes, config.training_examples.recent)
    return (
        sizes.where(large)
        .join(means, on=list(KEYS), how="left")
        .withColumn(
            "token", F.when(F.col("segment") != ANONYMOUS, F.regexp_replace("segment", "^segment:", "category:"))
        )
    )


def _means(grouped: DataFrame, sizes: DataFrame, recent: int) -> DataFrame:
    """Per group: mean affinities in token order, and the `recent` items with the largest mean, ties by id."""
    both = F.concat(
        _entries(TOKEN, "affinity_tokens", "affinity_values"), _entries(ITEM, "own_item_ids", "own_item_values")
    )
    sums = (
        grouped.select(*KEYS, F.explode(both).alias("entry"))
        .groupBy(*KEYS, "entry.kind", "entry.name")
        .agg(F.sum(F.round(F.col("entry.value") * 1_000_000).cast("bigint")).alias("total"))
        .join(F.broadcast(sizes), on=list(KEYS), how="inner")
        .withColumn("mean", F.col("total") / F.col("shoppers") / 1_000_000)
    )
    tokens = F.array_sort(F.collect_list(F.when(F.col("kind") == TOKEN, F.struct("name", "mean"))))
    items = F.array_sort(
        F.collect_list(F.when(F.col("kind") == ITEM, F.struct((-F.col("mean")).alias("order"), "name")))
    )
    return (
        sums.groupBy(*KEYS)
        .agg(tokens.alias("tokens"), items.alias("items"))
        .select(
            *KEYS,
            F.col("tokens.name").alias("affinity_tokens"),
            F.col("tokens.mean").alias("affinity_values"),
            F.slice("items.name", 1, recent).alias("recent_item_ids"),
        )
    )


def _entries(kind: str, names: str, values: str) -> Column:
    return F.transform(
        F.arrays_zip(names, values),
        lambda pair: F.struct(F.lit(kind).alias("kind"), pair[names].alias("name"), pair[values].alias("value")),
    )
