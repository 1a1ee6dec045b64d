"""What a language model wrote: which texts are safe, which of two stands, and how the input is read."""

from __future__ import annotations

import json
import logging
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import ordinary_night
from nightrank.sources import listing, read_raw
from nightrank.steps.enrichments import build_enrichments
from nightrank.tables import ENRICHMENTS, RAW_ENRICHMENTS

NIGHT = date(2026, 1, 3)
HASH = "0123456789abcdef" * 4
LONGEST = 40


def at(hour: int) -> datetime:
    return datetime(2026, 1, 3, hour)


def test_unsafe_texts_are_refused_each_for_its_reason_and_the_last_made_stands(spark: SparkSession) -> None:
    """A row a rule; hashes differ by their last letter, so that only those of one hash meet."""
    config = Config.model_validate({"enrichments": {"longest_text": LONGEST}})
    said: list[tuple[str, str | None, dict[str, Any], list[str]]] = [
        ("0", "Sleeps two & packs small: under 3 < 4 kg", {}, []),
        ("1", "Zeltplatz für zwei,\n\tmit Überzelt 帐篷", {}, []),
        ("2", None, {}, ["empty_text"]),
        ("3", " ", {}, ["empty_text"]),
        ("4", "x" * (LONGEST + 1), {}, ["overlong_text"]),
        ("5", "bell \a rings", {}, ["control_characters"]),
        ("6", "turned \u202e round", {}, ["control_characters"]),
        ("7", "<b>bold</b> &amp; more", {}, ["markup"]),
        ("8", "[here](http://x.example)", {}, ["markup"]),
        ("9", "I'm sorry, I cannot write that.", {}, ["refusal"]),
        ("a", "text", {"model": " "}, ["missing_provenance"]),
        ("b", "text", {"made_at": None}, ["missing_provenance"]),
        ("c", "text", {"made_at": datetime(2026, 1, 4)}, ["impossible_time"]),
        ("g", "no hexadecimal digit", {}, ["missing_key"]),
        ("d", "early", {"made_at": at(1)}, ["duplicate"]),
        ("d", "late", {"made_at": at(2)}, []),
        ("d", "<later>", {"made_at": at(3)}, ["markup"]),
    ]
    base = {**dict.fromkeys(RAW_ENRICHMENTS.names), "model": "m", "prompt_version": "1", "made_at": at(1),
            "arrived": NIGHT, "problems": []}  # fmt: skip
    rows = [{**base, **more, "plain_hash": HASH[:-1] + key, "text": text} for key, text, more, _ in said]
    raw = spark.createDataFrame([tuple(row.values()) for row in rows], RAW_ENRICHMENTS)
    wanted = [
        (NIGHT, *[row[name] for name in list(base)[:5]], reasons, not reasons)
        for row, (*_, reasons) in zip(rows, said, strict=True)
    ]
    found = build_enrichments(raw, ordinary_night(NIGHT, ()), config)
    assertDataFrameEqual(found, spark.createDataFrame(wanted, ENRICHMENTS.schema))


def test_a_night_without_a_file_has_nothing_new(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "2026-01-03"
    folder.mkdir()
    line = {"plain_hash": HASH, "text": "t", "model": "m", "prompt_version": 2, "made_at": "2026-01-03T01:00:00Z"}
    (folder / "enrichments.jsonl").write_text(json.dumps(line) + "\n{\n")
    path = f"{tmp_path}/{{run_date}}/enrichments.jsonl"
    config = Config.model_validate({"source": {"convention": "ubi", "format": "json", "enrichments": path}})
    rows = [(HASH, "t", "m", "2", at(1), NIGHT, []), (None, None, None, None, None, NIGHT, ["unparsable"])]
    wanted = spark.createDataFrame(rows, RAW_ENRICHMENTS)
    later = date(2026, 1, 4)
    assert listing(spark, config, NIGHT, NIGHT) != listing(spark, config, later, later)
    with caplog.at_level(logging.WARNING, logger="nightrank"):
        assertDataFrameEqual(read_raw(spark, "enrichments", config, NIGHT, NIGHT, NIGHT), wanted)
        assert not caplog.records
        nothing = read_raw(spark, "enrichments", config, later, later, later)
        bulk = read_raw(spark, "enrichments", config, date(1970, 1, 1), later, later)
        assertDataFrameEqual(bulk.unionByName(nothing), wanted.where(F.lit(True)))
    assert "night=2026-01-04 input=enrichments: no file of this night" in caplog.text
