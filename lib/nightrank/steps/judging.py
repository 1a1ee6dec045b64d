"""Searches beside the rows that judge them: what gates are fitted on and evaluations made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.models.catalogue import Catalogue, positions
from nightrank.models.features import tokens_of
from nightrank.models.scorer import row_sums
from nightrank.steps.slates import SLATE_COLUMNS, is_drawn
from nightrank.tables import ANONYMOUS

BY_CLASS = ("alpha", "bound", "expected_gain")
ROW_COLUMNS = ("facet_weights", "item_boosts", "evidence", "agreement", *BY_CLASS)


def slates_after(slates: DataFrame, cut: datetime, share: float) -> DataFrame:
    """The slates shown after the rows that judge them were made (later than the night's cut), or a share of them."""
    return slates.where((F.col("ts") >= F.lit(cut)) & is_drawn(share))


def organic(slates: DataFrame) -> DataFrame:
    """The slates without their sponsored slots, where something organic was taken."""
    shown = F.filter(F.arrays_zip(*SLATE_COLUMNS), lambda item: ~item["slate_sponsored"])
    kept = slates.withColumn("organic", shown)
    columns = {name: F.col("organic")[name] for name in SLATE_COLUMNS}
    return kept.withColumns(columns).drop("organic").where(F.exists("slate_gains", lambda gain: gain > 0))


def with_row(
    slates: DataFrame, rows: DataFrame, groups: DataFrame, role: str, columns: Sequence[str] = ROW_COLUMNS
) -> DataFrame:
    """The slates with the row that their shopper is served, in columns `<role>_facet_weights` and so on.

    rows, groups: user_id and the columns, ROW_COLUMNS at least; expected_gain NULL where it was not kept. A shopper
    without a row gets the row `anonymous` of the groups; without that, NULLs. BY_CLASS are those of the search's class.
    """
    fallback = groups.where(F.col("user_id") == ANONYMOUS).select(*[F.col(c).alias(f"any_{c}") for c in columns])
    own = rows.where(F.col("user_id") != ANONYMOUS).select("user_id", *columns, F.lit(True).alias("has_row"))
    joined = slates.join(own, on="user_id", how="left").join(F.broadcast(fallback), on=F.lit(True), how="left")
    served = {c: F.when(F.col("has_row"), F.col(c)).otherwise(F.col(f"any_{c}")) for c in columns}
    of_class = {column: served[column][F.col("query_class")] for column in BY_CLASS}
    served |= of_class | {column: F.coalesce(of_class[column], F.lit(0.0)) for column in ("alpha", "bound")}
    named = [value.alias(f"{role}_{column}") for column, value in served.items()]
    return joined.select(*slates.columns, *named)


def served_sums(items: Catalogue, row: Any, role: str, item_ids: NDArray[np.str_]) -> NDArray[np.float64] | None:
    """What the row that the role serves says of each item, before alpha and clip: float64 [items]; None: no row."""
    facets, boosts = getattr(row, f"{role}_facet_weights"), getattr(row, f"{role}_item_boosts")
    if facets is None:
        return None
    return row_sums(item_ids.tolist(), item_tokens_of(items, item_ids), _mapping(facets), _mapping(boosts))


def item_tokens_of(items: Catalogue, item_ids: NDArray[np.str_]) -> list[list[str]]:
    """The index tokens of each item; none for one that the index does not hold."""
    owner, tokens = tokens_of(items, positions(items.item_ids, item_ids))
    found: list[list[str]] = [[] for _ in item_ids]
    for row, token in zip(owner, tokens, strict=True):
        found[row].append(str(items.vocabulary[token]))
    return found


def _mapping(entries: Any) -> Mapping[str, float]:
    """A map column as pandas gives it: a dict, or pairs."""
    return entries if isinstance(entries, dict) else dict(entries)
