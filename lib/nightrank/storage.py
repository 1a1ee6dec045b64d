"""Delta tables: the only file that knows them. Read nights of a table, replace a night, hash what stands there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nightrank.contract import Table
from nightrank.errors import ContractError, TryAgainError

# One application to Delta: of two commits under this name the one with the lower number is not made.
FENCED = "nightrank"
# Commits that one lease may make to one table before its numbers would meet the next lease's.
COMMITS_A_LEASE = 1_000_000_000


@dataclass(frozen=True)
class Commit:
    """One night of a table being replaced: the table's version by it, the nights it replaced, and the writer's note."""

    version: int
    first: date
    last: date
    note: Mapping[str, Any] = field(default_factory=dict)


def table_path(lake: str, table: Table) -> str:
    """Where the table's files lie. Local paths are made absolute: Delta takes a relative one for a catalog name."""
    root = lake if "://" in lake else os.path.abspath(lake)
    return f"{root.rstrip('/')}/{table.name}"


def stands(spark: SparkSession, lake: str, table: Table) -> bool:
    """Whether the table has been made."""
    return bool(DeltaTable.isDeltaTable(spark, table_path(lake, table)))


def read_table(
    spark: SparkSession, lake: str, table: Table, first: date, last: date, accepted_only: bool = True
) -> DataFrame:
    """The nights first..last of a table, by its contract, run_date first; no rows where the table is not made yet.

    Of a table with quarantine only accepted rows are read, unless accepted_only is False.
    Raises ContractError where the stored columns are not the contract's.
    """
    if first > last or not stands(spark, lake, table):
        return spark.createDataFrame([], table.schema)
    frame = spark.read.format("delta").load(table_path(lake, table))
    frame = frame.where(F.col("run_date").between(F.lit(first), F.lit(last)))
    if accepted_only and "accepted" in table.partitions:
        frame = frame.where("accepted")
    return table.conform(frame, with_run_date=True)


def replace_night(
    frame: DataFrame, lake: str, table: Table, first: date, last: date, note: Mapping[str, Any] | None = None,
    fencing: int | None = None,
) -> int:  # fmt: skip
    """How many rows the nights first..last of the table hold after being replaced by `frame`, in one commit.

    A frame without run_date belongs to the night `last`. Where the table may not be empty and no row (no accepted row)
    came, the commit is rolled back, so that what stood before stands, and ContractError is raised. note: kept in the
    commit, see commits_of. fencing: the lease's number; TryAgainError where a later lease has written to the table.
    """
    spark, path = frame.sparkSession, table_path(lake, table)
    if "run_date" not in frame.columns:
        frame = frame.withColumn("run_date", F.lit(last))
    _create(spark, path, table)
    before, _ = _last_commit(spark, path)
    said = json.dumps({"first": str(first), "last": str(last), "note": note or {}, "fencing": fencing}, sort_keys=True)
    writer = table.conform(frame, with_run_date=True).write.format("delta").mode("overwrite")
    _fenced(writer, fencing, before).option("userMetadata", said).option(
        "replaceWhere", f"run_date >= '{first}' AND run_date <= '{last}'"
    ).save(path)
    after, rows = _last_commit(spark, path)
    if after == before:
        _refuse_if_fenced_off(spark, path, table, fencing)
        rows = 0  # replacing nothing by nothing makes no commit: the last one's rows are not tonight's
    if not table.may_be_empty and not (rows and _any_accepted(spark, lake, table, first, last)):
        DeltaTable.forPath(spark, path).restoreToVersion(before)
        raise ContractError(
            f"Night {last} of table '{table.name}' is refused: expected accepted rows, found none of {rows}. "
            f"What stood before stands. See the reasons with `nightrank tables`, and the paths in section 'source'."
        )
    return rows


def commits_of(spark: SparkSession, lake: str, table: Table, most: int = 500) -> tuple[Commit, ...]:
    """The table's commits that replaced nights, newest first; what was undone by a restore is left out."""
    if not stands(spark, lake, table):
        return ()
    history = DeltaTable.forPath(spark, table_path(lake, table)).history(most)
    found: list[Commit] = []
    undone_after = None
    for row in history.select("version", "operation", "operationParameters", "userMetadata").collect():
        if undone_after is None or row.version <= undone_after:
            undone_after = None
            if row.operation == "RESTORE":
                undone_after = int(row.operationParameters["version"])
            elif row.userMetadata:
                said = json.loads(row.userMetadata)
                first, last = (date.fromisoformat(said[name]) for name in ("first", "last"))
                found.append(Commit(int(row.version), first, last, {**said["note"], "fencing": said["fencing"]}))
    return tuple(found)


