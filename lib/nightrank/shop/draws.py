"""Where randomness comes from: a stream of its own for each purpose and its parts, so that any split draws the same."""

from __future__ import annotations

from hashlib import blake2b
from zlib import crc32

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def stream(seed: int, purpose: str, *parts: int) -> np.random.Generator:
    """The generator of one purpose, e.g. `stream(seed, "behaviour", bucket, day)`; parts are >= 0."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, crc32(purpose.encode()), *parts))))


def identifier(seed: int, purpose: str, *parts: int) -> str:
    """16 hex digits that name a thing and tell nothing about it."""
    return blake2b(f"{seed}/{purpose}/{'/'.join(map(str, parts))}".encode(), digest_size=8).hexdigest()


def pick(rng: np.random.Generator, weights: Floats) -> Ints:
    """One column for each row of `weights` (rows, columns), drawn in proportion; shape (rows,)."""
    cumulative = np.cumsum(weights, axis=1)
    drawn = rng.random(len(weights)) * cumulative[:, -1]
    return np.asarray(np.minimum((cumulative <= drawn[:, None]).sum(axis=1), weights.shape[1] - 1), dtype=np.int64)


def orders(rng: np.random.Generator, rows: int, columns: int) -> Ints:
    """A random order of the columns for each row, shape (rows, columns)."""
    return np.argsort(rng.random((rows, columns)), axis=1)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + np.exp(-x))
