"""segments: the mean shopper of each segment and of all, and the rule that puts a shopper without a row into one."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.folding import decayed
from nightrank.steps.persons import persons
from nightrank.tables import ANONYMOUS

KEYS = ("run_date", "segment")


def build_segments(user_profiles: DataFrame, people: DataFrame, night: Night, config: Config) -> DataFrame:
    """One row a snapshot night and segment with enough shoppers, and one for `anonymous`: everybody.

    token: the category token that stands for the segment; a shopper without a row whose first look is at that category
    gets the segment's. affinity_values are means over the segment's shoppers, summed in integer millionths, so exactly;
    recent_item_ids are the items that it takes most. A person counts once, whatever the number of their ids.
    """
    wanted = user_profiles.where(F.col("run_date").isin(list(night.snapshots)))
    persons_then = persons(wanted.withColumn("as_of", F.col("run_date")), people, config)
    shoppers = persons_then.withColumnRenamed("as_of", "run_date")
    sizes = _with_everybody(shoppers.groupBy(*KEYS).agg(F.count(F.lit(1)).alias("shoppers")), "shoppers")
    large = (F.col("shoppers") >= config.segments.min_shoppers) | (F.col("segment") == ANONYMOUS)
    half_life = config.user_profiles.half_life_nights
    tokens = _tokens(_means(shoppers, sizes, "affinities", "token", half_life))
    items = _most_taken(_means(shoppers, sizes, "own_items", "item_id", half_life), config.training_examples.recent)
    of_category = F.regexp_replace("segment", "^segment:", "category:")
    return (
        sizes.where(large)
        .join(tokens, on=list(KEYS), how="left")
        .join(items, on=list(KEYS), how="left")
        .withColumn("token", F.when(F.col("segment") != ANONYMOUS, of_category))
    )


def _with_everybody(of_segments: DataFrame, amount: str, *keys: str) -> DataFrame:
    """The amounts by night, segment and keys, and their sums over all segments, those of no segment too."""
    groups = F.array_compact(F.array(F.lit(ANONYMOUS), F.col("segment")))
    return of_segments.withColumn("segment", F.explode(groups)).groupBy(*KEYS, *keys).agg(F.sum(amount).alias(amount))


def _means(shoppers: DataFrame, sizes: DataFrame, states: str, of: str, half_life_nights: float) -> DataFrame:
    """run_date, segment, name, mean: what the token or item (`of`) of a state is worth that night to a shopper.

    States are taken out of their arrays before they are decayed: Spark compiles the arithmetic of a row, where it
    would interpret that of a lambda over an array. Everybody's sums are of the segments' sums, so each state is taken
    out once.
    """
    worth = decayed(F.col("state.value"), F.col("state.touched"), F.col("run_date"), half_life_nights)
    of_segments = (
        shoppers.select(*KEYS, F.explode(states).alias("state"))
        .groupBy(*KEYS, F.col(f"state.{of}").alias("name"))
        .agg(F.sum(F.round(worth * 1_000_000).cast("bigint")).alias("total"))
    )
    sums = _with_everybody(of_segments, "total", "name").join(F.broadcast(sizes), on=list(KEYS), how="inner")
    return sums.withColumn("mean", F.col("total") / F.col("shoppers") / 1_000_000)


def _tokens(means: DataFrame) -> DataFrame:
    """Per group: the mean affinities in token order."""
    tokens = means.groupBy(*KEYS).agg(F.array_sort(F.collect_list(F.struct("name", "mean"))).alias("tokens"))
    return tokens.select(
        *KEYS, F.col("tokens.name").alias("affinity_tokens"), F.col("tokens.mean").alias("affinity_values")
    )


def _most_taken(means: DataFrame, most: int) -> DataFrame:
    """Per group: the most items with the largest mean, the largest first, ties by id.

    Numbered in a window, of which each task keeps no more than these (the plan's `WindowGroupLimit`): no row holds a
    list of all items.
    """
    best = Window.partitionBy(*KEYS).orderBy(F.desc("mean"), "name")
    first = means.withColumn("place", F.row_number().over(best)).where(F.col("place") <= most)
    items = first.groupBy(*KEYS).agg(F.array_sort(F.collect_list(F.struct("place", "name"))).alias("items"))
    return items.select(*KEYS, F.col("items.name").alias("recent_item_ids"))
