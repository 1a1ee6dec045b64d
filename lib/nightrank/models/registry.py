"""Rankers and figures in MLflow, and the lake's own copy of each ranker: the only file that knows MLflow.

A ranker is one safetensors file named by its sha256. It is written to the lake before MLflow hears of it; readers take
the lake's copy, else MLflow's, and verify either. Nothing is unpickled: the model that MLflow registers is an exported
graph, and this program never loads it.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from nightrank.config import Config
from nightrank.errors import ContractError, TryAgainError
from nightrank.models.artefact import Ranker, load_ranker, ranker_from, save_ranker

Figures = Mapping[str, float]

CHALLENGER, CHAMPION = "challenger", "champion"
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Registered:
    """Where MLflow keeps a ranker."""

    mlflow_run_id: str
    model_version: str
    artefact_uri: str


def keep_ranker(config: Config, ranker: Ranker) -> str:
    """The ranker's id, once its file stands whole in the lake: `artefacts/<ranker_id>.safetensors`."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "ranker.safetensors"
        ranker_id = save_ranker(ranker, written)
        files, path = _in_lake(config, ranker_id)
        files.makedirs(os.path.dirname(path), exist_ok=True)
        files.put_file(str(written), f"{path}.part")
        files.mv(f"{path}.part", path)  # a rename: readers see the whole file or none
    return ranker_id


def log_ranker(
    config: Config,
    ranker: Ranker,
    ranker_id: str,
    night: date,
    params: Mapping[str, Any],
    curves: Sequence[Figures],
    metrics: Figures,
) -> Registered:
    """Where MLflow keeps the ranker, after a run of its own: params, curves by epoch, figures, file, exported model.

    The model is registered as config.mlflow.model_name and, unless a later night's is there, becomes `challenger`.
    Raises TryAgainError where MLflow cannot be reached.
    """
    names = {"ranker_id": ranker_id, "night": night.isoformat(), "code_version": ranker.code_version}
    with _mlflow(config) as (mlflow, client):
        experiment = _experiment(client, config)
        with mlflow.start_run(experiment_id=experiment, run_name=f"ranker {night.isoformat()}", tags=names) as run:
            _log_numbers(mlflow, params, curves, metrics)
            _log_file(mlflow, ranker, f"{ranker_id}.safetensors")
            version = _register(mlflow, client, config, ranker, run.info.run_id, names)
    point_alias(config, CHALLENGER, ranker_id)
    return Registered(run.info.run_id, version, f"runs:/{run.info.run_id}/{ranker_id}.safetensors")


def fetch_ranker(config: Config, artefact_uri: str, ranker_id: str) -> Ranker:
    """The ranker with that id: the lake's copy, or MLflow's where the lake has none.

    Raises ContractError where the copy was altered or there is none.
    """
    files, path = _in_lake(config, ranker_id)
    if files.exists(path):
        return ranker_from(files.cat_file(path), ranker_id, path)
    with _mlflow(config) as (mlflow, _), tempfile.TemporaryDirectory() as folder:
        try:
            found = mlflow.artifacts.download_artifacts(artefact_uri, dst_path=folder)
        except (mlflow.exceptions.MlflowException, OSError) as error:
            raise ContractError(
                f"Ranker {ranker_id} cannot be read: it is neither at {path} nor at {artefact_uri} ({error}). "
                "Restore one of them, or run the stage ranker_runs again."
            ) from None
        return load_ranker(found, ranker_id)


def point_alias(config: Config, alias: str, ranker_id: str) -> bool:
    """Whether the alias now names that ranker: it stays where it is when it names a later night's.

    Raises ContractError where the ranker was never registered.
    """
    with _mlflow(config) as (_, client):
        model, target = config.mlflow.model_name, _registered(client, config, ranker_id)
        held = client.get_registered_model(model).aliases.get(alias)
        if held and client.get_model_version(model, held).tags.get("night", "") > target.tags["night"]:
            return False
        client.set_registered_model_alias(model, alias, target.version)
        return True


def mirror_ledger(config: Config, challenger_id: str | None, promoted_id: str | None, figures: Figures) -> None:
    """Tells MLflow what the ledger says: the figures of the challenger's run, and `champion` where one was promoted."""
    if challenger_id:
        with _mlflow(config) as (_, client):
            run_id = _registered(client, config, str(challenger_id)).run_id
        log_figures(config, run_id, figures)
    if promoted_id:
        point_alias(config, CHAMPION, str(promoted_id))


