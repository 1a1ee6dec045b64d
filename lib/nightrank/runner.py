"""Run nights: for each stage read, build, check, replace the night, log one line."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from nightrank import tables
from nightrank.config import Config
from nightrank.deliveries import judge_of
from nightrank.errors import ContractError, NightrankError, TryAgainError, UsageError
from nightrank.explaining import explained
from nightrank.faults import fail_point, refuse_faults
from nightrank.lease import holding_lease
from nightrank.nights import ONE_DAY, Night, bulk_night, ordinary_night
from nightrank.resuming import Known, made_from, stands_already
from nightrank.sources import read_raw
from nightrank.stage_runs import FAILED, note_stages
from nightrank.stages import JOBS, STAGES, WEEKLY, WEEKLY_JOBS, Read, Stage
from nightrank.stopping import stoppable, within
from nightrank.storage import nights_of, read_table, replace_night, version_of
from nightrank.summary import Summary, write_summary
from nightrank.telling import tell_failure, tell_night

log = logging.getLogger("nightrank")


@dataclass(frozen=True)
class Run:
    """What the stages of one run share: the lease's number, whether what stands is made again, commits seen so far."""

    fencing: int
    again: bool = False
    known: Known = field(default_factory=dict)


def stages_named(what: str, config: Config) -> tuple[Stage, ...]:
    """The stages of a job, of `nightly` (all but the weekly), or the one of that name, in running order: those wanted.

    Raises UsageError where none is.
    """
    found = tuple(s for s in STAGES if what in {"nightly", s.job, s.name})
    found = found or tuple(s for s in WEEKLY if what in {s.job, s.name})
    if not found:
        names = ", ".join(("nightly", *JOBS, *WEEKLY_JOBS, *(s.name for s in (*STAGES, *WEEKLY))))
        raise UsageError(f"There is no stage or job '{what}'. Name one of: {names}.")
    wanted = tuple(stage for stage in found if stage.wanted(config))
    if not wanted:
        raise UsageError(f"Stage '{what}' makes nothing for this shop: the config names none of what it is made from.")
    return wanted


def weekly_night(spark: SparkSession, config: Config, what: str) -> date | None:
    """The lake's last night, which a weekly job is run for where none is named; None: `what` is not weekly."""
    if what not in {word for stage in WEEKLY for word in (stage.job, stage.name)}:
        return None
    held = nights_of(spark, config.lake, tables.USER_PROFILES)
    if not held:
        raise UsageError(f"No night to run '{what}' for: the lake holds none. Run the job prepare first.")
    return held[-1]


def nights_to_run(
    spark: SparkSession, config: Config, run_date: date | None, backfill: bool = False
) -> tuple[date, ...]:
    """The nights of a run: the one named, or the calendar's bulk load and the nights after it.

    backfill: with the night every later one that the lake holds, as each stands on the one before. Raises UsageError
    where nothing names a night, and ContractError where a later night stands on them and is not run again with them.
    """
    calendar = config.calendar
    if run_date is None and calendar.bulk_until is None:
        raise UsageError("No night to run: give --run-date, or calendar.bulk_until in the config.")
    first = run_date or calendar.bulk_until
    assert first is not None
    nights = tuple(first + n * ONE_DAY for n in range(1 if run_date else calendar.nights + 1))
    held = nights_of(spark, config.lake, tables.USER_PROFILES)
    later = tuple(d for d in held if d > nights[-1])
    if calendar.bulk_until and first < calendar.bulk_until and later:
        raise ContractError(
            f"Night {first} cannot be run alone: it is part of the bulk load up to {calendar.bulk_until}. Run "
            "that again: --run-date of its last night, with --backfill."
        )
    if later and not backfill:
        raise ContractError(
            f"Night {nights[0]} cannot be run alone: night {later[0]} stands on it, and {len(later) - 1} more. "
            "Run it with --backfill: every later night is run again after it, in order."
        )
    return (*nights, *later)


def run_nights(spark: SparkSession, config: Config, what: str, nights: Sequence[date], again: bool = False) -> None:
    """Runs the named stages for each night, in order, but those that stand already (again: those too).

    Holds the lake's lease meanwhile: TryAgainError where another run does. Writes run_summary.json after each stage and
    at the end.
    """
    stages = stages_named(what, config)
    refuse_faults()
    with stoppable(spark), holding_lease(spark, config, f"{what} of night {nights[0]}") as lease:
        _run_held(spark, config, stages, nights, Run(lease.fencing, again))


def _run_held(spark: SparkSession, config: Config, stages: Sequence[Stage], nights: Sequence[date], run: Run) -> None:
    summary = Summary()
    try:
        for run_date in nights:
            _run_night(spark, config, stages, run_date, summary, run)
            tell_night(config, stages, asdict(summary), _note_stages(spark, config, stages, summary, run))
        summary.status, summary.stage = "ok", ""
    except BaseException as error:
        summary.status, summary.reason = FAILED, _first_line(error)
        if isinstance(error, NightrankError) and not isinstance(error, TryAgainError) and summary.stage:
            _note_failure(spark, config, stages, summary, run)
        tell_failure(config, stages, asdict(summary), error)
        raise
    finally:
        write_summary(config, summary)


