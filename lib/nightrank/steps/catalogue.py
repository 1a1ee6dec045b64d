"""The catalogue of a night, from tables to arrays that every worker maps into memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.catalogue import Catalogue, from_arrays, make_catalogue
from nightrank.steps.arrays import collect_arrays, share_arrays

Loader = Callable[[], Catalogue]


def share_catalogue(items: DataFrame, item_neighbours: DataFrame, config: Config) -> Loader:
    """A loader that gives each worker the catalogue of `items` (item_id, tokens, vector), mapped into memory.

    item_neighbours: one snapshot; its diagonal is the popularity. Of an index (item_tokens) with the items' priors.
    Raises ContractError for more items than ranker_runs.max_items.
    """
    arrays = share_arrays(items, collect_catalogue(items, item_neighbours, config).arrays())
    return lambda: from_arrays(arrays())


def collect_catalogue(items: DataFrame, item_neighbours: DataFrame, config: Config) -> Catalogue:
    """The catalogue on the driver."""
    found = collect_arrays(
        _with_neighbours(items, item_neighbours, config.item_neighbours.neighbours),
        config.ranker_runs.max_items,
        "items of the catalogue",
        "ranker_runs.max_items",
        ["item_id"],
    )
    return make_catalogue(
        item_ids=found["item_id"].astype(np.str_),
        tokens=list(found["tokens"]),
        neighbours=list(found["neighbours"]),
        neighbour_weights=list(found["weights"]),
        popularity=found["popularity"].astype(np.float64),
        vectors=np.stack(list(found["vector"])) if len(found["vector"]) else np.zeros((0, 1), dtype=np.float32),
        popular_per_token=config.rerank_weights.popular_per_facet,
        priors=found["prior"].astype(np.float64),
    )


def _with_neighbours(items: DataFrame, item_neighbours: DataFrame, most: int) -> DataFrame:
    """item_id, tokens, vector, prior, popularity, and the heaviest neighbours with their weights, in rank order."""
    near = F.when(F.col("rank") > 0, F.struct("rank", "neighbour_id", "weight"))
    listed = (
        item_neighbours.where(F.col("rank").between(0, most))
        .groupBy("item_id")
        .agg(
            F.max(F.when(F.col("rank") == 0, F.col("weight"))).alias("popularity"),
            F.array_sort(F.collect_list(near)).alias("near"),
        )
    )
    nothing = F.array()
    return items.join(listed, on="item_id", how="left").select(
        "item_id",
        "tokens",
        "vector",
        F.col("prior") if "prior" in items.columns else F.lit(0.0).alias("prior"),
        F.coalesce("popularity", F.lit(0.0)).alias("popularity"),
        F.coalesce(F.col("near.neighbour_id"), nothing.cast("array<string>")).alias("neighbours"),
        F.coalesce(F.col("near.weight"), nothing.cast("array<double>")).alias("weights"),
    )
