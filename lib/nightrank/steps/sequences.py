"""Shoppers' takes in order, as padded arrays: what towers learn from, and what an example says of its shopper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.sequences import TAKEN, Taken, padded
from nightrank.steps.arrays import Arrays, share_arrays
from nightrank.steps.consent import not_forgotten
from nightrank.steps.shoppers import read_taken, taken_columns

FOLD = "train"  # there is no other: towers learn for a fixed number of epochs
_SCHEMA = (
    "fold string, example_order bigint, query_id string, taken_index array<int>, taken_action array<int>, "
    "taken_gap array<int>"
)


def sequences(user_profiles: DataFrame, people: DataFrame, item_ids: NDArray[np.str_], config: Config) -> DataFrame:
    """One row a shopper with two takes or more in one snapshot, in the columns that petastorm_feed asks for.

    item_ids: the catalogue's, sorted: taken_index are positions in them. people: tonight's; of those who are forgotten
    nothing is learned. query_id is the shopper's id: it breaks ties of example_order.
    """
    catalogue = share_arrays(user_profiles, {"item_ids": item_ids})
    profiles = not_forgotten(user_profiles, people).where(F.size("recent") > 1)
    read = _padded_sequences(catalogue, config.ranker_runs.sequence.longest)
    return profiles.select("user_id", *taken_columns()).mapInPandas(read, schema=_SCHEMA).withColumn(
        "example_order", F.xxhash64("query_id")
    )  # fmt: skip


def longest_read(config: Config) -> int:
    """How many takes of a shopper towers read; 0 where nothing learns from them."""
    return config.ranker_runs.sequence.longest if config.ranker_runs.tower == "sequence" else 0


def taken_arrays(taken: Taken, longest: int) -> dict[str, NDArray[np.int32]]:
    """taken_index, taken_action, taken_gap of one shopper, each [longest]: -1, 0 and 0 where there is no take."""
    items, actions, gaps = (part[0].astype(np.int32) for part in padded([taken], longest))
    return {"taken_index": items, "taken_action": actions, "taken_gap": gaps}


def _padded_sequences(
    catalogue: Callable[[], Arrays], longest: int
) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    def padded_sequences(batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        item_ids = np.asarray(catalogue()["item_ids"], np.str_)
        for batch in batches:
            told = ((str(row.user_id), read_taken(item_ids, row)) for row in batch.itertuples(index=False))
            rows = [_sequence(user_id, taken, longest) for user_id, taken in told if len(taken.items) > 1]
            yield pandas.DataFrame(rows, columns=["fold", "example_order", "query_id", *TAKEN])

    return padded_sequences


def _sequence(user_id: str, taken: Taken, longest: int) -> dict[str, Any]:
    return {"fold": FOLD, "example_order": 0, "query_id": user_id, **taken_arrays(taken, longest)}
