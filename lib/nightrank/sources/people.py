"""The input `people`, of the same shape whatever the convention: links between ids, and who has opted out."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from nightrank.config import Config
from nightrank.contract import columns
from nightrank.sources.reading import Arrivals, arriving
from nightrank.sources.tabular import Shape, read_shaped
from nightrank.tables import RAW_PEOPLE, WORD

SHAPE = Shape(columns(**WORD), required=frozenset({"ts", "user_id", "action"}))


def read_people(spark: SparkSession, config: Config, asked: Arrivals) -> DataFrame:
    """RAW_PEOPLE, in the source's own format; empty where the config names no such log.

    A night on which nobody said anything is a night, whatever source.allow_empty says. One without a file is not: it
    may have held an opt-out.
    """
    source = config.source
    if source.people is None:
        return spark.createDataFrame([], RAW_PEOPLE)
    rows = read_shaped(spark, source.format, source.people, SHAPE, asked, allow_empty=True)
    return arriving(rows, asked).select(*RAW_PEOPLE.names)
