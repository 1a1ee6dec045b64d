"""The input `enrichments`, of the same shape whatever the convention: what a language model wrote of items."""

from __future__ import annotations

import logging
from dataclasses import replace

from pyspark.sql import DataFrame, SparkSession

from nightrank.config import Config
from nightrank.contract import columns
from nightrank.nights import ONE_DAY
from nightrank.sources.reading import Arrivals, arriving, files_of, is_dated
from nightrank.sources.tabular import Shape, read_shaped
from nightrank.tables import ENRICHMENT, RAW_ENRICHMENTS

log = logging.getLogger("nightrank")
SHAPE = Shape(columns(**ENRICHMENT), required=frozenset(ENRICHMENT))


def read_enrichments(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_ENRICHMENTS, in the source's own format; empty where the config names no such log.

    A night on which nothing was written is a night, and so is one without a file, which is told of: a language model
    that is late holds up no night, and the items that it did not get to keep their plain texts.
    """
    source = config.source
    if source.enrichments is None:
        return spark.createDataFrame([], RAW_ENRICHMENTS)
    if is_dated(source.enrichments) and not files_of(spark, source.enrichments, asked.tonight, asked.tonight):
        log.warning("night=%s input=enrichments: no file of this night, so nothing new", asked.tonight)
        asked = replace(asked, last=min(asked.last, asked.tonight - ONE_DAY))
    rows = read_shaped(spark, source.format, source.enrichments, SHAPE, asked, allow_empty=True)
    arrived = arriving(rows.withColumnRenamed("made_at", "ts"), asked)
    return arrived.withColumnRenamed("ts", "made_at").select(*RAW_ENRICHMENTS.names)
