"""Nights in MLflow: an experiment a job, a run a night. This file and registry.py are all that knows MLflow.

Telling MLflow of a night is best effort and bounded: what is to be told waits in the lake (outbox.py) and is sent at
the end of a run, oldest night first; what cannot be sent within mlflow.timeout_seconds waits for the next run.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TypeVar

from nightrank import __version__
from nightrank.config import Config, config_hash
from nightrank.errors import ContractError, DiskError, TryAgainError
from nightrank.models.outbox import Input, Note, Waiting, drop_note, refuse_note, waiting_notes

log = logging.getLogger("nightrank")
Kept = TypeVar("Kept")

_SQLITE = "sqlite:///"
_SENDING = Lock()
# Whose errors mean that MLflow, or where it keeps files, did not answer.
_REMOTE = {"mlflow", "requests", "urllib3", "sqlalchemy", "botocore", "boto3", "azure", "google", "databricks"}


def send_notes(config: Config) -> bool:
    """Whether MLflow has been told everything that waited in the outbox, oldest night first.

    Never raises, and takes no longer than mlflow.timeout_seconds: what is left waits for the next call.
    """
    try:
        within(config, config.mlflow.timeout_seconds, lambda: _send_all(config))
    except Exception as error:  # figures may be late; they never fail a night
        told = str(error).splitlines()[0] if isinstance(error, TryAgainError) else type(error).__name__
        log.warning("mlflow=later reason=%s", told)
        return False
    return True


def night_tags(config: Config) -> dict[str, str]:
    """What a run is found and told apart by: lake, config hash, the program's version and, where known, git commit.

    The commit is NIGHTRANK_GIT_COMMIT, set by whoever packages or starts the program: git is never called.
    """
    commit = os.environ.get("NIGHTRANK_GIT_COMMIT", "").strip()
    known = {"git_commit": commit, "mlflow.source.git.commit": commit} if commit else {}
    return {
        "lake": config.lake.path,
        "config_hash": config_hash(config),
        "nightrank_version": __version__,
        "mlflow.source.name": "nightrank",
        "mlflow.source.type": "JOB",
        **known,
    }


def night_run(client: Any, config: Config, job: str, night: str, started: int | None = None) -> str:
    """The id of the job's run of that night: the one that is there, by its tags, or a new one.

    started: milliseconds since 1970; None: now.
    """
    experiment = _experiment(client, config, f"{config.mlflow.experiment}/{job}")
    for run in client.search_runs([experiment], f"tags.night = '{night}'", order_by=["attributes.start_time ASC"]):
        if run.data.tags.get("lake") == config.lake.path:
            return str(run.info.run_id)
    # Not mlflow.start_run: it asks git for the commit.
    tags = {"night": night, "job": job, **night_tags(config)}
    return str(client.create_run(experiment, started, tags, f"{job} {night}").info.run_id)


def fetch_folder(config: Config, address: str, folder: str) -> Path:
    """What MLflow keeps at `models:/…` or `runs:/…`, downloaded into the folder.

    Raises ContractError where MLflow keeps nothing there, and TryAgainError where it does not answer.
    """
    tracking = config.mlflow.tracking_uri

    def fetched() -> Path:
        with connected(config) as (mlflow, _):
            try:
                stores = {"tracking_uri": tracking, "registry_uri": config.mlflow.registry_uri or tracking}
                return Path(mlflow.artifacts.download_artifacts(address, dst_path=folder, **stores))
            except mlflow.exceptions.MlflowException as error:
                if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    raise
                raise ContractError(f"MLflow keeps nothing at '{address}': {error} Change the address.") from None

    return within(config, config.mlflow.registry_timeout_seconds, fetched)


def within(config: Config, seconds: float, act: Callable[[], Kept]) -> Kept:
    """What `act` returns. Raises TryAgainError where it has not ended after `seconds`; its thread is left behind.

    A local database is not waited for in this way: it answers or fails by itself.
    """
    if _database(config):
        return act()
    ended: Future[Kept] = Future()

    def attempt() -> None:
        try:
            ended.set_result(act())
        except BaseException as error:  # raised again by the waiting thread
            ended.set_exception(error)

    Thread(target=attempt, name="mlflow", daemon=True).start()
    try:
        return ended.result(timeout=seconds)
    except TimeoutError:
        uri = _shown(config.mlflow.tracking_uri)
        raise TryAgainError(f"MLflow at {uri} did not answer within {seconds:g} s (section mlflow).") from None


@contextmanager
def connected(config: Config) -> Iterator[tuple[Any, Any]]:
    """MLflow and a client of the configured store. Raises TryAgainError where it cannot be reached or refuses."""
    _set_limits(config)
    import mlflow

    for chatty in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    uri, database = config.mlflow.tracking_uri, _database(config)
    if database:
        database.parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    try:
        yield mlflow, mlflow.MlflowClient(uri, config.mlflow.registry_uri or uri)
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise DiskError("MLflow's files cannot be written: the disk is full. Free space and run again.") from error
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in _REMOTE:
            raise
        told = _shown(str(error))
        raise TryAgainError(f"MLflow at {_shown(uri)} cannot be used (mlflow.tracking_uri): {told}") from error


def _set_limits(config: Config) -> None:
    """MLflow's own limits of a request, so that a thread that was left behind ends too."""
    seconds = str(max(1, config.mlflow.timeout_seconds // 2))
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = seconds
    os.environ["MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT"] = seconds
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"


def _send_all(config: Config) -> None:
    if not _SENDING.acquire(blocking=False):
        raise TryAgainError("an earlier attempt is still waiting for MLflow")
    try:
        waiting = waiting_notes(config)
        if waiting:
            with connected(config) as (mlflow, client):
                for one in waiting:
                    _send_or_refuse(mlflow, client, config, one)
    finally:
        _SENDING.release()


def _send_or_refuse(mlflow: Any, client: Any, config: Config, waiting: Waiting) -> None:
    try:
        _send(mlflow.entities, client, config, waiting.note, waiting.at)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        log.warning("mlflow=refused note=%s", waiting.name)  # it would be refused every night
        refuse_note(config, waiting.name)
    else:
        drop_note(config, waiting)


def _send(entities: Any, client: Any, config: Config, note: Note, at: int) -> None:
    run_id = night_run(client, config, note.job, note.night, at - int(note.seconds * 1000))
    client.log_batch(
        run_id,
        metrics=[entities.Metric(name, float(value), at, 0) for name, value in sorted(note.figures.items())],
        tags=[entities.RunTag(name, value) for name, value in sorted(note.tags.items())],
    )
    if note.inputs:
        client.log_inputs(run_id, [_dataset(entities, one) for one in note.inputs])
    if note.summary is not None:
        client.log_dict(run_id, dict(note.summary), "run_summary.json")
    if note.status:
        client.set_terminated(run_id, note.status, at)


def _dataset(entities: Any, read: Input) -> Any:
    """An MLflow dataset by name, version and place; nothing is read."""
    place = "path" if "/" in read.path else "delta_table_name"
    delta = {place: read.path, "delta_table_version": read.version}
    source = json.dumps({"uri": read.path} if read.version is None else delta)
    scheme = read.path.split("://")[0] if "://" in read.path else "local"
    kind = scheme if read.version is None else "delta_table"
    digest = hashlib.sha256(f"{read.name}:{source}".encode()).hexdigest()[:8]
    context = entities.InputTag("mlflow.data.context", "raw log" if read.version is None else "table")
    return entities.DatasetInput(entities.Dataset(read.name, digest, kind, source), [context])


def _experiment(client: Any, config: Config, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name, artifact_location=_artefacts(config)))


def _artefacts(config: Config) -> str | None:
    """Where MLflow keeps files: as configured, else beside a local database; None: the server decides."""
    database = _database(config)
    if config.mlflow.artefacts or not database:
        return config.mlflow.artefacts
    return (database.parent / "mlflow_artefacts").resolve().as_uri()


def _database(config: Config) -> Path | None:
    uri = config.mlflow.tracking_uri
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def _shown(text: str) -> str:
    """The text without user names and passwords in addresses."""
    return re.sub(r"//[^/@\s]*@", "//***@", text)
