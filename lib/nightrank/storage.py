"""Delta tables: the only file that knows them. Read nights of a table, replace a night, throw old ones away."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F

from nightrank.contract import Table
from nightrank.errors import ConfigError, ContractError, TryAgainError
from nightrank.sections import LakeConfig

# One application to Delta: of two commits under this name the one with the lower number is not made.
FENCED = "nightrank"
# More commits than one lease ever makes to one table: then its numbers would meet the next lease's.
COMMITS_A_LEASE = 1_000_000_000


@dataclass(frozen=True)
class Commit:
    """Nights of a table being replaced: the table's version by it, the nights, its rows, and the writer's note."""

    version: int
    first: date
    last: date
    rows: int
    note: Mapping[str, Any] = field(default_factory=dict)


def address(lake: LakeConfig, table: Table) -> str:
    """What the table is called: its name in the catalog's schema, or the path where its files lie."""
    if lake.schema_name:
        return f"{lake.schema_name}.{table.name}"
    # A relative path would be a catalog name to Delta.
    root = lake.path if "://" in lake.path else os.path.abspath(lake.path)
    return f"{root.rstrip('/')}/{table.name}"


def stands(spark: SparkSession, lake: LakeConfig, table: Table) -> bool:
    """Whether the table has been made."""
    if lake.schema_name:
        return bool(spark.catalog.tableExists(address(lake, table)))
    return bool(DeltaTable.isDeltaTable(spark, address(lake, table)))


def read_table(
    spark: SparkSession, lake: LakeConfig, table: Table, first: date, last: date, accepted_only: bool = True
) -> DataFrame:
    """The nights first..last of a table, by its contract, run_date first; no rows where the table is not made yet.

    Of a table with quarantine only accepted rows are read, unless accepted_only is False.
    Raises ContractError where the stored columns are not the contract's.
    """
    if first > last or not stands(spark, lake, table):
        return spark.createDataFrame([], table.schema).limit(0)  # told so, Spark leaves its joins out of the plan
    frame = _load(spark, lake, table).where(F.col("run_date").between(F.lit(first), F.lit(last)))
    if accepted_only and "accepted" in table.partitions:
        frame = frame.where("accepted")
    return table.conform(frame, with_run_date=True)


def replace_night(
    frame: DataFrame, lake: LakeConfig, table: Table, first: date, last: date, note: Mapping[str, Any] | None = None,
    fencing: int | None = None, judge: Callable[[], None] | None = None,
) -> int:  # fmt: skip
    """How many rows the nights first..last of the table hold after being replaced by `frame`, in one commit.

    A frame without run_date belongs to the night `last`. Where the table may not be empty and no row (no accepted row)
    came, or where `judge` raises it, the commit is rolled back, so that what stood before stands, and ContractError is
    raised. judge: called when the rows can be read. note: kept in the commit, see commits_of. fencing: the lease's
    number; TryAgainError where a later lease has written to the table.
    """
    spark = frame.sparkSession
    if "run_date" not in frame.columns:
        frame = frame.withColumn("run_date", F.lit(last))
    _create(spark, lake, table)
    before = _last_commit(spark, lake, table).version
    said = json.dumps({"first": str(first), "last": str(last), "note": note or {}, "fencing": fencing}, sort_keys=True)
    writer = table.conform(frame, with_run_date=True).write.format("delta").mode("overwrite")
    writer = _fenced(writer, fencing, before).option("userMetadata", said)
    _save(writer.option("replaceWhere", f"run_date >= '{first}' AND run_date <= '{last}'"), lake, table)
    found = _last_commit(spark, lake, table)
    _refuse_if_fenced_off(table, fencing, found.fencing)
    # Replacing nothing by nothing makes no commit: the last one's rows are not tonight's.
    rows = found.rows if found.version > before else 0
    try:
        _refuse_empty(spark, lake, table, first, last, rows)
        if judge:
            judge()
    except ContractError:
        _delta_table(spark, lake, table).restoreToVersion(before)
        raise
    return rows


def commits_of(spark: SparkSession, lake: LakeConfig, table: Table, most: int = 500) -> tuple[Commit, ...]:
    """The table's commits that replaced nights, newest first; what was undone by a restore is left out."""
    if not stands(spark, lake, table):
        return ()
    told = ("version", "operation", "operationParameters", "operationMetrics", "userMetadata")
    found: list[Commit] = []
    undone_after = None
    for row in _delta_table(spark, lake, table).history(most).select(*told).collect():
        if undone_after is None or row.version <= undone_after:
            undone_after = None
            if row.operation == "RESTORE":
                undone_after = int(row.operationParameters["version"])
            elif row.userMetadata:
                said = json.loads(row.userMetadata)
                first, last = (date.fromisoformat(said[name]) for name in ("first", "last"))
                rows = int(row.operationMetrics.get("numOutputRows", 0))
                found.append(Commit(int(row.version), first, last, rows, {**said["note"], "fencing": said["fencing"]}))
    return tuple(found)


def read_single(spark: SparkSession, lake: LakeConfig, table: Table) -> dict[str, Any] | None:
    """The one row of a table that holds one; None: it is not made yet."""
    if not stands(spark, lake, table):
        return None
    row = _load(spark, lake, table).select(*table.columns.names).first()
    return row.asDict() if row else None


