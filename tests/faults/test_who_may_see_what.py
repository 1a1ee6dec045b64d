"""Identifiers, query text and keys are in tables and nowhere else: not in logs, errors, Spark's event log, MLflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from nightrank import tables
from nightrank.config import Config
from nightrank.explaining import explained
from nightrank.steps.pseudonyms import pseudonym_of, shopper
from nightrank.storage import read_table
from nights import INTERPRETED, LAST, Lake, copy_of, hashes, loaded

ROOT = Path(__file__).parents[2]
KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"


def canaries(shop: Path, spark: SparkSession, lake: Lake) -> set[bytes]:
    """Ids of the night's logs and tables, and query texts of more than one word."""
    found = set()
    for file in (shop / "logs" / str(LAST)).glob("*.ndjson"):
        for line in file.read_text().splitlines():
            record = json.loads(line)
            found |= {str(record.get(name) or "") for name in ("client_id", "session_id", "query_id", "event_id")}
            found.add(record.get("user_query") or "")
    users = read_table(spark, lake.config.lake, tables.EVENTS, LAST, LAST).select("user_id").distinct().collect()
    found |= {row.user_id for row in users}
    return {one.encode() for one in found if len(one) >= 6 and (" " in one or any(c.isdigit() for c in one))}


def everything_said(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each file that is not a table's, a log's or a ranker's: its name and its bytes."""
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder).parts
        if file.is_file() and not (inside[0] == "lake" and inside[1] in {t.name for t in tables.TABLES}):
            yield str(file.relative_to(folder)), file.read_bytes()


@pytest.mark.long
def test_a_night_on_one_core_is_the_same_night_and_its_logs_mlflow_and_event_log_name_nobody(
    spark: SparkSession, lake: Lake, shop: Path, tmp_path: Path
) -> None:
    (tmp_path / "event_log").mkdir()
    logged = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": f"file://{tmp_path}/event_log"}
    other = {"master": "local[1,4]", "shuffle_partitions": 7, "settings": {**INTERPRETED, **logged}}
    path = copy_of(lake, tmp_path, before=True, spark=other)
    command = [sys.executable, "-m", "nightrank", "run", "nightly", "--config", str(path), "--run-date", str(LAST)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr[-3000:]
    tonights = {key: value for key, value in lake.hashes.items() if key[1] == str(LAST)}
    assert hashes(spark, loaded(path), since=LAST) == tonights
    (tmp_path / "said").write_bytes(done.stdout + done.stderr)
    wanted = canaries(shop, spark, lake)
    assert len(wanted) > 200
    looked_at = dict(everything_said(tmp_path))
    assert any(name.startswith("event_log/") for name in looked_at)
    assert {"said", "lake/mlflow.db", "lake/run_summary.json"} <= set(looked_at)
    found = {(name, one) for name, content in looked_at.items() for one in wanted if one in content}
    assert found == set()


def test_the_key_of_the_pseudonyms_is_in_no_plan(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    config = Config.model_validate({"source": {"pseudonym_key_file": str(tmp_path / "key")}})
    frame = spark.createDataFrame([("shopper-4711",)], "user_id string").select(shopper(F.col("user_id"), config))
    (row,) = frame.collect()
    assert row[0] == pseudonym_of("shopper-4711", KEY.encode())
    plan = frame._jdf.queryExecution().toString()
    assert "pseudonym" in plan
    assert KEY not in plan
    assert "shopper-4711" not in plan


def test_an_error_repeats_nothing_of_a_row(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("shopper-4711", "red shoes")], "user_id string, query string")

    def raising(batches):
        for batch in batches:
            raise ValueError(f"cannot use {batch.user_id[0]}")
            yield batch

    told = []
    for spoilt in (
        frame.selectExpr("cast(user_id as int)"),
        frame.selectExpr("raise_error(concat('for ', query))"),
        frame.mapInPandas(raising, "a string"),
    ):
        with pytest.raises(Exception, match=r"shopper-4711|red shoes") as caught:
            spoilt.collect()
        told.append(str(explained(caught.value, "Stage 'events' of night 2026-01-10")))
    assert not [line for line in told if "4711" in line or "red shoes" in line or "\n" in line]
    assert "CAST_INVALID_INPUT" in told[0]
    assert "at test_who_may_see_what.py:" in told[2]
