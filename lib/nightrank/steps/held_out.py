"""A shopper as if the last takes had not been: what the ranker's agreement with them is asked of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightrank.models.agreement import agreements
from nightrank.models.artefact import Ranker
from nightrank.models.catalogue import Catalogue, positions
from nightrank.steps.judging import item_tokens_of
from nightrank.steps.shoppers import listed, read_shopper


def agreements_of(
    catalogue: Catalogue, ranker: Ranker, rows: list[Any], recent_decay: float, most: int
) -> NDArray[np.float64]:
    """float64 [rows]: each flat row's agreement (models/agreement.py) on its last takes; NaN where none is held out."""
    split = [without_last(catalogue, row, most) for row in rows]
    asked = [at for at, (_, held_out) in enumerate(split) if len(held_out)]
    found = np.full(len(rows), np.nan)
    if asked:
        shoppers = [read_shopper(catalogue, split[at][0], recent_decay) for at in asked]
        takes = [positions(catalogue.item_ids, split[at][1]) for at in asked]
        found[asked] = agreements(catalogue, ranker, shoppers, takes)
    return found


def without_last(catalogue: Catalogue, row: Any, most: int) -> tuple[Any, NDArray[np.str_]]:
    """A flat row without its last distinct takes, and the ids of these: `most` of them, but half of all at most.

    Something must be left to know them by: of one take nothing is held out, nor of a group's. What own_items says of
    them is taken from their facets too: both add up the same weights, decayed alike, but for what was only looked at.
    """
    recent = np.asarray(listed(row.recent_item_ids), dtype=np.str_)
    held_out = recent[: min(most, len(recent) // 2) if row.evidence > 0 else 0]
    if not len(held_out):
        return row, held_out
    own, values = np.asarray(listed(row.own_item_ids), dtype=np.str_), np.asarray(listed(row.own_item_values), float)
    left, taken = ~np.isin(own, held_out), np.asarray(listed(row.taken_item_ids), dtype=np.str_)
    others = ~np.isin(taken, held_out)
    changed = {
        "affinity_values": _less(catalogue, row, own[~left], values[~left]),
        "own_item_ids": own[left],
        "own_item_values": values[left],
        "recent_item_ids": recent[len(held_out) :],
        "taken_item_ids": taken[others],
        "taken_actions": np.asarray(listed(row.taken_actions))[others],
        "taken_hours": np.asarray(listed(row.taken_hours))[others],
    }
    return row._replace(**changed), held_out


def _less(catalogue: Catalogue, row: Any, items: NDArray[np.str_], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affinities without what the items were worth to each of their facets; none falls below 0."""
    worth: dict[str, float] = {}
    for tokens, value in zip(item_tokens_of(catalogue, items), values.tolist(), strict=True):
        for token in tokens:
            worth[token] = worth.get(token, 0.0) + value
    minus = [worth.get(token, 0.0) for token in listed(row.affinity_tokens)]
    return np.maximum(np.asarray(listed(row.affinity_values), dtype=np.float64) - minus, 0.0)
