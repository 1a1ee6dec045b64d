"""Searches derived from purchases: what a shop without search logs is learned and judged on, and always called so."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.contract import INT, STRING, STRINGS
from nightrank.sections import SearchesConfig
from nightrank.tables import SEARCH


def derived_searches(lines: DataFrame, first: date, popularity_days: int, config: SearchesConfig) -> DataFrame:
    """RAW_SEARCHES: some purchases of each order that arrived from `first` on, each as a search for its category.

    lines: purchases (query_id, order_id, item_id, user_id, ts, category, arrived), from popularity_days before first.
    The slate is the item and others of its category whose popularity before that day is like its own, in the order of
    base_score = log1p(purchases in the popularity_days before the day). Only items bought in those days are drawn,
    the taken one included: else a base score of 0 would give the taken item away.
    """
    shelves = _shelves(lines, first, popularity_days, 2 * config.derived_slate)
    bought = _chosen(lines.filter(F.col("arrived") >= F.lit(first)), shelves, config.derived_per_order)
    baskets = lines.select("order_id", "item_id").distinct().withColumn("beside", F.lit(True))
    others = (
        bought.withColumnRenamed("item_id", "taken")
        .join(shelves, on=["category", "arrived", "shelf"], how="inner")
        # What the shopper bought beside it was no refusal.
        .join(baskets, on=["order_id", "item_id"], how="left")
        .filter(F.col("beside").isNull() | (F.col("item_id") == F.col("taken")))
    )
    taken_first = F.when(F.col("item_id") == F.col("taken"), 0).otherwise(1)
    drawing = Window.partitionBy("query_id").orderBy(taken_first, F.xxhash64("query_id", "item_id"), "item_id")
    drawn = others.withColumn("_turn", F.row_number().over(drawing)).filter(F.col("_turn") <= config.derived_slate)
    return _slates(drawn)


def _shelves(lines: DataFrame, first: date, days: int, size: int) -> DataFrame:
    """(category, arrived, item_id, bought_before, shelf): per day, `size` neighbours by popularity share a shelf."""
    counts = lines.filter("category IS NOT NULL").groupBy("category", "item_id", "arrived").agg(F.count("*").alias("n"))
    after = F.explode(F.sequence(F.date_add("arrived", 1), F.date_add("arrived", days)))
    by_popularity = Window.partitionBy("category", "arrived").orderBy(F.col("bought_before").desc(), "item_id")
    return (
        counts.select("category", "item_id", "n", after.alias("arrived"))
        .filter(F.col("arrived") >= F.lit(first))
        .groupBy("category", "arrived", "item_id")
        .agg(F.sum("n").alias("bought_before"))
        .withColumn("shelf", F.floor((F.row_number().over(by_popularity) - 1) / size))
    )


def _chosen(lines: DataFrame, shelves: DataFrame, per_order: int) -> DataFrame:
    first_line = F.min(F.struct("ts", "user_id", "category")).alias("line")
    draw = Window.partitionBy("order_id", "arrived").orderBy(F.xxhash64("query_id"), "item_id")
    return (
        lines.filter("category IS NOT NULL AND user_id IS NOT NULL AND ts IS NOT NULL")
        .groupBy("query_id", "order_id", "item_id", "arrived")
        .agg(first_line)
        .select("query_id", "order_id", "item_id", "arrived", "line.*")
        .join(shelves.drop("bought_before"), on=["category", "arrived", "item_id"], how="inner")
        .withColumn("_turn", F.row_number().over(draw))
        .filter(F.col("_turn") <= per_order)
        .drop("_turn")
    )


def _slates(drawn: DataFrame) -> DataFrame:
    in_order = F.array_sort(F.collect_list(F.struct((-F.col("bought_before")).alias("less"), "item_id")))
    searches = (
        drawn.groupBy("query_id", "ts", "user_id", "category", "arrived")
        .agg(in_order.alias("shown"))
        # A slate of one item has no order to learn from.
        .filter(F.size("shown") > 1)
        .withColumn("slate", F.transform("shown", _entry))
        .withColumn("query", F.element_at(F.split("category", " > "), -1))
        .withColumn("derived", F.lit(True))
        .withColumn("problems", F.array().cast(STRINGS))
    )
    columns = {**SEARCH, "source_file": STRING}
    unsaid = {name: F.lit(None).cast(kind) for name, kind in columns.items() if name not in searches.columns}
    return searches.withColumns(unsaid)


def _entry(one: Column, at: Column) -> Column:
    return F.struct(
        one["item_id"].alias("item_id"),
        (at + 1).cast(INT).alias("position"),
        F.log1p(-one["less"]).alias("base_score"),
        F.lit(False).alias("sponsored"),
        F.lit(None).cast("double").alias("propensity"),
    )