def read_single(spark: SparkSession, lake: str, table: Table) -> dict[str, Any] | None:
    """The one row of a table that holds one; None: it is not made yet."""
    if not stands(spark, lake, table):
        return None
    row = spark.read.format("delta").load(table_path(lake, table)).select(*table.columns.names).first()
    return row.asDict() if row else None


def swap_single(frame: DataFrame, lake: str, table: Table, turn: int) -> None:
    """Makes the frame's one row the table's, unless somebody has done so for this turn or a later one.

    The caller reads the row again to see whose it is. turn: from 1, one more each time.
    """
    from delta.exceptions import DeltaConcurrentModificationException

    writer = table.conform(frame).write.format("delta").mode("overwrite")
    try:
        writer.option("txnAppId", FENCED).option("txnVersion", str(turn)).save(table_path(lake, table))
    except DeltaConcurrentModificationException:
        return


def nights_of(spark: SparkSession, lake: str, table: Table) -> tuple[date, ...]:
    """The nights that the table holds, in order."""
    if not stands(spark, lake, table):
        return ()
    held = spark.read.format("delta").load(table_path(lake, table)).select("run_date").distinct().collect()
    return tuple(sorted(row.run_date for row in held))


def version_of(spark: SparkSession, lake: str, table: Table) -> int | None:
    """The table's Delta version; None: it is not made yet."""
    return _last_commit(spark, table_path(lake, table))[0] if stands(spark, lake, table) else None


def content_hash(frame: DataFrame, table: Table) -> str:
    """A hash of the rows as a set, whatever their order and files; columns in `unhashed` do not count.

    The sum of 64-bit row hashes, in decimal so that it cannot overflow, and the row count, through SHA-256.
    """
    hashed = [_hashable(frame, f.name) for f in table.schema.fields if f.name not in table.unhashed]
    total = F.sum(F.xxhash64(*hashed).cast(T.DecimalType(38, 0)))
    row = frame.agg(F.count(F.lit(1)).alias("rows"), total.alias("total")).first()
    return hashlib.sha256(f"{table.name}:{row['rows']}:{row['total']}".encode()).hexdigest()[:16] if row else ""


def _hashable(frame: DataFrame, name: str) -> F.Column:  # type: ignore[name-defined]  # Column is re-exported untyped
    """The column, a map as its entries in key order: Spark does not hash maps."""
    if isinstance(frame.schema[name].dataType, T.MapType):
        return F.array_sort(F.map_entries(name))
    return F.col(name)


def _create(spark: SparkSession, path: str, table: Table) -> None:
    if DeltaTable.isDeltaTable(spark, path):
        return
    builder = DeltaTable.createIfNotExists(spark).location(path).addColumns(table.schema)
    builder.partitionedBy("run_date", *table.partitions).execute()


def _fenced(writer: Any, fencing: int | None, version: int) -> Any:
    if fencing is None:
        return writer
    return writer.option("txnAppId", FENCED).option("txnVersion", str(fencing * COMMITS_A_LEASE + version + 1))


def _refuse_if_fenced_off(spark: SparkSession, path: str, table: Table, fencing: int | None) -> None:
    """Raises TryAgainError where a later lease has written to the table: Delta has dropped the commit for that."""
    said = DeltaTable.forPath(spark, path).history().where("userMetadata IS NOT NULL").select("userMetadata").first()
    latest = json.loads(said["userMetadata"])["fencing"] if said else None
    if fencing is not None and latest is not None and latest > fencing:
        raise TryAgainError(
            f"Table '{table.name}' is not written: this run's lease {fencing} has passed to lease {latest}, whose "
            "night stands. Nothing is to be done."
        )


def _last_commit(spark: SparkSession, path: str) -> tuple[int, int]:
    """The version of the table's last commit, and how many rows it wrote by its own account."""
    commit = DeltaTable.forPath(spark, path).history(1).select("version", "operationMetrics").collect()[0]
    return int(commit.version), int(commit.operationMetrics.get("numOutputRows", 0))


def _any_accepted(spark: SparkSession, lake: str, table: Table, first: date, last: date) -> bool:
    if "accepted" not in table.partitions:
        return True
    return not read_table(spark, lake, table, first, last).isEmpty()
