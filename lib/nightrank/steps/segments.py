"""segments: the rule that puts a shopper without a row into a segment."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import Night


def build_segments(user_profiles: DataFrame, night: Night, config: Config) -> DataFrame:  # noqa: ARG001  # the contract of builders
    """One row a segment with enough shoppers: its name, the category token that stands for it, its shoppers."""
    counted = (
        user_profiles.where(F.col("segment").isNotNull()).groupBy("segment").agg(F.count(F.lit(1)).alias("shoppers"))
    )
    token = F.regexp_replace("segment", "^segment:", "category:")
    return counted.where(F.col("shoppers") >= config.segments.min_shoppers).withColumn("token", token)
