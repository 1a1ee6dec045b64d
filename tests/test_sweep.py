"""`nightrank sweep` on a finished night: a table, an overlay, nested runs, and nothing else changed."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pytest
from pyspark.sql import SparkSession

from nightrank import sweeping, tables
from nightrank.cli import main
from nightrank.config import load_config
from nightrank.errors import ConfigError, UsageError
from nightrank.models.trials import Trial
from nightrank.nights import ordinary_night
from nightrank.storage import version_of
from nightrank.sweeping import sweep
from nights import LAST, Lake, copy_of, loaded

SETTINGS = {"settings": {"ranker_runs.learning_rate": [0.000001, 0.03], "ranker_runs.epochs": [1]}, "trials": 2}


@pytest.fixture(scope="module")
def config_path(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(lake, tmp_path_factory.mktemp("sweep"), sweep=SETTINGS)


@pytest.fixture(scope="module")
def swept(spark: SparkSession, config_path: Path) -> tuple[str, Path]:
    written = config_path.parent / "conf" / "best.yaml"
    return sweep(spark, loaded(config_path), config_path, written), written


def test_each_trial_is_a_line_and_the_best_has_the_largest_ndcg(swept: tuple[str, Path]) -> None:
    words, written = swept
    lines = [line for line in words.splitlines() if line.split()[0].isdigit()]
    assert [line.split()[5] for line in lines] == [
        "nothing", "ranker_runs.epochs=1", "ranker_runs.epochs=1"
    ]  # fmt: skip
    ndcgs = [float(line.split()[1]) for line in lines]
    best = next(at for at, line in enumerate(lines) if line.endswith("<- best"))
    assert ndcgs[best] == max(ndcgs)
    assert written.exists() == (best > 0)


def test_the_best_settings_become_an_overlay(
    config_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(trials, **_):
        for ndcg, (changes, changed) in zip((0.3, 0.5, 0.4), trials, strict=True):
            assert changed.ranker_runs.learning_rate == changes.get("ranker_runs.learning_rate", 0.01)
            yield Trial(changes, {"valid_ndcg": ndcg, "epoch": 1.0}, ())

    config, written = loaded(config_path), tmp_path / "best.yaml"
    monkeypatch.setattr(sweeping, "tried", made)
    monkeypatch.setattr(sweeping, "_frames", lambda *_: {})
    monkeypatch.setattr(sweeping, "_last_night", lambda *_: ordinary_night(LAST, ()))
    monkeypatch.setattr(sweeping, "log_sweep", lambda *_: "")
    words = sweep(None, config, config_path, written)
    assert "+0.2000" in words.splitlines()[3]
    best = load_config(written)
    assert (best.ranker_runs.learning_rate, best.ranker_runs.epochs) == (0.000001, 1)
    assert best.model_copy(update={"ranker_runs": config.ranker_runs}) == config


def test_trials_are_runs_nested_in_one_and_the_same_when_tried_again(
    swept: tuple[str, Path], config_path: Path, spark: SparkSession
) -> None:
    config = loaded(config_path)
    registered = version_of(spark, config.lake, tables.RANKER_RUNS)
    words = sweep(spark, config, config_path, config_path.parent / "again.yaml")
    assert words.splitlines()[:5] == swept[0].splitlines()[:5]
    client = mlflow.MlflowClient(config.mlflow.tracking_uri)
    runs = client.search_runs([client.get_experiment_by_name("nightrank/sweep").experiment_id])
    below = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert (len(runs), len(below)) == (4, 3)
    assert sorted(json.loads(run.data.tags["settings"]).get("ranker_runs.learning_rate", 0) for run in below) == [
        0, 0.000001, 0.03
    ]  # fmt: skip
    assert all("valid_ndcg" in run.data.metrics and run.info.status == "FINISHED" for run in runs)
    # Nothing is kept or registered.
    assert version_of(spark, config.lake, tables.RANKER_RUNS) == registered


def test_a_file_that_is_there_is_not_overwritten(config_path: Path, spark: SparkSession) -> None:
    with pytest.raises(UsageError, match="not overwritten"):
        sweep(spark, loaded(config_path), config_path, config_path)


def test_a_setting_that_no_trial_can_change_is_refused(config_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("sweep: {settings: {training_examples.window_nights: [7]}}\n")
    assert main(["sweep", "--config", str(path)]) == 78
    with pytest.raises(ConfigError, match=r"cannot try training_examples\.window_nights"):
        load_config(path)
