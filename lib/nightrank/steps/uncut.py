"""What the full ranker makes of a search that its row is judged on: the same gate and clip, and nothing cut.

The row says of an item the sum of its codes, facets and boosts; the full ranker g - beta, which is what that stands for
(models/row.py). What the row loses by it is the night's compile loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.artefact import Ranker
from nightrank.models.catalogue import Catalogue, positions
from nightrank.models.row import shopper_part
from nightrank.steps.arrays import collect_arrays
from nightrank.steps.rankers import Contender
from nightrank.steps.shoppers import group_shoppers, read_shopper
from nightrank.tables import ANONYMOUS

UNCUT_COLUMNS = ("centred", "beta")  # of compiling.COMPILED, beside the row itself


@dataclass(frozen=True)
class Uncut:
    """A contender's whole ranker, and the flat mean shopper (shoppers.COLUMNS) that speaks for strangers, if any."""

    role: str
    ranker: Ranker
    anyone: Any
    recent_decay: float


def uncut_ranker(judges: list[Contender], role: str, segments: DataFrame, config: Config) -> Uncut | None:
    """The ranker in that role; None where there is none that can be scored."""
    ranker = next((judge.ranker for judge in judges if judge.role == role), None)
    if ranker is None:
        return None
    mean = group_shoppers(segments).where(F.col("user_id") == ANONYMOUS).drop("as_of", "segment")
    found = collect_arrays(mean, 1, "mean shoppers")
    anyone = SimpleNamespace(**{name: column[0] for name, column in found.items()}) if len(found["user_id"]) else None
    return Uncut(role, ranker, anyone, config.training_examples.recent_decay)


def uncut_sums(uncut: Uncut, items: Catalogue, row: Any, item_ids: NDArray[np.str_]) -> NDArray[np.float64] | None:
    """g - beta of each item, before alpha and clip: float64 [items]; None where no row is served.

    row: the search, its shopper's flat profile (NULLs for a stranger), and the contender's row. As with rows, nothing
    is said of an item that the index does not hold.
    """
    centred = getattr(row, f"{uncut.role}_centred")
    told = uncut.anyone if pandas.isna(row.evidence) else row
    if centred is None or told is None:
        return None
    index = positions(items.item_ids, item_ids)
    shopper, known = read_shopper(items, told, uncut.recent_decay), np.flatnonzero(index >= 0)
    sums = np.zeros(len(item_ids))
    part = shopper_part(items, uncut.ranker, shopper, np.asarray(centred, np.float64), index[known])
    sums[known] = part - getattr(row, f"{uncut.role}_beta")
    return sums
