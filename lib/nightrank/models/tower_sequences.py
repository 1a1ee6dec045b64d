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

from nightrank.errors import ConfigError
from nightrank.models.batches import Columns, Pass, shuffled
from nightrank.models.sequences import ACTION_INDICES, ACTIONS, TAKEN, action_index
from nightrank.sections import SequenceConfig


@dataclass(frozen=True)
class Overview:
    """takes: float64 [items], of each item. actions: int64 [ACTION_INDICES], of the takes that come after another.

    batches: of an epoch. digest: sha256 of all sequences, in their order.
    """

    takes: NDArray[np.float64]
    actions: NDArray[np.int64]
    batches: int
    digest: str


def overview(sequences: Pass, items: int, settings: SequenceConfig) -> Overview:
    """What one pass over the sequences tells of them, and another over their batches."""
    takes, actions, digest = np.zeros(items), np.zeros(ACTION_INDICES, np.int64), hashlib.sha256()
    for part in sequences("train"):
        index = part["taken_index"]
        takes += np.bincount(index[index >= 0], minlength=items)
        actions += np.bincount(part["taken_action"][:, 1:][index[:, 1:] >= 0], minlength=ACTION_INDICES)
        # Row by row, so that it does not matter how the stream is cut.
        digest.update(np.stack([part[name] for name in TAKEN], axis=1).astype(np.int64).tobytes())
    return Overview(takes, actions, sum(1 for _ in batches(sequences, settings, 0, 0)), digest.hexdigest())


def action_weights(actions: NDArray[np.int64], settings: SequenceConfig) -> NDArray[np.float64]:
    """w [ACTION_INDICES], of sum 1: how often each action comes next, times what settings.utilities say of it.

    Raises ConfigError where no action that was seen is worth anything.
    """
    utility = np.ones(ACTION_INDICES)
    for action, worth in settings.utilities.items():
        utility[action_index(action)] = worth
    weights = actions.astype(np.float64) * np.minimum(utility, settings.max_utility)
    if not weights.any():
        raise ConfigError(
            "ranker_runs.sequence.utilities: expected a worth above 0 for an action that shoppers do, found none. "
            f"Seen: {dict(zip(('other', *ACTIONS), actions.tolist(), strict=True))}."
        )
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


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
