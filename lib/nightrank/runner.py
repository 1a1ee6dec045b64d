"""Run nights: for each stage read, build, check, replace the night, log one line."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from nightrank.asked import stages_named, the_night
from nightrank.broken_logs import broken_logs, leaving_out
from nightrank.config import Config
from nightrank.contract import Table
from nightrank.deliveries import judge_of
from nightrank.errors import NightrankError, TryAgainError
from nightrank.explaining import explained
from nightrank.faults import fail_point, refuse_faults
from nightrank.lease import holding_lease
from nightrank.models.encoder_store import with_kept_encoders
from nightrank.nights import Night
from nightrank.resuming import Known, Made, made_from, stands_already
from nightrank.sources import read_raw
from nightrank.stage_runs import FAILED, note_stages
from nightrank.stages import Read, Stage
from nightrank.stopping import stoppable, within
from nightrank.storage import read_table, replace_night, version_of
from nightrank.summary import Summary, write_summary
from nightrank.tables import EVENTS
from nightrank.telling import tell_failure, tell_night

log = logging.getLogger("nightrank")


@dataclass(frozen=True)
class Run:
    """What the stages of one run share: the lease's number, whether what stands is made again, commits seen so far.

    broken: files of raw logs that break before their end. metrics: by stage, what the summary says of its rows.
    """

    fencing: int
    again: bool = False
    known: Known = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    metrics: dict[str, Mapping[str, float]] = field(default_factory=dict)


def run_nights(spark: SparkSession, config: Config, what: str, nights: Sequence[date], again: bool = False) -> None:
    """Runs the named stages for each night, in order, but those that stand already (again: those too).

    Holds the lake's lease meanwhile: TryAgainError where another run does. Writes run_summary.json after each stage and
    at the end. An encoder that MLflow keeps is taken as it is when the run starts.
    """
    config = with_kept_encoders(config)
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


def _run_night(
    spark: SparkSession, config: Config, stages: Sequence[Stage], run_date: date, summary: Summary, run: Run
) -> None:
    night = the_night(spark, config, run_date)
    summary.night = str(run_date)
    for per_stage in (summary.rows, summary.seconds, summary.metrics, summary.skipped):
        per_stage.clear()
    for number, stage in enumerate(stages, 1):
        summary.stage = stage.name
        _show_progress(f"night {run_date}  {number}/{len(stages)}  {stage.name}")
        started = time.monotonic()
        with within(config.run.deadline_seconds.get(stage.name), stage.name):
            rows = _run_explained(spark, config, stage, night, run)
        _show_progress("")
        _note_stage(summary, stage, rows, time.monotonic() - started, run.metrics.pop(stage.name, {}))
        write_summary(config, summary)


def _run_explained(spark: SparkSession, config: Config, stage: Stage, night: Night, run: Run) -> int | None:
    try:
        return run_stage(spark, config, stage, night, run)
    except Exception as error:
        raise explained(error, f"Stage '{stage.name}' of night {night.run_date}") from error


def _note_stage(summary: Summary, stage: Stage, rows: int | None, seconds: float, metrics: Mapping[str, float]) -> None:
    if rows is None:
        summary.skipped.append(stage.name)
        log.info("stage=%s night=%s skipped: it stands", stage.name, summary.night)
        return
    summary.rows[stage.name], summary.seconds[stage.name] = rows, round(seconds, 2)
    if metrics:
        summary.metrics[stage.name] = dict(metrics)
    log.info("stage=%s night=%s rows=%d seconds=%.1f", stage.name, summary.night, rows, seconds)


def run_stage(spark: SparkSession, config: Config, stage: Stage, night: Night, run: Run | None = None) -> int | None:
    """How many rows the stage wrote for the night; None: they stood already. Without a run it is not asked.

    Where a file of events or searches breaks before its end, the stage is begun again without it, once; the run's later
    stages leave it out from the start.
    """
    made = made_from(spark, config, stage, night, run.known) if run else {}
    if run and not run.again and stands_already(spark, config, stage, night, made, run.known):
        return None
    fail_point("before", stage.name)
    broken = run.broken if run else set()
    try:
        return _make_stage(spark, leaving_out(config, broken), stage, night, made, run)
    except Exception as error:
        found = broken_logs(spark, config, stage, night, error)
        if found <= broken:
            raise
        broken |= found
    return _make_stage(spark, leaving_out(config, broken), stage, night, made, run)


def _make_stage(spark: SparkSession, config: Config, stage: Stage, night: Night, made: Made, run: Run | None) -> int:
    frames = {read.parameter: _read(spark, config, read, night) for read in stage.reads}
    versions = _versions(spark, config, stage) if stage.published else {}
    built = stage.build(**frames, night=night, config=config)
    fail_point("built", stage.name)
    if stage.agreed:
        stage.agreed(built, night, config)
    fail_point("agreed", stage.name)
    rows = replace_night(
        built, config.lake, _asked_of(stage.table, config), night.first_arrival, night.run_date, made,
        run.fencing if run else None,
        judge=partial(judge, spark, config, stage.table, night) if run and (judge := judge_of(stage.table)) else None,
    )  # fmt: skip
    spark.catalog.clearCache()  # what the step asked to be kept while it was made
    if run:
        run.known.pop(stage.name, None)
    fail_point("committed", stage.name)
    if stage.published:
        _publish(spark, config, stage, night, versions, run)
    fail_point("published", stage.name)
    return rows


def _asked_of(table: Table, config: Config) -> Table:
    """The table's contract. Of a shop that may deliver an empty log, a night on which nobody came is one too."""
    return replace(table, may_be_empty=True) if table is EVENTS and config.source.allow_empty else table


def _publish(
    spark: SparkSession, config: Config, stage: Stage, night: Night, versions: Mapping[str, int], run: Run | None
) -> None:
    assert stage.published is not None
    written = read_table(spark, config.lake, stage.table, night.run_date, night.run_date)
    metrics = stage.published(written, versions, config)
    if run and metrics:
        run.metrics[stage.name] = metrics


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
