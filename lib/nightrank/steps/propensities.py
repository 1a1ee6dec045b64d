"""propensities: how likely each position is looked at, a device each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.propensity import Cells, Floats, estimate_curve, informative
from nightrank.nights import Night
from nightrank.sections import PropensitiesConfig
from nightrank.steps.arrays import collect_arrays
from nightrank.tables import PROPENSITIES

ALL, UNKNOWN = "all", "unknown"
MOST_DEVICES = 1_000
CELL = ("pair", "position", "device")


def build_propensities(searches: DataFrame, night: Night, config: Config) -> DataFrame:  # noqa: ARG001  # the contract of builders
    """Positions 1..longest of each device seen, of `unknown` (no device logged) and of `all` (every device pooled).

    method: `harvested` from rank changes of the shop's own order; `pooled`: the curve of `all`, for a device with
    fewer than min_pairs pairs that changed rank; `fallback`: 1 / position ** fallback_exponent, where `all` has too
    few as well. clicks, pairs: of the device's rank-changing pairs at the position. Derived searches say nothing.
    """
    section = config.propensities
    named = searches.withColumn("device", F.coalesce("device", F.lit(UNKNOWN)))
    devices = collect_arrays(named.select("device").distinct(), MOST_DEVICES, "the names of devices", order=["device"])
    cells = collect_arrays(_cells(named, section), section.max_cells, "rank changes", "propensities.max_cells", CELL)
    rows = list(_rows(sorted({*devices["device"].tolist(), UNKNOWN} - {ALL}), cells, section))
    return searches.sparkSession.createDataFrame(rows, PROPENSITIES.columns)


def _cells(searches: DataFrame, section: PropensitiesConfig) -> DataFrame:
    """Showings and clicks of each pair that changed rank, by position and device: keyed by CELL.

    A pair is known by the hash of its query and item; where there are too many, those with the lowest are kept.
    """
    counted = _shown(searches).where(F.col("position").between(1, section.longest)).groupBy(*CELL).agg(
        F.count(F.lit(1)).alias("impressions"), F.count(F.when(F.col("clicked"), 1)).alias("clicks")
    )  # fmt: skip
    grouped = counted.groupBy("pair").agg(
        F.collect_list(F.struct("position", "device", "impressions", "clicks")).alias("cells"),
        (F.min("position") < F.max("position")).alias("moved"),
        F.sum("clicks").alias("all_clicks"),
    )
    telling = grouped.where(F.col("moved") & (F.col("all_clicks") > 0)).orderBy("pair").limit(section.max_pairs)
    return telling.select("pair", F.inline("cells"))


def _shown(searches: DataFrame) -> DataFrame:
    """Each organic slot of each search in the shop's own order: pair, position, device, clicked."""
    own = searches.where(F.col("policy_id").isNull() & ~F.coalesce("derived", F.lit(False)))
    slots = own.select("device", "normalised_query", F.inline("slate"))
    organic = slots.where(~F.coalesce("sponsored", F.lit(False)))
    clicked: Column = F.coalesce("gain", F.lit(0.0)) > 0
    return organic.select(
        F.xxhash64("normalised_query", "item_id").alias("pair"), "position", "device", clicked.alias("clicked")
    )


def _rows(
    devices: list[str], arrays: dict[str, NDArray[Any]], section: PropensitiesConfig
) -> Iterator[tuple[str, int, float, int, int, str]]:
    cells = Cells(*[arrays[name] for name in ("pair", "position", "impressions", "clicks")])
    pooled = informative(cells.pooled())
    curve, method = _curve(pooled, section)
    yield from _of_device(ALL, curve, method, pooled)
    for device in devices:
        own = informative(cells.where(arrays["device"] == device))
        own_curve, own_method = _curve(own, section)
        if own_method == "fallback":
            own_curve, own_method = curve, "pooled" if method == "harvested" else method
        yield from _of_device(device, own_curve, own_method, own)


def _curve(cells: Cells, section: PropensitiesConfig) -> tuple[Floats, str]:
    enough = len(np.unique(cells.pair)) >= max(section.min_pairs, 1)
    used = cells if enough else cells.where(np.zeros(len(cells.pair), dtype=bool))
    least, prior = section.min_clicks_per_position, section.prior_clicks
    curve = estimate_curve(used, section.longest, least, section.fallback_exponent, prior)
    return curve, "harvested" if enough else "fallback"


def _of_device(
    device: str, curve: Floats, method: str, cells: Cells
) -> Iterator[tuple[str, int, float, int, int, str]]:
    clicks = np.bincount(cells.position, weights=cells.clicks, minlength=len(curve) + 1)
    pairs = np.bincount(cells.position, minlength=len(curve) + 1)
    for position, propensity in enumerate(curve.tolist(), start=1):
        yield device, position, propensity, int(clicks[position]), int(pairs[position]), method
