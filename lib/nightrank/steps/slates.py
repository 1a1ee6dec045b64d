"""Slates as flat arrays, gains weighted by inverse propensities: what examples are made of and rankings judged on."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.steps.entries import any_gain
from nightrank.tables import CLASSES

SLATE_COLUMNS = (
    "slate_item_ids",
    "slate_base",
    "slate_gains",
    "slate_logged_gains",
    "slate_positions",
    "slate_sponsored",
)
DEFAULT_CLASS = "category"


def flat_slates(searches: DataFrame, propensities: DataFrame, query_classes: DataFrame, config: Config) -> DataFrame:
    """Searches with something taken: ids, class, and the slate as arrays in the order shown.

    slate_gains are divided by the propensity of their position: the one logged with the slate, else that of the
    search's device, else that of all devices; derived searches were shown in no order and keep their gains. Small
    propensities are raised to propensities.clip, so that no single take outweighs a night (clipped IPS).
    query_classes: one snapshot; a query that it does not know is of class `category`.
    """
    taken = searches.where(any_gain())
    curves = _curves(propensities)
    device = F.coalesce("device", F.lit("unknown"))
    return (
        taken.withColumn("device", device)
        .join(F.broadcast(curves), on="device", how="left")
        .join(F.broadcast(_curve_of_all(curves)), how="cross")
        .withColumn("curve", F.coalesce("curve", "curve_of_all"))
        .join(query_classes.select("normalised_query", "query_class"), on="normalised_query", how="left")
        .select(
            "run_date",
            "query_id",
            "user_id",
            "ts",
            "normalised_query",
            "derived",
            F.coalesce("query_class", F.lit(DEFAULT_CLASS)).alias("query_class"),
            F.col("slate.item_id").alias("slate_item_ids"),
            F.col("slate.base_score").alias("slate_base"),
            F.transform("slate", lambda shown: _weighted_gain(shown, config.propensities.clip)).alias("slate_gains"),
            F.col("slate.gain").alias("slate_logged_gains"),
            F.col("slate.position").alias("slate_positions"),
            F.transform("slate", lambda shown: F.coalesce(shown["sponsored"], F.lit(False))).alias("slate_sponsored"),
        )
    )


def is_drawn(share: float) -> Column:
    """Whether a search is one of a share of them, drawn by the hash of its id: the same ones whenever it is asked."""
    return F.pmod(F.xxhash64("query_id"), F.lit(1_000_000)) < int(share * 1_000_000)


def class_index(query_class: Column) -> Column:
    """The class as its position in tables.CLASSES."""
    return (F.array_position(F.array(*[F.lit(c) for c in CLASSES]), query_class) - 1).cast("int")


def _curves(propensities: DataFrame) -> DataFrame:
    """One row a device: curve, the propensities in position order."""
    ordered = F.array_sort(F.collect_list(F.struct("position", "propensity")))
    return (
        propensities.groupBy("device")
        .agg(ordered.alias("points"))
        .select("device", F.col("points.propensity").alias("curve"))
    )


def _curve_of_all(curves: DataFrame) -> DataFrame:
    return curves.where(F.col("device") == "all").select(F.col("curve").alias("curve_of_all"))


def _weighted_gain(shown: Column, clip: float) -> Column:
    """gain / propensity; a position beyond the curve counts as its last."""
    last = F.least(shown["position"], F.size("curve"))
    logged = F.coalesce(shown["propensity"], F.element_at("curve", last), F.lit(1.0))
    looked_at = F.when(F.coalesce(F.col("derived"), F.lit(False)), F.lit(1.0)).otherwise(logged)
    return F.coalesce(shown["gain"], F.lit(0.0)) / F.greatest(looked_at, F.lit(clip))
