"""What a stage of a night was made from, kept in its table's commit: whoever runs the night again skips what stands.

A stage stands when its last commit for the night was made by the same program under the same settings from the same
inputs: for each frame that it reads the version by which the nights read were last replaced, for raw input the files'
paths, sizes and times.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pyspark.sql import SparkSession

from nightrank import __version__
from nightrank.config import Config
from nightrank.contract import Table
from nightrank.nights import Night
from nightrank.sources import listing
from nightrank.spans import Span
from nightrank.stages import Read, Stage
from nightrank.storage import Commit, commits_of

# Where tables lie, what tracks them, how much machine there is and when a night is refused change no row.
CHANGES_NO_ROW = {"spark", "lake", "mlflow", "run", "deliveries", "shop", "calendar"}
Made = Mapping[str, Any]
Known = dict[str, tuple[Commit, ...]]


def made_from(spark: SparkSession, config: Config, stage: Stage, night: Night, known: Known) -> Made:
    """What the stage would be made from tonight. known: commits of tables by name, filled as they are needed."""
    return {
        "stage": stage.name,
        "program": __version__,
        "config": settings_hash(config),
        "inputs": {read.parameter: _input(spark, config, read, night, known) for read in stage.reads},
    }


def stands_already(spark: SparkSession, config: Config, stage: Stage, night: Night, made: Made, known: Known) -> bool:
    """Whether the stage's rows of tonight were made from just this."""
    last = last_commit(spark, config, stage, night, known)
    if last is None or (last.first, last.last) != (night.first_arrival, night.run_date):
        return False
    return {name: value for name, value in last.note.items() if name != "fencing"} == made


def last_commit(spark: SparkSession, config: Config, stage: Stage, night: Night, known: Known) -> Commit | None:
    """The newest commit of the stage's table that replaced any of the nights that tonight's replaces."""
    span = Span(night.first_arrival, night.run_date)
    return _last_commit_in(_commits(spark, config, stage.table, known), span)


def settings_hash(config: Config) -> str:
    """A hash of the settings that rows depend on, where they are not the defaults: a new setting changes no old night.

    Another default is another program: see `program`.
    """
    said = json.dumps(config.model_dump(mode="json", exclude=CHANGES_NO_ROW, exclude_defaults=True), sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _input(spark: SparkSession, config: Config, read: Read, night: Night, known: Known) -> str | int:
    span = read.nights(night, config)
    if read.table is None:
        return listing(spark, config, span.first, span.last)
    last = _last_commit_in(_commits(spark, config, read.table, known), span)
    return last.version if last else -1


def _commits(spark: SparkSession, config: Config, table: Table, known: Known) -> tuple[Commit, ...]:
    if table.name not in known:
        known[table.name] = commits_of(spark, config.lake, table)
    return known[table.name]


def _last_commit_in(commits: tuple[Commit, ...], span: Span) -> Commit | None:
    """The newest commit that replaced any night of the span; None for a span of no nights."""
    if span.first > span.last:
        return None
    return next((c for c in commits if c.first <= span.last and span.first <= c.last), None)
