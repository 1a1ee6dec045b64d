"""The table stage_runs: how each stage of each night was made. One row a stage, kept for as long as the lake.

Most of a row stands in the commit of the stage's own table, so that a run which was killed loses nothing of it: the
next one writes the rows that are missing. Seconds are known of what the run itself made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pyspark.sql import SparkSession

from nightrank.config import Config
from nightrank.contract import DOUBLE, LONG, STRING, TAGS, Holds, Table, columns
from nightrank.hashing import content_hashes
from nightrank.nights import Night
from nightrank.resuming import Known, last_commit
from nightrank.stages import Stage
from nightrank.storage import Commit, read_table, replace_night

STANDS, FAILED = "stands", "failed"
STAGE_RUNS = Table(
    "stage_runs",
    "how each stage of each night was made: from which versions, under which settings, with which rows",
    columns(
        stage=STRING,
        job=STRING,
        status=STRING,
        reason=STRING,
        rows=LONG,
        seconds=DOUBLE,
        content_hash=STRING,
        config_hash=STRING,
        program=STRING,
        inputs=TAGS,
        table_version=LONG,
        fencing=LONG,
    ),
    key=("stage",),
    holds=Holds.CHANGE,
)


def note_stages(
    spark: SparkSession,
    config: Config,
    stages: Sequence[Stage],
    night: Night,
    summary: Mapping[str, Any],
    known: Known,
    fencing: int,
) -> dict[str, dict[str, str]]:
    """The version of each frame that each stage was made from, as the table now says.

    Replaces the night's rows of these stages; a row that tells of the table's last commit stays as it is. summary:
    `seconds` by stage of what was made now, and with the status `failed` the `stage` that failed and the `reason`.
    """
    tonight = read_table(spark, config.lake, STAGE_RUNS, night.run_date, night.run_date).collect()
    held = {row["stage"]: tuple(row) for row in tonight}
    told_of = {row["stage"]: row["table_version"] for row in tonight if row["status"] == STANDS}
    commits = {
        stage: commit
        for stage in stages
        if (commit := last_commit(spark, config, stage, night, known)) and told_of.get(stage.name) != commit.version
    }
    found = {**held, **_rows(spark, config, night, commits, summary["seconds"])}
    if summary["status"] == FAILED:
        failed = next(stage for stage in stages if stage.name == summary["stage"])
        told = {"status": FAILED, "reason": summary["reason"], "fencing": fencing}
        found[failed.name] = _row(night.run_date, failed, told)
    if found != held:
        frame = spark.createDataFrame([found[name] for name in sorted(found)], STAGE_RUNS.schema)
        replace_night(frame, config.lake, STAGE_RUNS, night.run_date, night.run_date, fencing=fencing)
    at = STAGE_RUNS.schema.names.index("inputs")
    return {name: row[at] or {} for name, row in found.items()}


def _rows(
    spark: SparkSession, config: Config, night: Night, commits: Mapping[Stage, Commit], seconds: Mapping[str, float]
) -> dict[str, tuple[Any, ...]]:
    """The row of each stage from what its table's commit says and what stands there."""
    whole = (night.first_arrival, night.run_date)
    hashes = content_hashes(
        {stage.table: read_table(spark, config.lake, stage.table, *whole, accepted_only=False) for stage in commits}
    )
    found = {}
    for stage, commit in commits.items():
        told = {
            "status": STANDS,
            "rows": commit.rows,
            "seconds": seconds.get(stage.name),
            "content_hash": hashes[stage.name],
            "config_hash": commit.note.get("config"),
            "program": commit.note.get("program"),
            "inputs": {name: str(version) for name, version in commit.note.get("inputs", {}).items()},
            "table_version": commit.version,
            "fencing": commit.note.get("fencing"),
        }
        found[stage.name] = _row(night.run_date, stage, told)
    return found


def _row(run_date: date, stage: Stage, told: Mapping[str, Any]) -> tuple[Any, ...]:
    known = {"run_date": run_date, "stage": stage.name, "job": stage.job, **told}
    return tuple(known.get(name) for name in STAGE_RUNS.schema.names)
