"""What a table's contract is; the contracts themselves are in tables.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pyspark.sql import DataFrame
from pyspark.sql import types as T

from nightrank.errors import ContractError


class Holds(Enum):
    """What the rows of one night are."""

    CHANGE = "what arrived or was made in that night"
    SNAPSHOT = "everything, as of that night"


@dataclass(frozen=True)
class Table:
    """One table's contract.

    key: columns that identify a row within a night (for tables with `accepted`, among accepted rows).
    partitions: columns after run_date that the files are laid out by.
    keep_nights: how many nights are kept; None: all.
    may_be_empty: whether a night without rows is a night.
    unhashed: columns that a rerun may change (run ids, addresses), left out of the content hash.
    """

    name: str
    says: str
    columns: T.StructType
    key: tuple[str, ...]
    holds: Holds
    partitions: tuple[str, ...] = ()
    keep_nights: int | None = None
    may_be_empty: bool = False
    unhashed: tuple[str, ...] = ()

    @property
    def schema(self) -> T.StructType:
        """The columns as they are stored: run_date first."""
        return T.StructType([T.StructField("run_date", T.DateType(), False), *self.columns.fields])

    def conform(self, frame: DataFrame, with_run_date: bool = False) -> DataFrame:
        """`frame` with exactly the contract's columns, in order; no Spark action.

        Raises ContractError naming each column that is missing or has another type. Nullability is not compared:
        Spark loses it in every outer join.
        """
        wanted = self.schema if with_run_date else self.columns
        found = {f.name: f.dataType for f in frame.schema.fields}
        wrong = [
            f"{f.name}: expected {f.dataType.simpleString()}, found {_found(found.get(f.name))}"
            for f in wanted.fields
            if f.name not in found or not _same(f.dataType, found[f.name])
        ]
        if wrong:
            raise ContractError(
                f"Table '{self.name}' cannot be used: {'; '.join(wrong)}. "
                f"Fix steps/{self.name}.py, or the schema in tables.py."
            )
        return frame.select(*[f.name for f in wanted.fields])


def _found(kind: T.DataType | None) -> str:
    return "no such column" if kind is None else kind.simpleString()


def _same(one: T.DataType, other: T.DataType) -> bool:
    return one.simpleString() == other.simpleString()


STRING, TIME, DATE, FLAG = T.StringType(), T.TimestampType(), T.DateType(), T.BooleanType()
DOUBLE, FLOAT, LONG, INT, BYTE = T.DoubleType(), T.FloatType(), T.LongType(), T.IntegerType(), T.ByteType()
STRINGS, FLOATS, INTS, BYTES = (T.ArrayType(kind) for kind in (STRING, FLOAT, INT, BYTE))
WEIGHTS, TAGS = T.MapType(STRING, DOUBLE), T.MapType(STRING, STRING)


def columns(**kinds: T.DataType) -> T.StructType:
    """A schema from `name=kind` pairs, in order."""
    return T.StructType([T.StructField(name, kind) for name, kind in kinds.items()])


def rows(**kinds: T.DataType) -> T.ArrayType:
    """A column that holds an array of structs."""
    return T.ArrayType(columns(**kinds))