def swap_single(frame: DataFrame, lake: LakeConfig, table: Table, turn: int) -> None:
    """Makes the frame's one row the table's, unless somebody has done so for this turn or a later one.

    The caller reads the row again to see whose it is. turn: from 1, one more each time.
    """
    from delta import exceptions

    # All are of lost races; they have no common ancestor but Spark's own.
    lost = tuple(getattr(exceptions, name) for name in exceptions.__all__)
    writer = table.conform(frame).write.format("delta").mode("overwrite")
    try:
        _save(writer.option("txnAppId", FENCED).option("txnVersion", str(turn)), lake, table)
    except lost:
        return


def nights_of(spark: SparkSession, lake: LakeConfig, table: Table) -> tuple[date, ...]:
    """The nights that the table holds, in order."""
    if not stands(spark, lake, table):
        return ()
    held = _load(spark, lake, table).select("run_date").distinct().collect()
    return tuple(sorted(row.run_date for row in held))


def version_of(spark: SparkSession, lake: LakeConfig, table: Table) -> int | None:
    """The table's Delta version; None: it is not made yet."""
    return _last_commit(spark, lake, table).version if stands(spark, lake, table) else None


def forget_nights(spark: SparkSession, lake: LakeConfig, table: Table, before: date) -> int:
    """How many nights before that one were deleted from the table: their files go with `vacuum`."""
    old = [night for night in nights_of(spark, lake, table) if night < before]
    if old:
        _delta_table(spark, lake, table).delete(f"run_date < '{before}'")
    return len(old)


def compact(spark: SparkSession, lake: LakeConfig, table: Table, first: date) -> int:
    """How many small files of the nights from `first` on became larger ones; the rows stay as they are."""
    compaction = _delta_table(spark, lake, table).optimize().where(f"run_date >= '{first}'")
    metrics = compaction.executeCompaction().select("metrics.numFilesRemoved").first()
    return int(metrics[0]) if metrics else 0


def vacuum(spark: SparkSession, lake: LakeConfig, table: Table, hours: int) -> None:
    """Removes the files that no version of the table of the last `hours` hours needs."""
    _delta_table(spark, lake, table).vacuum(hours)


def _create(spark: SparkSession, lake: LakeConfig, table: Table) -> None:
    if stands(spark, lake, table):
        return
    if lake.schema_name and not spark.catalog.databaseExists(lake.schema_name):
        raise ConfigError(
            f"lake.schema_name: expected a schema that exists, found '{lake.schema_name}', which does not. Make it "
            f"(CREATE SCHEMA {lake.schema_name}), or name another."
        )
    builder, called = DeltaTable.createIfNotExists(spark), address(lake, table)
    builder = builder.tableName(called) if lake.schema_name else builder.location(called)
    builder.addColumns(table.schema).partitionedBy("run_date", *table.partitions).execute()


def _delta_table(spark: SparkSession, lake: LakeConfig, table: Table) -> DeltaTable:
    called = address(lake, table)
    return DeltaTable.forName(spark, called) if lake.schema_name else DeltaTable.forPath(spark, called)


def _load(spark: SparkSession, lake: LakeConfig, table: Table) -> DataFrame:
    reader = spark.read.format("delta")
    return reader.table(address(lake, table)) if lake.schema_name else reader.load(address(lake, table))


def _save(writer: DataFrameWriter, lake: LakeConfig, table: Table) -> None:
    if lake.schema_name:
        writer.saveAsTable(address(lake, table))
    else:
        writer.save(address(lake, table))


def _fenced(writer: Any, fencing: int | None, version: int) -> Any:
    if fencing is None:
        return writer
    return writer.option("txnAppId", FENCED).option("txnVersion", str(fencing * COMMITS_A_LEASE + version + 1))


def _refuse_if_fenced_off(table: Table, fencing: int | None, latest: int | None) -> None:
    """Raises TryAgainError where a later lease has written to the table: Delta has dropped the commit for that."""
    if fencing is not None and latest is not None and latest > fencing:
        raise TryAgainError(
            f"Table '{table.name}' is not written: this run's lease {fencing} has passed to lease {latest}, whose "
            "night stands. Nothing is to be done."
        )


@dataclass(frozen=True)
class _LastCommit:
    """The version of a table's last commit, how many rows it wrote by its own account, and the last lease's number."""

    version: int
    rows: int
    fencing: int | None


def _last_commit(spark: SparkSession, lake: LakeConfig, table: Table) -> _LastCommit:
    # A restore says nothing of a lease, nor do the four commits of `nightrank clean`: an earlier one does.
    columns = ("version", "operationMetrics", "userMetadata")
    history = _delta_table(spark, lake, table).history(10).select(*columns).collect()
    said: dict[str, Any] = next((json.loads(row.userMetadata) for row in history if row.userMetadata), {})
    rows = int(history[0].operationMetrics.get("numOutputRows", 0))
    return _LastCommit(int(history[0].version), rows, said.get("fencing"))


def _refuse_empty(spark: SparkSession, lake: LakeConfig, table: Table, first: date, last: date, rows: int) -> None:
    if table.may_be_empty:
        return
    if not rows or ("accepted" in table.partitions and read_table(spark, lake, table, first, last).isEmpty()):
        raise ContractError(
            f"Night {last} of table '{table.name}' is refused: expected accepted rows, found none of {rows}. "
            f"What stood before stands. See the reasons with `nightrank tables`, and the paths in section 'source'."
        )