def _note_stages(
    spark: SparkSession, config: Config, stages: Sequence[Stage], summary: Summary, run: Run
) -> dict[str, dict[str, str]]:
    night = the_night(spark, config, date.fromisoformat(summary.night))
    return note_stages(spark, config, stages, night, asdict(summary), run.known, run.fencing)


def _note_failure(spark: SparkSession, config: Config, stages: Sequence[Stage], summary: Summary, run: Run) -> None:
    try:
        _note_stages(spark, config, stages, summary, run)
    except Exception as error:  # the failure itself is what has to be told
        log.warning("stage_runs=unwritten night=%s error=%s", summary.night, type(error).__name__)


def the_night(spark: SparkSession, config: Config, run_date: date, planned: Sequence[date] = ()) -> Night:
    """The night of that date: a bulk load where the calendar says so, else an ordinary one.

    planned: nights that will stand by then, beside those that the lake holds.
    """
    if run_date == config.calendar.bulk_until:
        return bulk_night(run_date, config.training_examples.window_nights)
    held = {*nights_of(spark, config.lake, tables.USER_PROFILES), *planned}
    return ordinary_night(run_date, tuple(sorted(held)))


def _run_night(
    spark: SparkSession, config: Config, stages: Sequence[Stage], run_date: date, summary: Summary, run: Run
) -> None:
    night = the_night(spark, config, run_date)
    summary.night = str(run_date)
    for per_stage in (summary.rows, summary.seconds, summary.skipped):
        per_stage.clear()
    for number, stage in enumerate(stages, 1):
        summary.stage = stage.name
        _show_progress(f"night {run_date}  {number}/{len(stages)}  {stage.name}")
        started = time.monotonic()
        with within(config.run.deadline_seconds.get(stage.name), stage.name):
            rows = _run_explained(spark, config, stage, night, run)
        _show_progress("")
        _note_stage(summary, stage, rows, time.monotonic() - started)
        write_summary(config, summary)


def _run_explained(spark: SparkSession, config: Config, stage: Stage, night: Night, run: Run) -> int | None:
    try:
        return run_stage(spark, config, stage, night, run)
    except Exception as error:
        raise explained(error, f"Stage '{stage.name}' of night {night.run_date}") from error


def _note_stage(summary: Summary, stage: Stage, rows: int | None, seconds: float) -> None:
    if rows is None:
        summary.skipped.append(stage.name)
        log.info("stage=%s night=%s skipped: it stands", stage.name, summary.night)
        return
    summary.rows[stage.name], summary.seconds[stage.name] = rows, round(seconds, 2)
    log.info("stage=%s night=%s rows=%d seconds=%.1f", stage.name, summary.night, rows, seconds)


def run_stage(spark: SparkSession, config: Config, stage: Stage, night: Night, run: Run | None = None) -> int | None:
    """How many rows the stage wrote for the night; None: they stood already. Without a run it is not asked."""
    made = made_from(spark, config, stage, night, run.known) if run else {}
    if run and not run.again and stands_already(spark, config, stage, night, made, run.known):
        return None
    fail_point("before", stage.name)
    frames = {read.parameter: _read(spark, config, read, night) for read in stage.reads}
    versions = _versions(spark, config, stage) if stage.published else {}
    built = stage.build(**frames, night=night, config=config)
    fail_point("built", stage.name)
    if stage.agreed:
        stage.agreed(built, night, config)
    fail_point("agreed", stage.name)
    rows = replace_night(
        built, config.lake, stage.table, night.first_arrival, night.run_date, made, run.fencing if run else None,
        judge=partial(judge, spark, config, stage.table, night) if run and (judge := judge_of(stage.table)) else None,
    )  # fmt: skip
    spark.catalog.clearCache()  # what the step asked to be kept while it was made
    if run:
        run.known.pop(stage.name, None)
    fail_point("committed", stage.name)
    if stage.published:
        written = read_table(spark, config.lake, stage.table, night.run_date, night.run_date)
        stage.published(written, versions, config)
    fail_point("published", stage.name)
    return rows


def _versions(spark: SparkSession, config: Config, stage: Stage) -> dict[str, int]:
    """The Delta version of each table that the stage reads, as it stands before the stage writes."""
    read = {read.table.name: version_of(spark, config.lake, read.table) for read in stage.reads if read.table}
    return {name: version for name, version in read.items() if version is not None}


def _read(spark: SparkSession, config: Config, read: Read, night: Night) -> DataFrame:
    span = read.nights(night, config)
    if read.table is None:
        return read_raw(spark, read.parameter.removeprefix("raw_"), config, span.first, span.last, night.run_date)
    return read_table(spark, config.lake, read.table, span.first, span.last, read.accepted_only)


def _show_progress(line: str) -> None:
    """A live line for a person at a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{line}")
        sys.stderr.flush()


def _first_line(error: BaseException) -> str:
    text = str(error) if isinstance(error, NightrankError) else type(error).__name__
    return text.splitlines()[0]
