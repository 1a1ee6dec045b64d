"""Texts to vectors: a local BERT, its tokens pooled, L2 norm, float32."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightrank.errors import ConfigError
from nightrank.models.encodable import encodable
from nightrank.models.encoder_files import encoder_files, encoder_folder, encoder_version, refuse_too_large
from nightrank.sections import EncoderConfig

__all__ = ["Encoded", "Encoder", "Vectors", "encoder_folder", "encoder_of", "encoder_version", "load_encoder"]

Vectors = NDArray[np.float32]
Ids = list[list[int]]

# Padded tokens in one forward pass. A CPU is as fast with 4 texts as with 256, so small passes save padding; a GPU
# needs work for all of its cores.
TOKENS_PER_PASS = {"cpu": 1024, "cuda": 65_536}


@dataclass(frozen=True)
class Encoded:
    """n texts as vectors [n, dims] of length 1 (zero: none could be computed), and what the tokenizer saw of each.

    tokens: as many as were encoded, int32 [n]. unknown: those of them that the vocabulary does not know, int32 [n].
    """

    vectors: Vectors
    tokens: NDArray[np.int32]
    unknown: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Encoder:
    """A function from n texts to float32 [n, dims], each row of length 1; the same list gives the same bits."""

    tokenizer: Any
    network: Any
    max_tokens: int
    device: str
    pooling: str

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """The texts' vectors."""
        return self.encoded(texts).vectors

    def encoded(self, texts: Sequence[str]) -> Encoded:
        """The texts' vectors and how many tokens each has."""
        return _encoded(self, _ids(self, texts))

    def each(self, lists: Iterable[Sequence[str]]) -> Iterator[Encoded]:
        """Each list's vectors, in order. Beside a GPU the next list becomes tokens while this one is computed."""
        return map(self.encoded, lists) if self.device == "cpu" else _each_ahead(self, lists)


def encoder_of(config: EncoderConfig, device: str = "cpu") -> Encoder:
    """The encoder that the settings describe; those of batches do not load it anew."""
    how = (config.pooling, config.precision, config.worker_memory_gb)
    return load_encoder(config.model, config.max_tokens, config.threads, device, *how)


# Two, as items and queries may have different models: a worker's memory is bounded.
@lru_cache(maxsize=2)
def load_encoder(
    model: str | None,
    max_tokens: int,
    threads: int,
    device: str = "cpu",
    pooling: str = "mean",
    precision: str = "fp32",
    worker_memory_gb: float | None = None,
) -> Encoder:
    """The encoder in a local folder (None: the package's), cached, so that a worker process loads it once.

    Sets torch's threads for the whole process. Longer texts are cut at max_tokens. A text whose vector is not finite
    gets the zero vector: it is similar to nothing. worker_memory_gb None: as much as is free on this machine.
    Raises what `encoder_version` raises, ConfigError where max_tokens is more than the network takes or the network
    more than the memory, and ContractError for files that do not fit each other.
    """
    folder = encoder_folder(model)
    encoder_files(folder)
    _refuse_if_too_large(folder, worker_memory_gb)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    from nightrank.models.encoder_networks import load_network, usable_tokens

    torch.set_num_threads(threads)
    tokenizer, network = load_network(folder, precision, device)
    if max_tokens > (longest := usable_tokens(network)):
        raise ConfigError(f"Encoder '{folder}' takes {longest} tokens, found max_tokens: {max_tokens}. Lower it.")
    gc.freeze()  # a Spark worker collects garbage after every task: with torch's objects that is 0.3 s each time
    return Encoder(tokenizer, network, max_tokens, device, pooling)


def _each_ahead(encoder: Encoder, lists: Iterable[Sequence[str]]) -> Iterator[Encoded]:
    with ThreadPoolExecutor(1, "tokenizer") as ahead:
        waiting: Future[Ids] | None = None
        for texts in lists:
            following = ahead.submit(_ids, encoder, texts)
            if waiting is not None:
                yield _encoded(encoder, waiting.result())
            waiting = following
        if waiting is not None:
            yield _encoded(encoder, waiting.result())


