"""The text that is encoded: the template filled, with the newest enrichment of just that text, or without."""

from __future__ import annotations

from datetime import date, datetime
from hashlib import sha256
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.contract import columns
from nightrank.errors import ConfigError
from nightrank.steps.item_texts import item_text, with_texts
from nightrank.tables import CATALOGUE, ENRICHMENTS

ON = {"source": {"enrichments": "e"}, "enrichments": {"in_text": True}}
NEW = ["text", "content_hash", "plain_hash"]


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def written(plain: str, text: str, day: int, made: int) -> tuple[Any, ...]:
    """A row of `enrichments` that arrived on a day of January and was made on another."""
    return (date(2026, 1, day), hashed(plain), text, "m", "1", datetime(2026, 1, made), [], True)


def test_a_text_holds_the_newest_enrichment_of_its_plain_text(spark: SparkSession) -> None:
    """Of the input before the catalogue's own, which is left out where it is unsafe; switched off nothing holds one."""
    rows = [
        {"item_id": "told", "title": "Lamp", "description": "Warm", "enrichment": "the shop's"},
        {"item_id": "changed", "title": "Shoe 2"},
        {"item_id": "own", "title": "Box", "enrichment": "A box of oak"},
        {"item_id": "unsafe", "title": "Cup", "enrichment": "<b>cup</b>"},
        {"item_id": "plain", "title": "Pan"},
    ]
    base = dict.fromkeys(CATALOGUE)
    items = spark.createDataFrame([tuple({**base, **row}.values()) for row in rows], columns(**CATALOGUE)).coalesce(1)
    made = [
        written("Lamp. Warm", "For reading.", 2, 3), written("Lamp. Warm", "arrived last, made before", 4, 1),
        written("Lamp. Warm", "arrived before", 1, 3), written("Shoe.", "of the shoe as it was", 2, 2),
    ]  # fmt: skip
    enrichments = spark.createDataFrame(made, ENRICHMENTS.schema).coalesce(1)
    on, off = Config.model_validate(ON), Config.model_validate({"source": ON["source"]})
    found = with_texts(items, enrichments, on).select("item_id", *NEW)
    found = found.unionByName(with_texts(items, enrichments, off).select(F.upper("item_id").alias("item_id"), *NEW))
    wanted = [
        ("told", "Lamp. For reading. Warm", "Lamp. Warm"), ("changed", "Shoe 2.", "Shoe 2."),
        ("own", "Box. A box of oak.", "Box."), ("unsafe", "Cup.", "Cup."), ("plain", "Pan.", "Pan."),
    ]  # fmt: skip
    expected = [(item, text, hashed(text), hashed(plain)) for item, text, plain in wanted]
    expected += [(item.upper(), plain, hashed(plain), hashed(plain)) for item, _, plain in wanted]
    assertDataFrameEqual(found, spark.createDataFrame(expected, found.schema))


def test_a_template_with_an_unknown_field_or_no_place_is_refused(spark: SparkSession) -> None:
    with pytest.raises(ConfigError, match="found 'colour'"):
        item_text("{title}. {colour}", 5, F.lit(None))
    short = spark.createDataFrame([("abcdefgh",)], "title string").select(
        item_text("{title}", 5, F.lit(None)).alias("text")
    )
    assertDataFrameEqual(short, spark.createDataFrame([("abcde",)], short.schema))
    without = Config.model_validate({**ON, "items": {"template": "{title}"}})
    nothing = spark.createDataFrame([], ENRICHMENTS.schema)
    with pytest.raises(ConfigError, match=r"expected a place \{enrichment\} for enrichments, found '\{title\}'"):
        with_texts(spark.createDataFrame([], columns(**CATALOGUE)), nothing, without)
