"""What is told of a night's enrichments: how many were refused and why, and how many items have one."""

from __future__ import annotations

import logging

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.contract import Table
from nightrank.nights import Night
from nightrank.steps.enrichments import unsafe
from nightrank.steps.reasons import any_of
from nightrank.storage import read_table

log = logging.getLogger("nightrank")


def tell_enrichments(spark: SparkSession, config: Config, table: Table, night: Night) -> None:
    """Tells how many enrichments arrived and how many were refused for which reason; a warning where they are many.

    No night is refused for them: an item whose enrichment is refused has its plain text.
    """
    rows = read_table(spark, config.lake, table, night.first_arrival, night.run_date, accepted_only=False)
    reason = F.when(F.col("accepted"), F.array(F.lit("accepted"))).otherwise(F.col("reasons"))
    said = rows.select("accepted", F.explode(reason).alias("reason"))
    counts = {row["reason"]: row["count"] for row in said.groupBy("reason").count().collect()}
    refused = sum(count for name, count in counts.items() if name not in {"accepted", *config.deliveries.expected})
    many = refused > config.deliveries.warn_quarantined * sum(counts.values())
    told = " ".join(f"{name}={count}" for name, count in sorted(counts.items()))
    log.log(logging.WARNING if many else logging.INFO, "table=%s night=%s %s", table.name, night.run_date, told)


def tell_enriched(spark: SparkSession, config: Config, table: Table, night: Night) -> None:
    """Tells how many items' texts hold an enrichment, and how many of the catalogue's own were refused; nothing where
    texts hold none."""
    if not config.enrichments.in_text:
        return
    refused = F.col("enrichment").isNotNull() & any_of(list(unsafe(F.col("enrichment"), config).values()))
    counted = read_table(spark, config.lake, table, night.run_date, night.run_date).agg(
        F.count("*").alias("items"),
        F.count_if(F.col("content_hash") != F.col("plain_hash")).alias("enriched"),
        F.count_if(refused).alias("refused"),
    )
    for row in counted.collect():
        log.info(
            "table=%s night=%s items=%d enriched=%d refused_in_catalogue=%d",
            table.name, night.run_date, row["items"], row["enriched"], row["refused"],
        )  # fmt: skip
