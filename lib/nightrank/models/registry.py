"""Rankers: the lake's own copy of each; versions that MLflow registers of them and of encoders, and their aliases.

A ranker is one safetensors file named by its sha256. It is written to the lake before MLflow hears of it; readers take
the lake's copy, else MLflow's, and verify either. Nothing is unpickled: the model that MLflow registers is an exported
graph, and this program never loads it. A registry that is down stops the night with TryAgainError, before anything is
published; only figures may follow later (tracking.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.artefact import Ranker, load_ranker, ranker_from, save_ranker
from nightrank.models.lake_files import in_lake, write_whole
from nightrank.models.model_card import model_card
from nightrank.models.tracking import connected, night_run, within

Figures = Mapping[str, float]

CHALLENGER, CHAMPION = "challenger", "champion"


@dataclass(frozen=True)
class Entry:
    """A model to be registered.

    model: the name that its versions are registered under. job: in whose run of the night it is logged: `exported` is
    the folder there of the MLflow model and `artefact` what readers fetch. alias: that the version gets unless a later
    night's has it. tags: what tells it from all others, `night` among them. card: its description.
    """

    model: str
    job: str
    exported: str
    artefact: str
    alias: str
    tags: Mapping[str, str]
    card: str


@dataclass(frozen=True)
class Registered:
    """Where MLflow keeps a ranker."""

    mlflow_run_id: str
    model_version: str
    artefact_uri: str


@dataclass(frozen=True)
class Training:
    """What MLflow is told of how a model came to be. curves: figures by epoch. examples: searches by fold."""

    night: date
    params: Mapping[str, Any]
    curves: Sequence[Figures]
    figures: Figures
    examples: Mapping[str, int]


def keep_ranker(config: Config, ranker: Ranker) -> str:
    """The ranker's id, once its file stands whole in the lake: `artefacts/<ranker_id>.safetensors`."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "ranker.safetensors"
        ranker_id = save_ranker(ranker, written)
        write_whole(config, _file(ranker_id), written.read_bytes())
    return ranker_id