def log_figures(config: Config, run_id: str, figures: Figures) -> None:
    """Adds figures to a ranker's run: what later stages measured of it."""
    with _mlflow(config) as (mlflow, client):
        client.log_batch(run_id, metrics=_metrics(mlflow, figures, step=0))


def log_versions(config: Config, run_id: str, versions: Mapping[str, int]) -> None:
    """Adds to a ranker's run which Delta version of each table it was made from."""
    with _mlflow(config) as (_, client):
        for table, version in sorted(versions.items()):
            client.set_tag(run_id, f"delta_version.{table}", str(version))


def _registered(client: Any, config: Config, ranker_id: str) -> Any:
    """The newest version that is that ranker: a rerun registers it again."""
    model = config.mlflow.model_name
    found = client.search_model_versions(f"name = '{model}' and tags.ranker_id = '{ranker_id}'")
    if not found:
        raise ContractError(f"Ranker {ranker_id} is not registered in MLflow as '{model}'. Run the stage ranker_runs.")
    return max(found, key=lambda version: int(version.version))


def _log_numbers(
    mlflow: Any,
    params: Mapping[str, Any],
    curves: Sequence[Figures],
    metrics: Figures,
) -> None:
    mlflow.log_params(dict(params))
    for epoch, figures in enumerate(curves, start=1):
        mlflow.log_metrics({f"epoch_{name}": value for name, value in figures.items()}, step=epoch)
    mlflow.log_metrics(dict(metrics))


def _log_file(mlflow: Any, ranker: Ranker, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_ranker(ranker, Path(folder) / name)
        mlflow.log_artifact(str(Path(folder) / name))


def _register(mlflow: Any, client: Any, config: Config, ranker: Ranker, run_id: str, names: Mapping[str, str]) -> str:
    """The version under which the exported model is registered."""
    import torch
    from mlflow.pytorch import log_model

    from nightrank.models.ranker import RowScores

    scorer = RowScores(ranker).eval()
    # Two rows: a size of one would be exported as a constant.
    example = np.zeros((2, sum(scorer.widths)), np.float32)
    logged = log_model(
        scorer,
        name="ranker",
        signature=mlflow.models.infer_signature(example, scorer(torch.from_numpy(example)).numpy()),
        input_example=example,
        serialization_format="pt2",  # a graph; the other format is a pickle
        pip_requirements=[f"torch=={torch.__version__.split('+')[0]}"],
    )
    model = config.mlflow.model_name
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    source = client.get_logged_model(logged.model_id).artifact_location
    made = client.create_model_version(model, source, run_id=run_id, tags=dict(names), model_id=logged.model_id)
    return str(made.version)


def _experiment(client: Any, config: Config) -> str:
    found = client.get_experiment_by_name(config.mlflow.experiment)
    if found:
        return str(found.experiment_id)
    return str(client.create_experiment(config.mlflow.experiment, artifact_location=_artefacts(config)))


def _artefacts(config: Config) -> str | None:
    """Where MLflow keeps files: as configured, else beside a local database; None: the server decides."""
    database = _database(config)
    if config.mlflow.artefacts or not database:
        return config.mlflow.artefacts
    return (database.parent / "mlflow_artefacts").resolve().as_uri()


def _database(config: Config) -> Path | None:
    uri = config.mlflow.tracking_uri
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def _in_lake(config: Config, ranker_id: str) -> tuple[Any, str]:
    """The lake's file system and the path of the ranker in it."""
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # it ships no types

    files, path = url_to_fs(f"{config.lake.path.rstrip('/')}/artefacts/{ranker_id}.safetensors")
    return files, path


def _metrics(mlflow: Any, figures: Figures, step: int) -> list[Any]:
    return [mlflow.entities.Metric(name, float(value), 0, step) for name, value in sorted(figures.items())]


@contextmanager
def _mlflow(config: Config) -> Iterator[tuple[Any, Any]]:
    """MLflow and a client of the configured store."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    uri, database = config.mlflow.tracking_uri, _database(config)
    if database:
        database.parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    try:
        yield mlflow, mlflow.MlflowClient(uri)
    except mlflow.exceptions.MlflowException as error:
        raise TryAgainError(f"MLflow at {uri} cannot be used (mlflow.tracking_uri): {error}") from error
