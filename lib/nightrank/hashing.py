"""What tells whether two tables hold the same rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame, GroupedData, Row
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nightrank.contract import Table


def content_hash(frame: DataFrame, table: Table) -> str:
    """A hash of the rows as a set, whatever their order and files; columns in `unhashed` do not count."""
    return content_hashes({table: frame})[table.name]


def content_hashes(frames: Mapping[Table, DataFrame]) -> dict[str, str]:
    """The content hash of each frame by its table's name, all in one Spark job."""
    sums = [_summed(frame.groupBy(), frame, table) for table, frame in frames.items()]
    return {row["table"]: _digest(row) for row in _collected(sums)}


def hashes_by_night(frames: Mapping[Table, DataFrame]) -> dict[tuple[str, date], str]:
    """The content hash of each night of each frame, by table name and night, all in one Spark job."""
    sums = [_summed(frame.groupBy("run_date"), frame, table) for table, frame in frames.items()]
    return {(row["table"], row["run_date"]): _digest(row) for row in _collected(sums)}


def _collected(sums: Sequence[DataFrame]) -> list[Row]:
    return reduce(DataFrame.unionAll, sums).collect() if sums else []


def _digest(row: Row) -> str:
    return hashlib.sha256(f"{row['table']}:{row['rows']}:{row['total']}".encode()).hexdigest()[:16]


def _summed(groups: GroupedData, frame: DataFrame, table: Table) -> DataFrame:
    """The row count and the sum of 64-bit row hashes, in decimal so that it cannot overflow."""
    hashed = [_hashable(frame, f.name) for f in table.schema.fields if f.name not in table.unhashed]
    total = F.sum(F.xxhash64(*hashed).cast(T.DecimalType(38, 0)))
    return groups.agg(F.count(F.lit(1)).alias("rows"), total.alias("total")).withColumn("table", F.lit(table.name))


def _hashable(frame: DataFrame, name: str) -> Column:
    """The column, a map as its entries in key order: Spark does not hash maps."""
    if isinstance(frame.schema[name].dataType, T.MapType):
        return F.array_sort(F.map_entries(name))
    return F.col(name)
