"""The input `people` in each format, whatever the convention; an empty night is one, a missing file is not."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.errors import ContractError, InputMissingError
from nightrank.sources import listing, read_raw
from nightrank.tables import RAW_PEOPLE

NIGHT = date(2026, 1, 3)


def config(path: str | None, form: str = "json", convention: str = "ga4") -> Config:
    return Config.model_validate({"source": {"convention": convention, "format": form, "people": path}})


def test_words_are_read_with_their_night_and_broken_lines_kept(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "2026-01-03"
    folder.mkdir()
    lines = [
        {"ts": "2026-01-02T10:00:00Z", "user_id": "c", "action": "link", "other_id": "p", "more": 1},
        {"ts": "soon", "user_id": 7, "action": "opt_out"},
    ]
    (folder / "people.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "{\n")
    source = config(f"{tmp_path}/{{run_date}}/people.jsonl")
    expected = [
        (datetime(2026, 1, 2, 10), "c", "link", "p", NIGHT, []),
        (None, "7", "opt_out", None, NIGHT, ["unparsable"]),
        (None, None, None, None, NIGHT, ["unparsable"]),
    ]
    found = read_raw(spark, "people", source, NIGHT, NIGHT, NIGHT)
    assertDataFrameEqual(found, spark.createDataFrame(expected, RAW_PEOPLE))
    before = listing(spark, source, NIGHT, NIGHT)
    (folder / "people.jsonl").write_text("")
    assert listing(spark, source, NIGHT, NIGHT) != before
    assert read_raw(spark, "people", source, NIGHT, NIGHT, NIGHT).isEmpty()
    with pytest.raises(InputMissingError, match=r"2026-01-04/people\.jsonl' cannot be read: no such path"):
        read_raw(spark, "people", source, date(2026, 1, 4), date(2026, 1, 4), date(2026, 1, 4))
    assert read_raw(spark, "people", config(None), NIGHT, NIGHT, NIGHT).isEmpty()


def test_a_static_csv_needs_its_columns(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("ts,user_id,action\n2026-01-03T10:00:00Z,c,opt_out\n2026-01-04T10:00:00Z,c,opt_in\n")
    source = config(str(path), "csv", "canonical")
    expected = [(datetime(2026, 1, 3, 10), "c", "opt_out", None, NIGHT, [])]
    assertDataFrameEqual(
        read_raw(spark, "people", source, NIGHT, NIGHT, NIGHT), spark.createDataFrame(expected, RAW_PEOPLE)
    )
    path.write_text("ts,user_id\n2026-01-03T10:00:00Z,c\n")
    with pytest.raises(ContractError, match="expected columns action, found only"):
        read_raw(spark, "people", source, NIGHT, NIGHT, NIGHT)
