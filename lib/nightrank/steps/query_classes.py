"""The class of each query: how specific what is taken after it is, by the entropy of the takes."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.sections import QueryClassesConfig
from nightrank.steps.entries import any_gain
from nightrank.steps.folding import UNIT
from nightrank.tables import QUERY_CLASSES

KEY = ["run_date", "normalised_query"]
CATEGORY, BELOW = "category:", " > "


def build_query_classes(searches: DataFrame, items: DataFrame, night: Night, config: Config) -> DataFrame:
    """The table `query_classes` with run_date: each query's class as of each night of night.snapshots.

    From the searches of the window_nights nights up to it: navigational, when the takes' entropy over items is
    navigational_item_entropy or less; exploratory, when that over first-level categories is
    exploratory_category_entropy or more; else, or with fewer than min_takes takes, or from derived searches (their
    query is the category), category. The evidence stands beside it: searches, takes, distinct shoppers who took.

    Entropy is the click entropy of Dou, Song and Wen (2007: "A large-scale evaluation and analysis of personalized
    search strategies"; Teevan, Dumais and Liebling 2008 use it for the same question), normalised to 0..1; see
    normalised_entropy. The defaults, by hand: three of five takes on one item and one each on two others, the least
    that was navigational when a share of .6 was asked for, are .59; one of ten even items fewer than all, 1. Takes
    spread evenly over three categories of six takes are .61; .6 and .4 on two, .32 of many takes and .42 of five.
    """
    section = config.query_classes
    told = searches.select(*KEY, "derived", F.when(any_gain(), F.col("user_id")).alias("taker"))
    counts = (
        _as_of(told, night, section)
        .groupBy(*KEY)
        .agg(
            F.count("*").alias("searches"),
            F.max("derived").alias("derived"),
            F.count_distinct("taker").alias("shoppers"),
        )
    )
    takes = _as_of(_takes(searches), night, section)
    return (
        counts.join(_spread(takes, items, section), on=KEY, how="left")
        .fillna(0, subset=["takes"])
        .fillna(0.0, subset=["item_entropy", "category_entropy", "top_item_share", "top_category_share"])
        .withColumn("query_class", _query_class(section))
        .select(*QUERY_CLASSES.schema.names)
    )


def normalised_entropy(takes: Column, terms: Column, even: int) -> Column:
    """H / log2(min(T, even)), at most 1, for T takes; 0 for none or one.

    H = -Σ p log2 p = log2 T - Σ c log2 c / T, c being the takes of each part and `terms` the sum of entropy_term(c).
    Divided by what takes would have that are spread evenly over `even` parts, or over as many as there are takes.
    Rounded to 1e-6: each term is off by less than that half, and H by no more, as there are no more parts than takes.
    """
    entropy = F.log2(takes) - terms / F.lit(UNIT) / takes
    greatest = F.log2(F.least(takes, F.lit(even)))
    return F.when(takes < 2, 0.0).otherwise(F.round(F.least(F.greatest(entropy / greatest, F.lit(0.0)), F.lit(1.0)), 6))


def entropy_term(takes: Column) -> Column:
    """c log2 c in millionths, as a long: a sum that is the same in any order."""
    return F.rint(takes * F.log2(takes) * UNIT).cast("long")


def _takes(searches: DataFrame) -> DataFrame:
    """KEY and item_id of each entry of a slate that was taken.

    Entries are taken out of their arrays before they are looked at: the plan's `Generate` and `Filter` are compiled,
    where a filter of the array is interpreted for each entry.
    """
    shown = searches.select(*KEY, F.explode("slate").alias("shown"))
    return shown.where(F.col("shown.gain") > 0).select(*KEY, "shown.item_id")


def _as_of(searches: DataFrame, night: Night, config: QueryClassesConfig) -> DataFrame:
    """Each row once for every snapshot whose window holds it; run_date is the snapshot's."""
    seen_by = F.filter(
        F.array(*[F.lit(day) for day in night.snapshots]),
        lambda day: (F.col("run_date") <= day) & (F.col("run_date") > F.date_sub(day, config.window_nights)),
    )
    return searches.withColumn("run_date", F.explode(seen_by))


def _spread(takes: DataFrame, items: DataFrame, config: QueryClassesConfig) -> DataFrame:
    """KEY, takes, and how they are spread over items and first-level categories. takes: KEY and item_id of each."""
    by_item = (
        takes.groupBy(*KEY, "item_id")
        .agg(F.count("*").alias("takes"))
        .join(items.select("item_id", _first_level().alias("category")), on="item_id", how="left")
    )
    by_category = by_item.groupBy(*KEY, "category").agg(
        F.sum("takes").alias("takes"),
        F.max("takes").alias("top_item"),
        F.sum(entropy_term(F.col("takes"))).alias("item_terms"),
    )
    total = F.sum("takes")
    item_entropy = normalised_entropy(total, F.sum("item_terms"), config.even_items)
    category_entropy = normalised_entropy(total, F.sum(entropy_term(F.col("takes"))), config.even_categories)
    return by_category.groupBy(*KEY).agg(
        total.alias("takes"),
        item_entropy.alias("item_entropy"),
        category_entropy.alias("category_entropy"),
        (F.max("top_item") / total).alias("top_item_share"),
        (F.max("takes") / total).alias("top_category_share"),
    )


def _first_level() -> Column:
    """The item's first-level category, as its facets say; null for none: all items without one are one part."""
    path = F.filter("facets", lambda token: token.startswith(CATEGORY) & ~token.contains(BELOW))
    return F.try_element_at(path, F.lit(1))


def _query_class(config: QueryClassesConfig) -> Column:
    return (
        F.when(F.col("derived") | (F.col("takes") < config.min_takes), "category")
        .when(F.col("item_entropy") <= config.navigational_item_entropy, "navigational")
        .when(F.col("category_entropy") >= config.exploratory_category_entropy, "exploratory")
        .otherwise("category")
    )
