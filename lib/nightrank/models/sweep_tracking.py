"""A sweep in MLflow: a run of the experiment `<experiment>/sweep`, its trials nested in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from nightrank.config import Config
from nightrank.models.tracking import connected, night_run, night_tags, within
from nightrank.models.trials import Trial, best_of

JOB = "sweep"


def log_sweep(config: Config, night: date, trials: Sequence[Trial]) -> str:
    """The id of the sweep's run: with the best trial's settings and figures, and a run below it for each trial.

    Tried again on the same night, a trial has the run that it had. Raises TryAgainError where MLflow cannot be reached.
    """

    def logged() -> str:
        with connected(config) as (mlflow, client):
            parent = night_run(client, config, JOB, night.isoformat())
            for number, trial in enumerate(trials):
                _log_trial(mlflow, client, config, parent, number, trial)
            best = best_of(trials)
            client.set_tag(parent, "best", _named(trial=best))
            mlflow.log_metrics(dict(best.figures), run_id=parent)
            client.set_terminated(parent, "FINISHED")
            return parent

    return within(config, config.mlflow.registry_timeout_seconds, logged)


def _log_trial(mlflow: Any, client: Any, config: Config, parent: str, number: int, trial: Trial) -> None:
    experiment, settings = client.get_run(parent).info.experiment_id, _named(trial)
    below = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'", max_results=1000)
    run_id = next((run.info.run_id for run in below if run.data.tags.get("settings") == settings), None)
    if run_id is None:
        tags = {**night_tags(config), "mlflow.parentRunId": parent, "settings": settings}
        run_id = client.create_run(experiment, None, tags, f"trial {number}").info.run_id
        for name, value in trial.changes.items():
            client.log_param(run_id, name, value)
    for epoch, figures in enumerate(trial.curves, start=1):
        mlflow.log_metrics({f"epoch_{name}": value for name, value in figures.items()}, step=epoch, run_id=run_id)
    mlflow.log_metrics(dict(trial.figures), run_id=run_id)
    client.set_terminated(run_id, "FINISHED")


def _named(trial: Trial) -> str:
    return json.dumps(dict(trial.changes), sort_keys=True)
