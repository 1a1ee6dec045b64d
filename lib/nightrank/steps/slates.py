"""Slates as flat arrays, with the propensities of their positions: what examples are made of and rankings judged on."""

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
    "slate_propensities",
    "slate_sponsored",
)
DEFAULT_CLASS = "category"


def flat_slates(searches: DataFrame, propensities: DataFrame, query_classes: DataFrame, config: Config) -> DataFrame:
    """Searches with something taken: ids, class, and the slate as arrays in the order shown.

    slate_propensities: how likely each position was looked at: as logged with the slate, else by the curve of the
    search's device, else by that of all devices; 1 in derived searches, which were shown in no order. slate_gains are
    divided by it, raised to propensities.clip where it is smaller, so that no single take outweighs a night (clipped
    IPS); slate_logged_gains are not.
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
            F.col("slate.gain").alias("slate_logged_gains"),
            F.col("slate.position").alias("slate_positions"),
            *_told_of_each(config.propensities.clip),
        )
    )


def _told_of_each(clip: float) -> tuple[Column, Column, Column]:
    """slate_gains, slate_propensities, slate_sponsored: what is made of each item and the curve."""
    return (
        F.transform("slate", lambda shown: _weighted_gain(shown, clip)).alias("slate_gains"),
        F.transform("slate", _propensity).alias("slate_propensities"),
        F.transform("slate", lambda shown: F.coalesce(shown["sponsored"], F.lit(False))).alias("slate_sponsored"),
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
    """gain / propensity."""
    return F.coalesce(shown["gain"], F.lit(0.0)) / F.greatest(_propensity(shown), F.lit(clip))


def _propensity(shown: Column) -> Column:
    """Of the item's position; one beyond the curve counts as its last."""
    last = F.least(shown["position"], F.size("curve"))
    logged = F.coalesce(shown["propensity"], F.element_at("curve", last), F.lit(1.0))
    return F.when(F.coalesce(F.col("derived"), F.lit(False)), F.lit(1.0)).otherwise(logged)
