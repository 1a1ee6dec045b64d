"""A night with a file that breaks in the middle: made without it, which the manifest says, or refused."""

from __future__ import annotations

import gzip
import json
import logging
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.nights import ordinary_night
from nightrank.runner import Run, run_stage
from nightrank.stages import STAGES
from nightrank.storage import read_table

NIGHT = date(2026, 1, 3)
FILES, BROKEN, ROWS = 8, 5, 200
PREPARED = [stage for stage in STAGES if stage.name in {"items", "events", "searches", "manifest"}]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A night's folder of archives of events, of which one is cut, a search log and a catalogue."""
    folder = tmp_path / str(NIGHT)
    folder.mkdir()
    event = {"ts": "2026-01-03T10:00:00Z", "user_id": "u", "action": "click", "item_id": "i", "query_id": "q"}
    for file in range(FILES):
        lines = [json.dumps({**event, "event_id": f"{file}.{row}", "user_id": f"u{row}"}) for row in range(ROWS)]
        (folder / f"events_{file}.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    search = {"query_id": "q", "ts": "2026-01-03T09:59:00Z", "user_id": "u", "query": "red", "slate": [
        {"item_id": "i", "position": 1}]}  # fmt: skip
    (folder / "searches.jsonl").write_text(json.dumps(search))
    (folder / "items.jsonl").write_text(json.dumps({"item_id": "i", "title": "red shoe"}))
    cut_short(folder / f"events_{BROKEN}.gz")
    return tmp_path


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def config_of(log: Path) -> Config:
    source = {
        "convention": "canonical", "events": f"{log}/{{run_date}}/events_*.gz",
        "searches": f"{log}/{{run_date}}/searches.jsonl", "items": f"{log}/{{run_date}}/items.jsonl*",
    }  # fmt: skip
    lake = {"path": f"{log}/lake"}
    return Config.model_validate({"source": source, "lake": lake, "searches": {"attribution_hours": 1}})


def test_a_night_is_made_without_the_file_that_broke(
    spark: SparkSession, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, night, run = config_of(log), ordinary_night(NIGHT, ()), Run(1)
    with caplog.at_level(logging.WARNING, logger="nightrank"):
        written = {stage.name: run_stage(spark, config, stage, night, run) for stage in PREPARED}
    broken = f"file:{log}/{NIGHT}/events_{BROKEN}.gz"
    assert (written["events"], written["searches"]) == ((FILES - 1) * ROWS, 1)
    # Found once, by the stage that met it; the manifest knows of it and reads none of its lines.
    assert caplog.text.count("broken_files=1") == 1
    assert f"stage=events night={NIGHT} broken_files=1 first={broken}" in caplog.text
    assert f"night={NIGHT} input=events unreadable_files=1 first={broken}" in caplog.text
    assert run.broken == {broken}
    files = read_table(spark, config.lake, tables.MANIFEST, NIGHT, NIGHT).collect()
    found = {(file.input, Path(file.source_file).name): (file.readable, file.rows, file.good) for file in files}
    assert len(found) == FILES + 2
    assert found["events", f"events_{BROKEN}.gz"] == (False, 0, 0)
    assert found["events", "events_0.gz"] == (True, ROWS, ROWS)
    assert (found["searches", "searches.jsonl"], found["items", "items.jsonl"]) == ((True, 1, 1), (True, 1, 1))


def test_a_night_whose_catalogue_broke_is_refused_with_the_file_s_name(spark: SparkSession, log: Path) -> None:
    catalogue = log / str(NIGHT) / "items.jsonl.gz"
    catalogue.write_bytes(gzip.compress(b'{"item_id": "j", "title": "blue shoe"}\n' * 1_000))
    cut_short(catalogue)
    config, items = config_of(log), PREPARED[0]
    with pytest.raises(ContractError, match=r"items\.jsonl\.gz' .* expected a whole file of source\.items"):
        run_stage(spark, config, items, ordinary_night(NIGHT, ()), Run(1))
    assert read_table(spark, config.lake, tables.ITEMS, NIGHT, NIGHT).isEmpty()
