"""Encoders that the lake keeps, each in a folder named by what it holds: those tuned here, copies of MLflow's."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from nightrank.config import Config
from nightrank.errors import ContractError, InputMissingError
from nightrank.models.encoder_files import TOKENIZER_FILES, encoder_files, encoder_folder, files_sha256
from nightrank.models.lake_files import in_lake, write_whole
from nightrank.models.tracking import fetch_folder
from nightrank.sections import EncoderConfig

FOLDER = "artefacts/encoders"
SCHEMES = ("models:/", "runs:/")


def with_kept_encoders(config: Config) -> Config:
    """The settings with a folder of the lake in place of each encoder that MLflow keeps.

    An alias may name another model tomorrow: what it names is asked once a run, and a worker never asks MLflow.
    Raises ContractError where what MLflow keeps is no encoder, and TryAgainError where MLflow does not answer.
    """
    names = ("item_embeddings", "query_embeddings")
    kept = {name: _kept(config, getattr(config, name)) for name in names if _in_mlflow(getattr(config, name))}
    return config.model_copy(update=kept)


def keep_files(config: Config, files: list[Path]) -> str:
    """The encoder's id, the sha256 of its files and their names, once all stand in the lake."""
    encoder_id = files_sha256(files)
    # The one that a reader looks for comes last.
    for file in sorted(files, key=lambda one: one.name == "config.json"):
        if not _in_lake(config, f"{FOLDER}/{encoder_id}/{file.name}"):
            write_whole(config, f"{FOLDER}/{encoder_id}/{file.name}", file.read_bytes())
    return encoder_id


def kept_encoder(config: Config, encoder_id: str) -> str:
    """The address of the encoder of that id, which a configured encoder's `model` may be.

    Raises ContractError where it is not there whole and unaltered.
    """
    address = _address(config, encoder_id)
    try:
        found = files_sha256(encoder_files(encoder_folder(address)))
    except (InputMissingError, ContractError):
        found = "none"
    if found != encoder_id:
        raise ContractError(
            f"Encoder {encoder_id} cannot be used: expected files of that sha256 at {address}, found {found}. "
            "Restore them, run the job encoder again, or set encoder_runs.take_over to false."
        )
    return address


def _in_mlflow(encoder: EncoderConfig) -> bool:
    return (encoder.model or "").startswith(SCHEMES)


def _kept(config: Config, encoder: EncoderConfig) -> EncoderConfig:
    assert encoder.model is not None
    with tempfile.TemporaryDirectory() as folder:
        encoder_id = keep_files(config, _files(fetch_folder(config, encoder.model, folder), encoder.model))
    return encoder.model_copy(update={"model": _address(config, encoder_id)})


def _address(config: Config, encoder_id: str) -> str:
    # A worker need not stand where the driver does.
    lake = config.lake.path if "://" in config.lake.path else os.path.abspath(config.lake.path)
    return f"{lake.rstrip('/')}/{FOLDER}/{encoder_id}"


def _in_lake(config: Config, name: str) -> bool:
    files, path = in_lake(config, name)
    return bool(files.exists(path))


def _files(fetched: Path, address: str) -> list[Path]:
    """The encoder's files: at the top, or where MLflow's flavour for transformers puts them, the tokenizer apart."""
    found = sorted(config.parent for config in fetched.rglob("config.json") if any(config.parent.glob("*.safetensors")))
    if len(found) != 1:
        raise ContractError(
            f"Encoder '{address}' cannot be used: expected one folder with config.json and *.safetensors, found "
            f"{len(found)}. Log the model's folder with safe_serialization=True."
        )
    files = encoder_files(found[0])
    apart = [fetched / "components" / "tokenizer" / name for name in TOKENIZER_FILES]
    own = {file.name for file in files}
    return files + [file for file in apart if file.is_file() and file.name not in own]
