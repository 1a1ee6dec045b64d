"""Searches judged with rows: what gates are fitted on and evaluations made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.models.catalogue import Catalogue, positions
from nightrank.models.features import tokens_of
from nightrank.models.scorer import row_sums
from nightrank.steps.catalogue import Loader
from nightrank.steps.slates import SLATE_COLUMNS
from nightrank.tables import ANONYMOUS

ROW_COLUMNS = ("facet_weights", "item_boosts", "evidence", "alpha", "bound")
SCORED = (
    "query_id string, user_id string, query_class string, derived boolean, evidence bigint, "
    "alpha double, bound double, "
    "slate_item_ids array<string>, slate_base array<double>, slate_gains array<double>, "
    "slate_logged_gains array<double>, slate_positions array<int>, slate_sums array<double>"
)


def slates_after(slates: DataFrame, cut: Any) -> DataFrame:
    """The slates that were shown after the rows that judge them were made: later than the night's cut."""
    return slates.where(F.col("ts") >= F.lit(cut))


def organic(slates: DataFrame) -> DataFrame:
    """The slates without their sponsored slots, where something organic was taken."""
    shown = F.filter(F.arrays_zip(*SLATE_COLUMNS), lambda item: ~item["slate_sponsored"])
    kept = slates.withColumn("organic", shown)
    columns = {name: F.col("organic")[name] for name in SLATE_COLUMNS}
    return kept.withColumns(columns).drop("organic").where(F.exists("slate_gains", lambda gain: gain > 0))


def sponsored(slates: DataFrame) -> DataFrame:
    """The slates whose sponsored slots were taken, with the gains of those slots alone."""
    only = {name: _of_sponsored(name) for name in ("slate_gains", "slate_logged_gains")}
    return slates.withColumns(only).where(F.exists("slate_gains", lambda gain: gain > 0))


def _of_sponsored(gains: str) -> Column:
    slots = F.arrays_zip(gains, "slate_sponsored")
    return F.transform(slots, lambda slot: F.when(slot["slate_sponsored"], slot[gains]).otherwise(F.lit(0.0)))


def scored_slates(slates: DataFrame, rows: DataFrame, groups: DataFrame, catalogue: Loader) -> DataFrame:
    """Each slate with what its shopper's row says of each item (slate_sums), before alpha and clip.

    rows, groups: user_id and ROW_COLUMNS. A shopper without a row gets the row `anonymous` of the groups; without
    that, the slate is left out. alpha and bound are those of the search's class.
    """
    anonymous = groups.where(F.col("user_id") == ANONYMOUS).select(*[F.col(c).alias(f"any_{c}") for c in ROW_COLUMNS])
    own = rows.where(F.col("user_id") != ANONYMOUS).select("user_id", *ROW_COLUMNS, F.lit(True).alias("has_row"))
    joined = slates.join(own, on="user_id", how="left").join(F.broadcast(anonymous), how="cross")
    chosen = {c: F.when(F.col("has_row"), F.col(c)).otherwise(F.col(f"any_{c}")) for c in ROW_COLUMNS}
    with_row = joined.withColumns(chosen)
    of_class = {c: F.coalesce(F.col(c)[F.col("query_class")], F.lit(0.0)) for c in ("alpha", "bound")}
    needed = ["query_id", "user_id", "query_class", "derived", "evidence", "alpha", "bound", *SLATE_COLUMNS[:5]]
    return (
        with_row.withColumns(of_class)
        .select(*needed, "facet_weights", "item_boosts")
        .mapInPandas(_with_sums(catalogue), schema=SCORED)
    )


def item_tokens_of(items: Catalogue, item_ids: Any) -> list[list[str]]:
    """The index tokens of each item; none for one that the index does not hold."""
    owner, tokens = tokens_of(items, positions(items.item_ids, np.asarray(item_ids, dtype=np.str_)))
    found: list[list[str]] = [[] for _ in item_ids]
    for row, token in zip(owner, tokens, strict=True):
        found[row].append(str(items.vocabulary[token]))
    return found


def _with_sums(catalogue: Loader) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    def with_sums(batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        items = catalogue()
        for batch in batches:
            sums = [_sums(items, row) for row in batch.itertuples(index=False)]
            yield batch.drop(columns=["facet_weights", "item_boosts"]).assign(slate_sums=sums)

    return with_sums


def _sums(items: Catalogue, row: Any) -> Any:
    tokens = item_tokens_of(items, row.slate_item_ids)
    return row_sums(row.slate_item_ids, tokens, _mapping(row.facet_weights), _mapping(row.item_boosts))


def _mapping(entries: Any) -> Mapping[str, float]:
    """A map column as pandas gives it: a dict, or pairs."""
    return entries if isinstance(entries, dict) else dict(entries)
