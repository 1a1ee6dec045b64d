"""Run nights: for each stage read, build, check, replace the night, log one line."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from nightrank import tables
from nightrank.config import Config
from nightrank.errors import ContractError, NightrankError, UsageError
from nightrank.nights import ONE_DAY, Night, bulk_night, ordinary_night
from nightrank.sources import read_raw
from nightrank.stages import JOBS, STAGES, Read, Stage
from nightrank.storage import nights_of, read_table, replace_night, version_of
from nightrank.telling import tell_failure, tell_night

log = logging.getLogger("nightrank")


@dataclass
class Summary:
    """What one run did; written to run_summary.json whatever happens."""

    status: str = "running"
    reason: str = ""
    night: str = ""
    stage: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def stages_named(what: str) -> tuple[Stage, ...]:
    """The stages of a job, of `nightly` (all), or the one stage of that name, in running order."""
    found = tuple(s for s in STAGES if what in {"nightly", s.job, s.name})
    if not found:
        names = ", ".join(("nightly", *JOBS, *(s.name for s in STAGES)))
        raise UsageError(f"There is no stage or job '{what}'. Name one of: {names}.")
    return found


def nights_to_run(spark: SparkSession, config: Config, run_date: date | None) -> tuple[date, ...]:
    """The nights of a run: the one named, or the calendar's bulk load and the nights after it.

    Raises UsageError where neither names a night, and ContractError where a later night of the lake stands on one of
    them and is not run again with it.
    """
    calendar = config.calendar
    if run_date is None and calendar.bulk_until is None:
        raise UsageError("No night to run: give --run-date, or calendar.bulk_until in the config.")
    first = run_date or calendar.bulk_until
    assert first is not None
    nights = tuple(first + n * ONE_DAY for n in range(1 if run_date else calendar.nights + 1))
    later = [d for d in nights_of(spark, config.lake.path, tables.USER_PROFILES) if d > nights[-1]]
    if later:
        raise ContractError(
            f"Night {nights[0]} cannot be run alone: night {later[0]} stands on it, and {len(later) - 1} more. "
            f"Run every night from {nights[0]} to {later[-1]} again, in order, into another lake.path."
        )
    return nights


def run_nights(spark: SparkSession, config: Config, what: str, nights: Sequence[date]) -> None:
    """Runs the named stages for each night, in order. Writes run_summary.json after each stage, and at the end."""
    stages, summary = stages_named(what), Summary()
    try:
        for run_date in nights:
            _run_night(spark, config, stages, run_date, summary)
            tell_night(spark, config, stages, asdict(summary))
        summary.status, summary.stage = "ok", ""
    except BaseException as error:
        summary.status, summary.reason = "failed", _first_line(error)
        tell_failure(config, stages, asdict(summary), error)
        raise
    finally:
        _write_summary(config, summary)


def the_night(spark: SparkSession, config: Config, run_date: date) -> Night:
    """The night of that date: a bulk load where the calendar says so, else an ordinary one."""
    if run_date == config.calendar.bulk_until:
        return bulk_night(run_date, config.training_examples.window_nights)
    return ordinary_night(run_date, nights_of(spark, config.lake.path, tables.USER_PROFILES))


def _run_night(spark: SparkSession, config: Config, stages: Sequence[Stage], run_date: date, summary: Summary) -> None:
    night = the_night(spark, config, run_date)
    summary.night = str(run_date)
    summary.rows.clear()
    summary.seconds.clear()
    for number, stage in enumerate(stages, 1):
        summary.stage = stage.name
        _show_progress(f"night {run_date}  {number}/{len(stages)}  {stage.name}")
        started = time.monotonic()
        summary.rows[stage.name] = run_stage(spark, config, stage, night)
        summary.seconds[stage.name] = round(time.monotonic() - started, 2)
        _show_progress("")
        log.info(
            "stage=%s night=%s rows=%d seconds=%.1f",
            stage.name, run_date, summary.rows[stage.name], summary.seconds[stage.name],
        )  # fmt: skip
        _write_summary(config, summary)


def run_stage(spark: SparkSession, config: Config, stage: Stage, night: Night) -> int:
    """How many rows the stage wrote for the night."""
    frames = {read.parameter: _read(spark, config, read, night) for read in stage.reads}
    versions = _versions(spark, config, stage) if stage.published else {}
    built = stage.build(**frames, night=night, config=config)
    if stage.agreed:
        stage.agreed(built, night, config)
    rows = replace_night(built, config.lake.path, stage.table, night.first_arrival, night.run_date)
    if stage.published:
        written = read_table(spark, config.lake.path, stage.table, night.run_date, night.run_date)
        stage.published(written, versions, config)
    return rows


def _versions(spark: SparkSession, config: Config, stage: Stage) -> dict[str, int]:
    """The Delta version of each table that the stage reads, as it stands before the stage writes."""
    read = {read.table.name: version_of(spark, config.lake.path, read.table) for read in stage.reads if read.table}
    return {name: version for name, version in read.items() if version is not None}


def _read(spark: SparkSession, config: Config, read: Read, night: Night) -> DataFrame:
    span = read.nights(night, config)
    if read.table is None:
        return read_raw(spark, read.parameter.removeprefix("raw_"), config, span.first, span.last, night.run_date)
    return read_table(spark, config.lake.path, read.table, span.first, span.last)


def _show_progress(line: str) -> None:
    """A live line for a person at a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{line}")
        sys.stderr.flush()


def _write_summary(config: Config, summary: Summary) -> None:
    """Writes run_summary.json beside the tables, whole or not at all. Object stores keep none: the log has it."""
    if "://" in config.lake.path:
        return
    folder = Path(config.lake.path)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / ".run_summary.json.part"
    partial.write_text(json.dumps(asdict(summary), indent=1) + "\n")
    os.replace(partial, folder / "run_summary.json")


def _first_line(error: BaseException) -> str:
    text = str(error) if isinstance(error, NightrankError) else f"{type(error).__name__}: {error}"
    return text.splitlines()[0] if text else type(error).__name__
