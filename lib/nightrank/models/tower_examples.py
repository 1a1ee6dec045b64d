"""Training examples beside what the towers make of each one: of its shopper's takes, and of its items."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nightrank.models.artefact import Floats
from nightrank.models.batches import BLOCK_ROWS, Columns, Pass, recut
from nightrank.models.feature_names import ENGINE_FEATURES
from nightrank.models.sequences import TAKEN
from nightrank.models.tower_artefact import Towers, biases_of
from nightrank.models.towers import last_states
from nightrank.models.training import deterministic


def with_towers(examples: Pass, towers: Towers, item_ids: NDArray[np.str_], vectors: Floats, threads: int) -> Pass:
    """The same passes with the column `shopper`, float32 [rows, dims], u as of each example, and with tower_bias.

    item_ids [items], vectors [items, dims]: of the catalogue, rows by item_index. Columns taken_index, taken_action,
    taken_gap [rows, longest] say what was taken. The towers are frozen, so u is made in the first pass over a fold and
    kept: dims numbers an example.
    """
    made: dict[str, list[Floats]] = {}
    biases = biases_of(towers, item_ids).astype(np.float32)

    def passed(fold: str) -> Iterator[Columns]:
        kept = made.setdefault(fold, [])
        for number, columns in enumerate(recut(examples(fold), BLOCK_ROWS)):
            taken = [columns.pop(name) for name in TAKEN]
            if number == len(kept):
                with deterministic(threads):
                    kept.append(last_states(towers.shopper, vectors.__getitem__, *taken))
            yield {**columns, "engine_features": _biased(columns, biases), "shopper": kept[number]}

    return passed


def _biased(columns: Columns, biases: Floats) -> Floats:
    """engine_features [rows, slate * features], tower_bias filled in; 0 where there is no item."""
    items = columns["item_index"]
    engine = columns["engine_features"].reshape(*items.shape, len(ENGINE_FEATURES)).copy()
    engine[..., ENGINE_FEATURES.index("tower_bias")] = np.where(items >= 0, biases[items], 0.0)
    return engine.reshape(len(items), -1)
