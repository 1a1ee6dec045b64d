"""A night that was cut off goes on where it failed, one that stands is left alone; the tables are the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.cli import main
from nightrank.config import Config
from nightrank.errors import BugError
from nightrank.runner import run_nights
from nightrank.stages import STAGES
from nightrank.storage import version_of
from nights import BULK_UNTIL, LAST, Lake, copy_of, hashes, loaded

PREPARE = [stage.name for stage in STAGES if stage.job == "prepare" and stage.wanted(Config())]
TABLES = tuple(table for table in tables.TABLES if table.name in PREPARE)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config_file(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of a copy of the lake after a bulk load and the night after it."""
    return copy_of(lake, tmp_path_factory.mktemp("resumed"))


@pytest.fixture(scope="module")
def config(config_file: Path) -> Config:
    return loaded(config_file)


@pytest.fixture(scope="module")
def faultless(spark: SparkSession, config: Config) -> dict[tuple[str, str], str]:
    return hashes(spark, config, TABLES)


def summary(config: Config) -> dict[str, list[str]]:
    found = json.loads((Path(config.lake.path) / "run_summary.json").read_text())
    return {"ran": list(found["rows"]), "skipped": found["skipped"], "status": found["status"]}


def versions(spark: SparkSession, config: Config) -> dict[str, int | None]:
    return {table.name: version_of(spark, config.lake, table) for table in TABLES}


def test_a_night_that_stands_is_left_alone(
    spark: SparkSession, config: Config, config_file: Path, faultless: dict[tuple[str, str], str]
) -> None:
    before = versions(spark, config)
    run_nights(spark, config, "prepare", [LAST])
    assert summary(config) == {"ran": [], "skipped": PREPARE, "status": "ok"}
    assert versions(spark, config) == before
    # Another setting is another night.
    sharper = config.model_copy(update={"segments": config.segments.model_copy(update={"min_shoppers": 2})})
    run_nights(spark, sharper, "segments", [LAST])
    assert summary(config)["ran"] == ["segments"]
    run_nights(spark, config, "segments", [LAST])
    assert hashes(spark, config, TABLES) == faultless


def test_a_failed_night_goes_on_at_the_stage_that_failed(
    spark: SparkSession, config: Config, faultless: dict[tuple[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTRANK_TEST_FAULTS", "1")
    monkeypatch.setenv("NIGHTRANK_FAULT", "built:user_profiles:raise")
    with pytest.raises(BugError, match=f"Stage 'user_profiles' of night {LAST} failed: RuntimeError"):
        run_nights(spark, config, "prepare", [LAST], again=True)
    assert summary(config)["status"] == "failed"
    monkeypatch.delenv("NIGHTRANK_FAULT")
    run_nights(spark, config, "prepare", [LAST])
    failed = PREPARE.index("user_profiles")
    assert summary(config) == {"ran": PREPARE[failed:], "skipped": PREPARE[:failed], "status": "ok"}
    assert hashes(spark, config, TABLES) == faultless


@pytest.mark.long
def test_killed_at_a_fail_point_the_rerun_has_the_faultless_tables(
    spark: SparkSession, config: Config, config_file: Path, faultless: dict[tuple[str, str], str]
) -> None:
    """kill -9 of the driver in a process of its own; its lease is taken over at once, as it died on this host."""
    command = [sys.executable, "-m", "nightrank", "run", "segments", "--config", str(config_file)]
    done = subprocess.run(
        [*command, "--run-date", str(LAST), "--again"],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "NIGHTRANK_TEST_FAULTS": "1", "NIGHTRANK_FAULT": "committed:segments:kill"},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    # Whoever reads now sees whole nights only.
    assert hashes(spark, config, TABLES) == faultless
    assert main(["run", "prepare", "--config", str(config_file), "--run-date", str(LAST)]) == 0
    assert hashes(spark, config, TABLES) == faultless


def test_a_dry_run_says_what_would_run_and_writes_nothing(
    spark: SparkSession, config: Config, config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = versions(spark, config)
    night = ["run", "prepare", "--config", str(config_file), "--dry-run", "--run-date"]
    assert main([*night, str(LAST)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"night {LAST}, arrivals of that date:"
    assert [line.split()[:2] for line in lines[1:]] == [["stands", name] for name in PREPARE]
    assert main([*night, str(LAST + timedelta(days=1))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["run", name] for name in PREPARE]
    profiles = next(line for line in lines if " user_profiles " in line)
    assert (
        f"reads user_profiles {LAST}, events {LAST + timedelta(days=1)}, people (none); writes {config.lake.path}"
        in profiles
    )
    assert versions(spark, config) == before


def test_a_night_of_the_past_is_run_with_all_after_it(
    spark: SparkSession, config: Config, config_file: Path, faultless: dict[tuple[str, str], str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    night = ["run", "segments", "--config", str(config_file), "--run-date", str(BULK_UNTIL)]
    assert main(night) == 65
    assert "--backfill" in caplog.text
    before = version_of(spark, config.lake, tables.SEGMENTS)
    assert main([*night[:-1], str(BULK_UNTIL), "--backfill", "--again"]) == 0
    assert version_of(spark, config.lake, tables.SEGMENTS) == before + 2
    assert hashes(spark, config, TABLES) == faultless
    part_of_the_load = str(BULK_UNTIL - timedelta(days=1))
    assert main([*night[:-1], part_of_the_load, "--backfill"]) == 65
    assert "part of the bulk load" in caplog.text


def test_a_log_that_is_delivered_again_is_read_again(
    spark: SparkSession, config: Config, shop: Path, tmp_path: Path
) -> None:
    shutil.copytree(shop / "logs" / str(LAST), tmp_path / "logs" / str(LAST))
    delivered = config.source.model_copy(update={"items": f"{tmp_path}/logs/{{run_date}}/items.jsonl"})
    own = config.model_copy(update={"source": delivered})
    run_nights(spark, own, "items", [LAST])
    items = tmp_path / "logs" / str(LAST) / "items.jsonl"
    os.utime(items, (time.time(), time.time()))
    run_nights(spark, own, "items", [LAST])
    assert summary(config)["ran"] == ["items"]
    run_nights(spark, own, "items", [LAST])
    assert summary(config)["ran"] == []
