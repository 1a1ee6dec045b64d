"""Query vectors: distinct queries with words in them that have none yet."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.models.encoder import encoder_version, load_encoder
from nightrank.nights import ordinary_night
from nightrank.sections import EncoderConfig
from nightrank.steps.query_embeddings import build_query_embeddings
from nightrank.tables import ENCODER_RUNS

NIGHT = ordinary_night(date(2026, 1, 9), ())
SEARCHES = [
    ("s1", "blue shirt"),
    ("s2", "trail shoe"),
    ("s3", "trail shoe"),  # asked twice, encoded once
    ("s4", ""),
    ("s5", "  "),
    ("s6", None),
    ("s7", "lamp"),  # has a vector already
]
SCHEMA = "normalised_query string, encoder_version string, vector array<float>, tokens int, unknown_tokens int"
COLUMNS = ("normalised_query", "encoder_version", "vector", "tokens", "unknown_tokens")


def test_distinct_queries_without_a_vector(spark: SparkSession, tiny_bert: Path) -> None:
    config = Config(query_embeddings=EncoderConfig(model=str(tiny_bert), max_tokens=32, buckets=1, tasks=2))
    version = encoder_version(config.query_embeddings)
    searches = spark.createDataFrame(SEARCHES, "query_id string, normalised_query string")
    held = spark.createDataFrame([("lamp", version, [1.0], 3, 0), ("trail shoe", "another-one", [1.0], 4, 0)], SCHEMA)
    found = build_query_embeddings(searches, held, spark.createDataFrame([], ENCODER_RUNS.schema), NIGHT, config)
    blue, trail = load_encoder(str(tiny_bert), 32, 1)(["blue shirt", "trail shoe"]).tolist()
    expected = [("blue shirt", version, blue, 4, 0), ("trail shoe", version, trail, 4, 0)]
    assertDataFrameEqual(found.select(*COLUMNS), spark.createDataFrame(expected, SCHEMA), rtol=0, atol=0)