def _refuse_if_too_large(folder: Any, worker_memory_gb: float | None) -> None:
    if worker_memory_gb is not None:
        refuse_too_large(folder, worker_memory_gb, "worker_memory_gb")
        return
    import psutil  # type: ignore[import-untyped]  # it ships no types

    refuse_too_large(folder, psutil.virtual_memory().available / 1e9, "free on this machine")


def _ids(encoder: Encoder, texts: Sequence[str]) -> Ids:
    """The tokens' ids of each text, at most max_tokens."""
    told = [encodable(text, encoder.max_tokens) for text in texts]
    if not told:
        return []
    unasked = {"return_attention_mask": False, "return_token_type_ids": False}
    found: Ids = encoder.tokenizer(told, truncation=True, max_length=encoder.max_tokens, **unasked)["input_ids"]
    return found


def _encoded(encoder: Encoder, ids: Ids) -> Encoded:
    """Texts of like length share a pass, whatever their order."""
    lengths = [len(row) for row in ids]
    vectors = np.zeros((len(ids), encoder.network.config.hidden_size), dtype=np.float32)
    passes = list(_passes(lengths, TOKENS_PER_PASS["cpu" if encoder.device == "cpu" else "cuda"]))
    # All are asked for before the first is fetched: a GPU computes one while the next is laid out.
    units = [_one_pass([ids[row] for row in rows], encoder) for rows in passes]
    for rows, unit in zip(passes, units, strict=True):
        vectors[rows] = unit.cpu().numpy()
    vectors[~np.isfinite(vectors).all(axis=1)] = 0.0
    unknown = [row.count(encoder.tokenizer.unk_token_id) for row in ids]
    return Encoded(vectors, np.array(lengths, dtype=np.int32), np.array(unknown, dtype=np.int32))


def _passes(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Row numbers of one forward pass after the other, shortest texts first; a text without tokens is in none."""
    rows: list[int] = []
    for row in sorted(np.flatnonzero(lengths).tolist(), key=lambda row: (lengths[row], row)):
        if rows and lengths[row] * (len(rows) + 1) > tokens:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _one_pass(ids: Ids, encoder: Encoder) -> Any:
    """What `_pooled` gives; what it no longer needs of this process's memory is given back.

    Without, a worker's heap grows for as long as longer texts come: glibc keeps what lies between blocks in use, and a
    pass of other lengths does not fit into it (worker_memory_gb of `make bench-encode`).
    """
    found = _halved_if_too_large(ids, encoder)
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None) if encoder.device == "cpu" else None
    if give_back is not None:  # glibc alone has it
        give_back(0)
    return found


def _halved_if_too_large(ids: Ids, encoder: Encoder) -> Any:
    """What `_pooled` gives, computed in halves where the device has no memory for all; in its last bits it may differ.

    Raises torch's OutOfMemoryError where a single text does not fit.
    """
    import torch

    try:
        return _pooled(ids, encoder)
    except torch.OutOfMemoryError:
        if len(ids) == 1:
            raise
    # Not in the handler: the error holds on to what was computed so far.
    torch.cuda.empty_cache()
    half = len(ids) // 2
    return torch.cat([_halved_if_too_large(part, encoder) for part in (ids[:half], ids[half:])])


def _pooled(ids: Ids, encoder: Encoder) -> Any:
    """A float32 tensor [n, dims] on the device: the pooled last hidden states, divided by their length."""
    import torch

    widths = torch.tensor([len(row) for row in ids])
    widest, padding = max(map(len, ids)), encoder.tokenizer.pad_token_id or 0
    padded = _on(torch.tensor([row + [padding] * (widest - len(row)) for row in ids]), encoder.device)
    mask = _on((torch.arange(widest) < widths[:, None]).long(), encoder.device)
    even = widest == min(map(len, ids))  # without a mask attention has a faster way
    with torch.inference_mode():
        found = encoder.network(input_ids=padded, attention_mask=None if even else mask)
        hidden = found.last_hidden_state.float()
        pooled = hidden[:, 0] if encoder.pooling == "cls" else _mean(hidden, mask.unsqueeze(-1).float())
        return torch.nn.functional.normalize(pooled, dim=1)


def _mean(hidden: Any, weights: Any) -> Any:
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def _on(tensor: Any, device: str) -> Any:
    """The tensor on the device, copied while the GPU computes."""
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