def log_ranker(config: Config, ranker: Ranker, ranker_id: str, training: Training) -> Registered:
    """Where MLflow keeps the ranker: params, curves, figures and file in the night's run of `train`, and a version.

    The version of config.mlflow.model_name has the exported model, a signature, an input example and a model card, and
    becomes `challenger` unless a later night's is. Logged twice, a ranker is registered once.
    Raises TryAgainError where MLflow cannot be reached or takes longer than mlflow.registry_timeout_seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        _export_ranker(ranker, f"{folder}/ranker")
        save_ranker(ranker, Path(folder) / f"{ranker_id}.safetensors")
        card = model_card(config, ranker, ranker_id, training.night, training.examples, training.figures)
        tags = {"ranker_id": ranker_id, "night": training.night.isoformat(), "code_version": ranker.code_version}
        file = f"{ranker_id}.safetensors"
        entry = Entry(config.mlflow.model_name, "train", "ranker", file, CHALLENGER, tags, card)
        return within(config, config.mlflow.registry_timeout_seconds, lambda: _log(config, folder, entry, training))


def log_encoder(config: Config, folder: Path, encoder_id: str, card: str, training: Training) -> Registered:
    """Where MLflow keeps a promoted encoder, of that folder: in the night's run of `encoder`, and as a version.

    The version of config.mlflow.encoder_model_name becomes `champion` unless a later night's is: an alias that nothing
    reads. Otherwise, and what it raises, as log_ranker.
    """
    from nightrank.models.encoder_module import TokenVectors

    graph = TokenVectors(folder, config.item_embeddings).eval()
    with tempfile.TemporaryDirectory() as logged:
        _export(graph, graph.example(), f"{logged}/encoder")
        tags = {"encoder_id": encoder_id, "night": training.night.isoformat()}
        entry = Entry(config.mlflow.encoder_model_name, "encoder", "encoder", "encoder", CHAMPION, tags, card)
        return within(config, config.mlflow.registry_timeout_seconds, lambda: _log(config, logged, entry, training))


def fetch_ranker(config: Config, artefact_uri: str, ranker_id: str) -> Ranker:
    """The ranker with that id: the lake's copy, or MLflow's where the lake has none.

    Raises ContractError where the copy was altered or there is none.
    """
    files, path = in_lake(config, _file(ranker_id))
    if files.exists(path):
        return ranker_from(files.cat_file(path), ranker_id, path)
    with connected(config) as (mlflow, _), tempfile.TemporaryDirectory() as folder:
        try:
            found = mlflow.artifacts.download_artifacts(artefact_uri, dst_path=folder)
        except (mlflow.exceptions.MlflowException, OSError) as error:
            raise ContractError(
                f"Ranker {ranker_id} cannot be read: it is neither at {path} nor at {artefact_uri} ({error}). "
                "Restore one of them, or run the stage ranker_runs again."
            ) from None
        return load_ranker(found, ranker_id)


def point_alias(config: Config, alias: str, ranker_id: str, night: date | None) -> bool:
    """Whether the alias now names that ranker: it stays where it is when it names one of a night later than `night`.

    Backfills into another lake share the registry, and move nothing live. night None: it is moved in any case.
    Raises ContractError where the ranker was never registered, and TryAgainError as log_ranker does.
    """

    def moved() -> bool:
        with connected(config) as (_, client):
            return _point(client, config.mlflow.model_name, alias, _registered(client, config, ranker_id), night)

    return within(config, config.mlflow.registry_timeout_seconds, moved)


def _point(client: Any, model: str, alias: str, target: Any, night: date | None) -> bool:
    held = client.get_registered_model(model).aliases.get(alias)
    if str(held) == str(target.version):
        return True
    if night and held and client.get_model_version(model, held).tags.get("night", "") > night.isoformat():
        return False
    client.set_registered_model_alias(model, alias, target.version)
    return True


def _log(config: Config, folder: str, entry: Entry, training: Training) -> Registered:
    with connected(config) as (mlflow, client):
        target = _find(client, entry.model, entry.tags)
        if target is None:
            run_id = night_run(client, config, entry.job, entry.tags["night"])
            _log_numbers(mlflow, client, run_id, entry.tags, training)
            client.log_artifacts(run_id, folder)
            target = _register(client, run_id, entry)
            client.set_terminated(run_id, "FINISHED")
        _point(client, entry.model, entry.alias, target, training.night)
        return Registered(str(target.run_id), str(target.version), f"runs:/{target.run_id}/{entry.artefact}")


def _registered(client: Any, config: Config, ranker_id: str) -> Any:
    """The newest version that is that ranker."""
    model = config.mlflow.model_name
    found = _find(client, model, {"ranker_id": ranker_id})
    if found is None:
        raise ContractError(f"Ranker {ranker_id} is not registered in MLflow as '{model}'. Run the stage ranker_runs.")
    return found


def _find(client: Any, model: str, tags: Mapping[str, str]) -> Any | None:
    """The newest version with those tags. Not every registry can search by tags, or tells them in a search."""
    found = client.search_model_versions(f"name = '{model}'")
    for listed in sorted(found, key=lambda version: int(version.version), reverse=True):
        whole = listed if listed.tags else client.get_model_version(model, listed.version)
        if all(whole.tags.get(name) == value for name, value in tags.items()):
            return whole
    return None


def _log_numbers(mlflow: Any, client: Any, run_id: str, tags: Mapping[str, str], training: Training) -> None:
    """A parameter cannot be changed once it is there: what a rerun had otherwise is told as a tag `rerun.<name>`."""
    there = client.get_run(run_id).data.params
    params = {name: str(value) for name, value in training.params.items()}
    other = {f"rerun.{name}": value for name, value in params.items() if there.get(name, value) != value}
    entities = mlflow.entities
    client.log_batch(
        run_id,
        params=[entities.Param(name, value) for name, value in params.items() if name not in there],
        tags=[entities.RunTag(name, value) for name, value in {**tags, **other}.items()],
    )
    for epoch, figures in enumerate(training.curves, start=1):
        named = {f"epoch_{name}": value for name, value in figures.items()}
        mlflow.log_metrics(named, step=epoch, run_id=run_id)
    if training.figures:
        mlflow.log_metrics(dict(training.figures), run_id=run_id)


def _export_ranker(ranker: Ranker, folder: str) -> None:
    from nightrank.models.ranker import RowScores

    scorer = RowScores(ranker).eval()
    # Two rows: a size of one would be exported as a constant.
    _export(scorer, np.zeros((2, sum(scorer.widths)), np.float32), folder)


def _export(graph: Any, example: Any, folder: str) -> None:
    """Writes the module as an MLflow model: a graph, its signature and an input example."""
    import torch
    from mlflow.models import infer_signature
    from mlflow.pytorch import save_model

    with torch.no_grad():
        found = graph(torch.from_numpy(example)).numpy()
    save_model(
        graph,
        folder,
        signature=infer_signature(example, found),
        input_example=example,
        serialization_format="pt2",  # a graph; the other format is a pickle
        pip_requirements=[f"torch=={torch.__version__.split('+')[0]}"],
    )


def _register(client: Any, run_id: str, entry: Entry) -> Any:
    """The version under which the run's exported model is registered."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(entry.model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(run_id).info.artifact_uri.rstrip('/')}/{entry.exported}"
    told = {"tags": dict(entry.tags), "description": entry.card}
    return client.create_model_version(entry.model, source, run_id=run_id, **told)


def _file(ranker_id: str) -> str:
    return f"artefacts/{ranker_id}.safetensors"
