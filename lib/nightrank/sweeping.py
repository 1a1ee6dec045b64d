"""`nightrank sweep`: a few trials of settings of training, judged on the validation nights of a finished night."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession

from nightrank import tables
from nightrank.asked import the_night
from nightrank.config import Config
from nightrank.errors import ConfigError, InputMissingError, TryAgainError, UsageError
from nightrank.models.sweep_tracking import log_sweep
from nightrank.models.trials import Changes, Trial, best_of, combinations
from nightrank.nights import BEGINNING, Night
from nightrank.sections import RankerRunsConfig
from nightrank.stages import STAGES
from nightrank.steps.trials import tried
from nightrank.storage import nights_of, read_table

log = logging.getLogger("nightrank")
READ = ("training_examples", "items", "item_embeddings", "encoder_runs")


def sweep(spark: SparkSession, config: Config, extends: Path, written: Path, most: int | None = None) -> str:
    """What was tried and what came of it, in words; the best settings are written as an overlay of `extends`.

    most: trials, at most; None: sweep.trials. Raises UsageError where a file of that name is there already, and
    InputMissingError where no night has training examples.
    """
    if written.exists():
        raise UsageError(f"'{written}' is not overwritten: expected a name that is free. Give --write another.")
    night = _last_night(spark, config)
    every = combinations(config.sweep.settings, most or config.sweep.trials, config.sweep.seed)
    changed = [(changes, _with(config, changes)) for changes in every]
    wanted = [changed[0], *((changes, one) for changes, one in changed[1:] if one != config)]
    trials: list[Trial] = []
    for trial in tried(**_frames(spark, config, night), config=config, trials=wanted):
        log.info("trial=%d of %d valid_ndcg=%.4f %s", len(trials), len(wanted) - 1, trial.ndcg, _changes(trial))
        trials.append(trial)
    words = _in_words(night.run_date, trials)
    _tell(config, night.run_date, trials)
    best = best_of(trials)
    if not best.changes:
        return f"{words}\nThe settings as they are rank best: nothing is written."
    _write(words, extends, best.changes, written)
    return f"{words}\nWritten to {written}: run nights with --config {written}."


def _last_night(spark: SparkSession, config: Config) -> Night:
    nights = nights_of(spark, config.lake, tables.TRAINING_EXAMPLES)
    if not nights:
        raise InputMissingError(
            f"Nothing can be tried: lake '{config.lake.path}' has no training examples. Run a night."
        )
    return the_night(spark, config, nights[-1])


def _frames(spark: SparkSession, config: Config, night: Night) -> dict[str, DataFrame]:
    """What the stage ranker_runs reads of that night, and the rankers up to it."""
    stage = next(stage for stage in STAGES if stage.table is tables.RANKER_RUNS)
    found = {"ranker_runs": read_table(spark, config.lake, tables.RANKER_RUNS, BEGINNING, night.run_date)}
    for read in stage.reads:
        if read.parameter in READ and read.table:
            span = read.nights(night, config)
            found[read.parameter] = read_table(spark, config.lake, read.table, span.first, span.last)
    return found


def _with(config: Config, changes: Changes) -> Config:
    values = {name.removeprefix("ranker_runs."): value for name, value in changes.items()}
    try:
        section = RankerRunsConfig.model_validate({**config.ranker_runs.model_dump(), **values})
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise ConfigError(f"A trial cannot be made: {told}. Change sweep.settings.") from None
    return config.model_copy(update={"ranker_runs": section})


def _tell(config: Config, night: date, trials: Sequence[Trial]) -> None:
    """To MLflow, where that answers: what was found stands in the overlay and in words."""
    try:
        log_sweep(config, night, trials)
    except TryAgainError as error:
        log.warning("mlflow=untold reason=%s", error)


def _in_words(night: date, trials: Sequence[Trial]) -> str:
    base = trials[0].figures.get("base_ndcg", 0.0)
    lines = [f"Examples of night {night}, nDCG@10 of its validation night; base scores alone: {base:.4f}"]
    lines.append(f"{'trial':>5}  {'nDCG@10':>8}  {'to none':>8}  {'loss':>8}  {'epoch':>5}  changed")
    best = best_of(trials)
    for number, trial in enumerate(trials):
        loss, mark = trial.figures.get("valid_loss", 0.0), "  <- best" if trial is best else ""
        lines.append(
            f"{number:>5}  {trial.ndcg:8.4f}  {trial.ndcg - trials[0].ndcg:+8.4f}  {loss:8.4f}  "
            f"{trial.figures['epoch']:>5.0f}  {_changes(trial)}{mark}"
        )
    return "\n".join(lines)


def _changes(trial: Trial) -> str:
    return " ".join(f"{name}={value:g}" for name, value in trial.changes.items()) or "nothing"


def _write(words: str, extends: Path, changes: Changes, written: Path) -> None:
    section: dict[str, Any] = {name.removeprefix("ranker_runs."): value for name, value in changes.items()}
    overlay = {"extends": os.path.relpath(extends, written.parent), "ranker_runs": section}
    comments = "".join(f"# {line}\n" for line in ("Written by `nightrank sweep`.", *words.splitlines()))
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_text(comments + yaml.safe_dump(overlay, sort_keys=False), encoding="utf-8")
