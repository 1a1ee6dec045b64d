"""Encoders as folders: what training made is written like the folder it began with, and kept in the lake by sha256."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.lake_files import write_whole

FOLDER = "encoders"
WEIGHTS = "model.safetensors"
# Settings, vocabulary and pooling, which training leaves alone; weights in any format are not among them.
_KEPT = (".json", ".txt", ".model")


def write_encoder(network: Any, base: Path, folder: Path) -> None:
    """Writes the network into `folder` with the settings and the tokenizer of `base`, the folder that it was made from.

    The same weights give the same bytes. LoRA is merged into the weights.
    """
    from safetensors.torch import save_file

    from nightrank.models.lora import merge_lora

    merge_lora(network)
    for file in sorted(path for path in base.rglob("*") if path.suffix in _KEPT):
        written = folder / file.relative_to(base)
        written.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, written)
    weights = {name: values.detach().cpu().clone().contiguous() for name, values in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def keep_encoder(config: Config, folder: Path) -> str:
    """The encoder's id, the sha256 of its files and their names, once all stand in the lake: `encoders/<id>/`."""
    encoder_id = folder_id(folder)
    for file in _files(folder):
        write_whole(config, f"{FOLDER}/{encoder_id}/{file.relative_to(folder).as_posix()}", file.read_bytes())
    return encoder_id


def kept_encoder(config: Config, encoder_id: str) -> str:
    """The address of the encoder of that id in the lake, which a configured encoder's `model` may be.

    Raises ContractError where it is not there whole and unaltered.
    """
    lake = config.lake.path if "://" in config.lake.path else os.path.abspath(config.lake.path)
    address = f"{lake.rstrip('/')}/{FOLDER}/{encoder_id}"
    folder = local_folder(address)
    found = folder_id(folder) if folder.is_dir() else "nothing"
    if found != encoder_id:
        raise ContractError(
            f"Encoder {encoder_id} cannot be used: expected a folder of that sha256 at {address}, found {found}. "
            "Restore it, run the job encoder again, or set encoder_runs.take_over to false."
        )
    return address


def local_folder(address: str) -> Path:
    """The folder at the address: itself where it is a path, else this machine's copy of it, made once."""
    if "://" not in address:
        return Path(address)
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # it ships no types
    from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]  # likewise

    files, path = url_to_fs(address)
    return Path(path) if isinstance(files, LocalFileSystem) else _copied(files, path)


def folder_id(folder: Path) -> str:
    """The sha256 of the folder's files and their names."""
    whole = hashlib.sha256()
    for file in _files(folder):
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        whole.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return whole.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _copied(files: Any, path: str) -> Path:
    copies = Path(tempfile.gettempdir()) / f"nightrank-encoders-{os.getuid()}"
    copy = copies / hashlib.sha256(path.encode()).hexdigest()
    if copy.is_dir() or not files.exists(path):
        return copy
    copies.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=copies) as folder:
        files.get(path, f"{folder}/whole", recursive=True)
        try:
            os.rename(f"{folder}/whole", copy)
        except OSError:  # another process of this machine was faster
            if not copy.is_dir():
                raise
    return copy
