"""Encoders that MLflow keeps: the lake's own copy of each, named by what it holds."""

from __future__ import annotations

import tempfile
from pathlib import Path

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.encoder_files import TOKENIZER_FILES, encoder_files, files_sha256
from nightrank.models.lake_files import in_lake, write_whole
from nightrank.models.registry import fetch_folder
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


def _in_mlflow(encoder: EncoderConfig) -> bool:
    return (encoder.model or "").startswith(SCHEMES)


def _kept(config: Config, encoder: EncoderConfig) -> EncoderConfig:
    assert encoder.model is not None
    with tempfile.TemporaryDirectory() as folder:
        files = _files(fetch_folder(config, encoder.model, folder), encoder.model)
        place = f"{FOLDER}/{files_sha256(files)}"
        # The one that a reader looks for comes last.
        for file in sorted(files, key=lambda one: one.name == "config.json"):
            if not _in_lake(config, f"{place}/{file.name}"):
                write_whole(config, f"{place}/{file.name}", file.read_bytes())
    return encoder.model_copy(update={"model": f"{config.lake.path.rstrip('/')}/{place}"})


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
