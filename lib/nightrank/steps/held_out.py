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

# Of a flat row: ids of items, and the columns with one number or several for each.
OF_ITEMS = (
    ("own_item_ids", "own_item_values"),
    ("taken_item_ids", "taken_actions", "taken_hours"),
    ("cycle_item_ids", "cycle_item_numbers"),
    ("seen_item_ids", "seen_times"),
)


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
    When their categories are due, and at which price, is left: much the same for all rivals of a take.
    """
    recent = np.asarray(listed(row.recent_item_ids), dtype=np.str_)
    held_out = recent[: min(most, len(recent) // 2) if row.evidence > 0 else 0]
    if not len(held_out):
        return row, held_out
    changed: dict[str, NDArray[Any]] = {
        "affinity_values": _less(catalogue, row, held_out),
        "recent_item_ids": recent[len(held_out) :],
    }
    for names, *told in OF_ITEMS:
        ids = np.asarray(listed(getattr(row, names)), dtype=np.str_)
        left = ~np.isin(ids, held_out)
        changed[names] = ids[left]
        for numbers in told:
            each = np.asarray(listed(getattr(row, numbers)))
            changed[numbers] = each[np.repeat(left, len(each) // max(len(ids), 1))]
    return row._replace(**changed), held_out


def _less(catalogue: Catalogue, row: Any, held_out: NDArray[np.str_]) -> NDArray[np.float64]:
    """The affinities without what the items were worth to each of their facets; none falls below 0."""
    values = dict(zip(listed(row.own_item_ids), listed(row.own_item_values), strict=True))
    worth: dict[str, float] = {}
    for item, tokens in zip(held_out.tolist(), item_tokens_of(catalogue, held_out), strict=True):
        for token in tokens:
            worth[token] = worth.get(token, 0.0) + float(values.get(item, 0.0))
    minus = [worth.get(token, 0.0) for token in listed(row.affinity_tokens)]
    return np.maximum(np.asarray(listed(row.affinity_values), dtype=np.float64) - minus, 0.0)
