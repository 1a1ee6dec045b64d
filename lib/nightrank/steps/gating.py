"""Rows with their gates: alpha and bound by query class, from how much is known of the shopper."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.steps.arrays import Arrays, collect_arrays
from nightrank.tables import CLASSES

MOST_GATES = 10_000


def gated_rows(rows: DataFrame, gates: DataFrame, ranker_id: str, open_gates: bool = True) -> DataFrame:
    """`rows` with the maps alpha and bound (class -> value) of the gate with the largest min_evidence reached.

    A class without a gate, or all of them where open_gates is False, has alpha 0 and bound 0.
    """
    wanted = gates.where(F.col("ranker_id") == ranker_id).select("min_evidence", "query_class", "alpha", "bound")
    found = collect_arrays(wanted, MOST_GATES, "gates", order=["min_evidence", "query_class"])
    scale = 1.0 if open_gates else 0.0
    return rows.withColumn("alpha", _by_class(found, "alpha", scale)).withColumn(
        "bound", _by_class(found, "bound", scale)
    )


def without_gates(rows: DataFrame) -> DataFrame:
    """`rows` with alpha and bound 0 for every class."""
    closed = _literal_map(dict.fromkeys(CLASSES, 0.0))
    return rows.withColumn("alpha", closed).withColumn("bound", closed)


def _by_class(gates: Arrays, column: str, scale: float) -> Column:
    chosen = _literal_map(dict.fromkeys(CLASSES, 0.0))
    for minimum in sorted(set(gates["min_evidence"].tolist())):
        at = gates["min_evidence"] == minimum
        values = dict(zip(gates["query_class"][at].tolist(), gates[column][at].tolist(), strict=True))
        of_bucket = _literal_map({name: scale * values.get(name, 0.0) for name in CLASSES})
        chosen = F.when(F.col("evidence") >= int(minimum), of_bucket).otherwise(chosen)
    return chosen


def _literal_map(values: dict[str, float]) -> Column:
    return F.create_map(*[F.lit(part) for name, value in values.items() for part in (name, float(value))])
