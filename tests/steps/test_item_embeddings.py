"""Item vectors: only texts without one, each once, in the encoder's version."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.models.encoder import encoder_version, load_encoder
from nightrank.nights import ordinary_night
from nightrank.sections import EncoderConfig
from nightrank.steps.item_embeddings import build_item_embeddings
from nightrank.tables import ENCODER_RUNS

NIGHT = ordinary_night(date(2026, 1, 9), ())
ITEMS = [
    ("i1", "red shoe", "h-red"),
    ("i2", "blue shirt", "h-blue"),
    ("i3", "red shoe", "h-red"),  # sold twice: one text, one vector
    ("i4", "warm lamp", "h-warm"),
]
SCHEMA = "content_hash string, encoder_version string, vector array<float>, tokens int, unknown_tokens int"
COLUMNS = ("content_hash", "encoder_version", "vector", "tokens", "unknown_tokens")


def test_only_new_texts_each_once_and_all_of_them_for_another_version(spark: SparkSession, tiny_bert: Path) -> None:
    config = Config(item_embeddings=EncoderConfig(model=str(tiny_bert), max_tokens=32, buckets=1, tasks=2))
    version = encoder_version(config.item_embeddings)
    items = spark.createDataFrame(ITEMS, "item_id string, text string, content_hash string")
    untuned = spark.createDataFrame([], ENCODER_RUNS.schema)
    held = [
        ("h-blue", version, [1.0], 3, 0),
        ("h-gone", version, [1.0], 3, 0),
        ("h-red", "another-one", [1.0], 3, 0),  # red has a vector of another encoder only
    ]
    found = build_item_embeddings(items, spark.createDataFrame(held, SCHEMA), untuned, NIGHT, config)
    red, warm = load_encoder(str(tiny_bert), 32, 1)(["red shoe", "warm lamp"]).tolist()
    expected = [("h-red", version, red, 4, 0), ("h-warm", version, warm, 4, 0)]
    assertDataFrameEqual(found.select(*COLUMNS), spark.createDataFrame(expected, SCHEMA), rtol=0, atol=0)

    shorter = Config(item_embeddings=config.item_embeddings.model_copy(update={"max_tokens": 16}))
    anew = build_item_embeddings(items, spark.createDataFrame(held, SCHEMA), untuned, NIGHT, shorter)
    versions = [(key, encoder_version(shorter.item_embeddings)) for key in ("h-blue", "h-red", "h-warm")]
    assertDataFrameEqual(
        anew.select("content_hash", "encoder_version"),
        spark.createDataFrame(versions, "content_hash string, encoder_version string"),
    )
