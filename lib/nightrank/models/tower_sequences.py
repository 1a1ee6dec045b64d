"""Sequences of takes as towers are trained on them: counted once, then cut into batches of like length, anew an epoch.

Sequences come as a function of a fold that starts a new pass over its rows in a fixed order, as in training.py: columns
TAKEN [rows, longest], oldest first, taken_index -1 where padded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightrank.models.batches import Columns, Pass, shuffled
from nightrank.models.sequences import TAKEN
from nightrank.sections import SequenceConfig


@dataclass(frozen=True)
class Overview:
    """takes: float64 [items], of each item. batches: of an epoch. digest: sha256 of all sequences, in their order."""

    takes: NDArray[np.float64]
    batches: int
    digest: str


def overview(sequences: Pass, items: int, settings: SequenceConfig) -> Overview:
    """What one pass over the sequences tells of them, and another over their batches."""
    takes, digest = np.zeros(items), hashlib.sha256()
    for part in sequences("train"):
        index = part["taken_index"]
        takes += np.bincount(index[index >= 0], minlength=items)
        # Row by row, so that it does not matter how the stream is cut.
        digest.update(np.stack([part[name] for name in TAKEN], axis=1).astype(np.int64).tobytes())
    return Overview(takes, sum(1 for _ in batches(sequences, settings, 0, 0)), digest.hexdigest())


def batches(sequences: Pass, settings: SequenceConfig, seed: int, epoch: int) -> Iterator[Columns]:
    """Batches of shoppers with two takes or more, of like length within a block, cut to the longest of them."""
    for number, block in enumerate(shuffled(_told(sequences("train")), seed, epoch)):
        lengths = (block["taken_index"] >= 0).sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        starts = np.arange(0, len(order), settings.batch)
        for start in np.random.default_rng((seed, epoch, number, 1)).permutation(starts):
            rows = order[start : start + settings.batch]
            yield {name: block[name][rows, : lengths[rows].max()] for name in TAKEN}


def _told(stream: Iterator[Columns]) -> Iterator[Columns]:
    """The rows that tell what came after something."""
    for part in stream:
        kept = (part["taken_index"] >= 0).sum(axis=1) > 1
        if kept.any():
            yield {name: column[kept] for name, column in part.items()}
