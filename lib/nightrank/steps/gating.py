"""Rows with their gates: alpha and bound by query class, from how much is known of the shopper, and how well."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.models.gate_cells import UNKNOWN
from nightrank.steps.arrays import Arrays, collect_arrays
from nightrank.tables import CLASSES

MOST_GATES = 10_000
GATED = ("alpha", "bound", "expected_gain")


def gated_rows(rows: DataFrame, gates: DataFrame, ranker_id: str, open_gates: bool = True) -> DataFrame:
    """`rows` with the maps alpha, bound and expected_gain (class -> value) of their gates.

    A row's gate has the largest min_evidence that its evidence reaches and, of these, the largest min_agreement that
    its agreement reaches. A class without a gate, or all of them where open_gates is False, has alpha 0 and bound 0. A
    closed gate has no expected gain.
    """
    keys = ["min_evidence", "min_agreement", "query_class"]
    wanted = gates.where(F.col("ranker_id") == ranker_id).select(*keys, "alpha", "bound", "gain")
    found = collect_arrays(wanted, MOST_GATES, "gates", order=keys)
    scale = 1.0 if open_gates else 0.0
    found["expected_gain"] = np.where(found["alpha"] > 0, found["gain"], 0.0)
    return rows.withColumns({column: _by_class(found, column, scale) for column in GATED})


def without_gates(rows: DataFrame) -> DataFrame:
    """`rows` with alpha, bound and expected_gain 0 for every class."""
    return rows.withColumns(dict.fromkeys(GATED, _literal_map(dict.fromkeys(CLASSES, 0.0))))


def _by_class(gates: Arrays, column: str, scale: float) -> Column:
    by_class = [(F.lit(name), _of_class(gates, gates["query_class"] == name, column, scale)) for name in CLASSES]
    return F.create_map(*[part for pair in by_class for part in pair])


def _of_class(gates: Arrays, chosen: NDArray[np.bool_], column: str, scale: float) -> Column:
    """The value of the last cell that the row reaches: they come by evidence, and within that by agreement."""
    agreement, value = F.coalesce("agreement", F.lit(UNKNOWN)), F.lit(0.0)
    cells = (gates[name][chosen].tolist() for name in ("min_evidence", "min_agreement", column))
    for evidence, least, of_cell in zip(*cells, strict=True):
        reached = (F.col("evidence") >= int(evidence)) & (agreement >= float(least))
        value = F.when(reached, F.lit(scale * of_cell)).otherwise(value)
    return value


def _literal_map(values: dict[str, float]) -> Column:
    return F.create_map(*[F.lit(part) for name, value in values.items() for part in (name, float(value))])
