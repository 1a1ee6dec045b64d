"""The manifest: lines, rows and what became of them, file by file; a night that lost some is refused."""

from __future__ import annotations

import json
import logging
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.deliveries import judge_of, refuse_lost_rows
from nightrank.errors import ContractError
from nightrank.nights import bulk_night, ordinary_night
from nightrank.sources import read_raw
from nightrank.steps.events import build_events
from nightrank.steps.manifest import build_manifest
from nightrank.storage import replace_night
from nightrank.tables import EVENTS, ITEMS, MANIFEST, RAW_EVENT_LINES

FIRST, NIGHT = date(2026, 1, 2), date(2026, 1, 3)


def stored(spark: SparkSession, *rows: tuple[date, str, list[str]]) -> DataFrame:
    """Rows of `events`: night, file, reasons."""
    row: dict[str, Any] = {**dict.fromkeys(EVENTS.schema.names), "facets": []}
    filled = [
        {**row, "run_date": night, "source_file": file, "reasons": reasons, "accepted": not reasons}
        for night, file, reasons in rows
    ]
    return spark.createDataFrame([tuple(one.values()) for one in filled], EVENTS.schema)


def test_each_file_s_lines_and_rows_are_accounted_for(spark: SparkSession) -> None:
    lines = spark.createDataFrame(
        [
            *[("a", FIRST, rows) for rows in (1, 1, 0, 3)],
            ("a", NIGHT, 1),  # the same file read again, as a day table that is rewritten
            ("impressions", NIGHT, 0),
            ("spoilt", NIGHT, None),
            ("lost", NIGHT, 2),
            ("of another night", date(2026, 1, 4), 1),
        ],
        RAW_EVENT_LINES,
    )
    events = stored(
        spark,
        (FIRST, "a", []), (FIRST, "a", []), (FIRST, "a", ["duplicate"]), (FIRST, "a", ["unparsable"]),
        (FIRST, "a", ["duplicate", "unknown_item"]), (NIGHT, "a", ["duplicate"]), (NIGHT, "lost", []),
        (NIGHT, "from nowhere", []),
    )  # fmt: skip
    found = build_manifest(lines, events, bulk_night(NIGHT, 14), Config())
    wanted = [
        (FIRST, "a", True, 4, 1, 5, 2, 2, 1),
        (NIGHT, "a", True, 1, 0, 1, 0, 0, 1),
        (NIGHT, "impressions", True, 1, 1, 0, 0, 0, 0),
        (NIGHT, "spoilt", False, 0, 0, 0, 0, 0, 0),
        (NIGHT, "lost", True, 1, 0, 2, 1, 0, 0),
        (NIGHT, "from nowhere", False, 0, 0, 0, 1, 0, 0),
    ]
    assertDataFrameEqual(found, spark.createDataFrame(wanted, MANIFEST.schema))


def test_a_night_that_is_delivered_twice_counts_once(spark: SparkSession, tmp_path: Path) -> None:
    row = {"ts": "2026-01-03T10:00:00Z", "user_id": "u", "action": "buy", "item_id": "i"}
    lines = [json.dumps({**row, "event_id": f"e{n}"}) for n in range(3)] + [json.dumps({**row, "item_id": ""}), "{"]
    folder = tmp_path / str(NIGHT)
    folder.mkdir()
    for name in ("first.jsonl", "again.jsonl"):
        (folder / name).write_text("\n".join(lines))
    source = {"convention": "canonical", "events": f"{tmp_path}/{{run_date}}"}
    config, night = Config.model_validate({"source": source}), ordinary_night(NIGHT, ())
    raw = {kind: read_raw(spark, kind, config, NIGHT, NIGHT, NIGHT) for kind in ("events", "event_lines")}
    known = {**dict.fromkeys(ITEMS.schema.names), "run_date": NIGHT, "item_id": "i", "facets": []}
    items = spark.createDataFrame([tuple(known.values())], ITEMS.schema)
    events = build_events(raw["events"], items, spark.createDataFrame([], EVENTS.schema), night, config)
    files = build_manifest(raw["event_lines"], events, night, config).collect()
    counts = {Path(f.source_file).stem: (f.lines, f.rows, f.good, f.quarantined, f.duplicates) for f in files}
    # What is not accepted is nobody's first row: its repetition is quarantined for both.
    assert counts == {"again": (5, 5, 3, 2, 0), "first": (5, 5, 0, 2, 3)}


def test_a_night_that_lost_rows_or_many_files_is_refused(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert judge_of(MANIFEST) is refuse_lost_rows
    settings = {"lake": {"path": str(tmp_path)}, "manifest": {"refuse_unreadable": 0.5}}
    config = Config.model_validate(settings)
    nights = [date(2026, 1, day) for day in (1, 2, 3)]
    whole, spoilt = ("b", True, 9, 1, 8, 5, 2, 1), ("a", False, *[0] * 6)
    rows = [
        *[(nights[0], *one) for one in (whole, spoilt)],
        *[(nights[1], *one) for one in (whole, spoilt, ("c", *spoilt[1:]))],
        (nights[2], "lost", True, 9, 1, 8, 5, 1, 1),
    ]
    replace_night(spark.createDataFrame(rows, MANIFEST.schema), config.lake, MANIFEST, nights[0], nights[2])
    with caplog.at_level(logging.WARNING, logger="nightrank"):
        refuse_lost_rows(spark, config, MANIFEST, ordinary_night(nights[0], ()))
    assert "night=2026-01-01 unreadable_files=1 first=a" in caplog.text
    with pytest.raises(ContractError, match="found 2 that cannot, first 'a'"):
        refuse_lost_rows(spark, config, MANIFEST, ordinary_night(nights[1], ()))
    with pytest.raises(ContractError, match=r"expected the 8 rows of file 'lost' in table 'events', found 7"):
        refuse_lost_rows(spark, config, MANIFEST, ordinary_night(nights[2], ()))
