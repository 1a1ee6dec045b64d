"""The class of each query: how specific what is taken after it is."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.sections import QueryClassesConfig
from nightrank.steps.text import levels
from nightrank.tables import QUERY_CLASSES


def build_query_classes(searches: DataFrame, items: DataFrame, night: Night, config: Config) -> DataFrame:
    """The table `query_classes` with run_date: each query's class as of each night of night.snapshots.

    From the searches of the window_nights nights up to it: navigational, when one item has navigational_item_share of
    the takes or more; exploratory, when no first-level category has exploratory_category_share of them; else, or with
    fewer than min_takes takes, or from derived searches (their query is the category), category.
    """
    asked = _as_of(searches, night, config.query_classes)
    counts = asked.groupBy("run_date", "normalised_query").agg(
        F.count("*").alias("searches"), F.max("derived").alias("derived")
    )
    shares = _shares(asked, items)
    return (
        counts.join(shares, on=["run_date", "normalised_query"], how="left")
        .fillna(0, subset=["takes"])
        .fillna(0.0, subset=["top_item_share", "top_category_share"])
        .withColumn("query_class", _query_class(config.query_classes))
        .select(*QUERY_CLASSES.schema.names)
    )


def _as_of(searches: DataFrame, night: Night, config: QueryClassesConfig) -> DataFrame:
    """Each search once for every snapshot whose window holds it; run_date is the snapshot's."""
    seen_by = F.filter(
        F.array(*[F.lit(day) for day in night.snapshots]),
        lambda day: (F.col("run_date") <= day) & (F.col("run_date") > F.date_sub(day, config.window_nights)),
    )
    return searches.withColumn("run_date", F.explode(seen_by))


def _shares(asked: DataFrame, items: DataFrame) -> DataFrame:
    taken = F.explode(F.filter("slate", lambda one: one["gain"] > 0))
    keys = ["run_date", "normalised_query"]
    category = F.coalesce(F.try_element_at(levels(F.col("category")), F.lit(1)), F.lit("none"))
    by_item = (
        asked.select(*keys, taken.alias("taken"))
        .groupBy(*keys, F.col("taken.item_id").alias("item_id"))
        .agg(F.count("*").alias("takes"))
        .join(items.select("item_id", "category"), on="item_id", how="left")
        .withColumn("category", category)
    )
    by_category = by_item.groupBy(*keys, "category").agg(
        F.sum("takes").alias("takes"), F.max("takes").alias("top_item")
    )
    totals = by_category.groupBy(*keys).agg(
        F.sum("takes").alias("total"), F.max("top_item").alias("top_item"), F.max("takes").alias("top_category")
    )
    return totals.select(
        *keys,
        F.col("total").alias("takes"),
        (F.col("top_item") / F.col("total")).alias("top_item_share"),
        (F.col("top_category") / F.col("total")).alias("top_category_share"),
    )


def _query_class(config: QueryClassesConfig) -> Column:
    return (
        F.when(F.col("derived") | (F.col("takes") < config.min_takes), "category")
        .when(F.col("top_item_share") >= config.navigational_item_share, "navigational")
        .when(F.col("top_category_share") < config.exploratory_category_share, "exploratory")
        .otherwise("category")
    )
