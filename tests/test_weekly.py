"""The weekly job: no part of the night, run for the lake's last one, and by its own command."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.cli import run_job
from nightrank.config import Config
from nightrank.errors import UsageError
from nightrank.runner import stages_named
from nightrank.storage import read_table
from nights import LAST, Lake, copy_of, loaded


def test_the_weekly_job_is_named_and_no_part_of_the_night() -> None:
    for word in ("encoder", "encoder_runs"):
        assert [stage.name for stage in stages_named(word, Config())] == ["encoder_runs"]
    assert "encoder_runs" not in {stage.name for stage in stages_named("nightly", Config())}
    with pytest.raises(UsageError, match="rerank, encoder, enrichments, items"):
        stages_named("dinner", Config())


def test_it_runs_for_the_lakes_last_night(spark: SparkSession, lake: Lake, tmp_path: Path) -> None:
    path = copy_of(lake, tmp_path)
    assert run_job("encoder", ["--config", str(path)]) == 0
    rows = read_table(spark, loaded(path).lake, tables.ENCODER_RUNS, LAST, LAST).collect()
    assert [(row.run_date, row.status, row.encoder_id) for row in rows] == [(LAST, "skipped", "none")]
    assert "fewer than encoder_runs.min_examples = 1000" in rows[0].reason
