"""What shoppers who opted out did is forgotten: it reaches no profile, trains nothing and judges nothing."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def not_forgotten(frame: DataFrame, people: DataFrame, done_on: Column | None = None) -> DataFrame:
    """The rows of `frame` (user_id) that are of a night after the one until which their shopper's are forgotten.

    people: one night. done_on: the night that a row belongs to; None: its run_date. Who is opted out is forgotten until
    that night itself, so nothing of theirs is left. Without people it is the frame as it was, and so is Spark's plan.
    """
    night = F.col("run_date") if done_on is None else done_on
    forgotten = people.where(F.col("forgotten_until").isNotNull()).select("user_id", "forgotten_until")
    dated = frame.withColumn("_done_on", night)
    late = (F.col("own.user_id") == F.col("said.user_id")) & (F.col("_done_on") <= F.col("forgotten_until"))
    return dated.alias("own").join(forgotten.alias("said"), on=late, how="left_anti").drop("_done_on")
