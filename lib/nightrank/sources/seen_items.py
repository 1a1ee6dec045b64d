"""The catalogue of a log without one: what its events say of the items that they name."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.contract import STRING, STRINGS
from nightrank.tables import CATALOGUE, RAW_ITEMS

SAID = ("title", "description", "brand", "category", "price")


def seen_items(seen: DataFrame) -> DataFrame:
    """RAW_ITEMS from rows (item_id, ts, arrived, and any of SAID): a night's newest row with a title, whole.

    A version with a title counts as updated when it was seen; one without has the id for a title and never replaces
    another.
    """
    said = [name for name in SAID if name in seen.columns]
    newest = (
        seen.where("item_id IS NOT NULL")
        .withColumn("updated_at", F.when(F.col("title").isNotNull(), F.col("ts")))
        .groupBy("item_id", "arrived")
        .agg(F.max(F.struct("updated_at", *said)).alias("newest"))
        .select("item_id", "arrived", "newest.*")
        .withColumn("title", F.coalesce("title", "item_id"))
        .withColumn("problems", F.array().cast(STRINGS))
    )
    columns = {**CATALOGUE, "source_file": STRING}
    unsaid = {name: F.lit(None).cast(kind) for name, kind in columns.items() if name not in newest.columns}
    return newest.withColumns(unsaid).select(*RAW_ITEMS.names)
