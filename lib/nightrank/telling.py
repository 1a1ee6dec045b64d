"""What MLflow is told of a night when it has ended: a note for each of its jobs, then all that waits is sent."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nightrank.config import Config
from nightrank.errors import NightrankError, TryAgainError
from nightrank.models.outbox import Input, Note, keep_note
from nightrank.models.tracking import night_tags, send_notes
from nightrank.stages import Stage
from nightrank.storage import address

log = logging.getLogger("nightrank")
# The lines that the manifest counts are those of the same files.
SAME_FILES = {"raw_event_lines": "raw_events", "raw_search_lines": "raw_searches", "raw_item_lines": "raw_items"}
MadeFrom = Mapping[str, Mapping[str, str]]


def tell_night(config: Config, stages: Sequence[Stage], summary: Mapping[str, Any], made_from: MadeFrom) -> None:
    """Tells MLflow of the jobs that these stages belong to: rows and seconds a stage, inputs, the summary.

    summary: `night`, and `rows` and `seconds` by stage. made_from: by stage, the version of each frame that it was
    made from. Never raises; takes no longer than mlflow.timeout_seconds. What cannot be told now is told by a later
    call, of any night.
    """
    ended = {**summary, "status": "ok", "stage": ""}
    try:
        for job in dict.fromkeys(stage.job for stage in stages):
            keep_note(config, _note(config, job, stages, ended, "FINISHED", made_from))
    except Exception as error:  # a night that stands is not failed by what is told of it
        log.warning("mlflow=untold night=%s error=%s", summary["night"], type(error).__name__)
    send_notes(config)


def tell_failure(config: Config, stages: Sequence[Stage], summary: Mapping[str, Any], error: BaseException) -> None:
    """Tells MLflow of the night that failed in summary's `stage`. Never raises.

    Only notes it where the run was told to end, or where what it lacked may be MLflow itself.
    """
    names = [stage.name for stage in stages]
    if summary["stage"] not in names:
        return
    reached = stages[: names.index(summary["stage"]) + 1]
    # Only this program's own messages are known to name no shopper.
    reason = summary["reason"] if isinstance(error, NightrankError) else type(error).__name__
    try:
        for job in dict.fromkeys(stage.job for stage in reached):
            status = "FAILED" if job == reached[-1].job else "FINISHED"
            keep_note(config, _note(config, job, reached, {**summary, "reason": reason}, status, {}))
    except Exception as unkept:
        log.warning("mlflow=untold night=%s error=%s", summary["night"], type(unkept).__name__)
    if isinstance(error, Exception) and not isinstance(error, TryAgainError):
        send_notes(config)


def _note(
    config: Config,
    job: str,
    stages: Sequence[Stage],
    summary: Mapping[str, Any],
    status: str,
    made_from: MadeFrom,
) -> Note:
    own = [stage for stage in stages if stage.job == job]
    figures = {
        f"{kind}/{stage.name}": float(summary[kind][stage.name])
        for kind in ("rows", "seconds")
        for stage in own
        if stage.name in summary[kind]
    }
    seconds = sum(value for name, value in figures.items() if name.startswith("seconds/"))
    tags = {"job": job, **night_tags(config)}
    inputs = {found for stage in own for found in _inputs(config, stage, made_from.get(stage.name, {}))}
    read = tuple(sorted(inputs, key=lambda one: (one.name, one.version or 0)))
    return Note(summary["night"], job, "run", status, seconds, tags, figures, read, summary)


def _inputs(config: Config, stage: Stage, versions: Mapping[str, str]) -> Iterator[Input]:
    """What the stage was made from: raw logs by path, tables by the version that last replaced the nights read."""
    for read in stage.reads:
        version = versions.get(read.parameter)
        if read.table is None:
            name = SAME_FILES.get(read.parameter, read.parameter)
            if version and (path := getattr(config.source, name.removeprefix("raw_"))):
                yield Input(name, path)
        elif version and int(version) >= 0:
            yield Input(read.table.name, address(config.lake, read.table), int(version))
