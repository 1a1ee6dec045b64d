"""Segments: counted from the shoppers who are in one."""

from __future__ import annotations

from datetime import date

from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import ordinary_night
from nightrank.steps.segments import build_segments
from nightrank.tables import SEGMENTS


def test_segments_with_enough_shoppers_and_their_token(spark):
    config = Config.model_validate({"segments": {"min_shoppers": 2}})
    rows = [("a", "segment:garden"), ("b", "segment:garden"), ("c", "segment:category:toys"), ("d", None), ("e", None)]
    profiles = spark.createDataFrame(rows, "user_id string, segment string")
    built = build_segments(user_profiles=profiles, night=ordinary_night(date(2026, 1, 1), ()), config=config)
    expected = spark.createDataFrame([("segment:garden", "category:garden", 2)], SEGMENTS.columns)
    assertDataFrameEqual(SEGMENTS.conform(built), expected)
