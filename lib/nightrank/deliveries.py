"""Whether what was delivered may be a night: its share of quarantine, its rows beside other weeks', none lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from statistics import median
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.contract import Holds, Table
from nightrank.enriched import tell_enriched, tell_enrichments
from nightrank.errors import ContractError
from nightrank.nights import Night
from nightrank.storage import read_table
from nightrank.tables import ENRICHMENTS, ITEM_EMBEDDINGS, ITEMS, MANIFEST, PEOPLE, QUERY_EMBEDDINGS
from nightrank.vectors import refuse_neutral_vectors

log = logging.getLogger("nightrank")
# So many weeks are compared with; a younger log is not judged by its rows.
WEEKS = 4


Judge = Callable[[SparkSession, Config, Table, Night], None]


def judge_of(table: Table) -> Judge | None:
    """What raises ContractError where a night of the table, just written, may not stand; None: it always may."""
    if table is MANIFEST:
        return refuse_lost_rows
    if table in (ITEM_EMBEDDINGS, QUERY_EMBEDDINGS):
        return refuse_neutral_vectors
    if table is ENRICHMENTS:
        return tell_enrichments
    if table is ITEMS:
        return _refuse_odd_items
    # Rows of `people` are not what was delivered but what all nights' deliveries came to.
    return refuse_odd_delivery if "accepted" in table.partitions and table is not PEOPLE else None


def refuse_lost_rows(spark: SparkSession, config: Config, table: Table, night: Night) -> None:
    """Raises ContractError where a file's rows are not what became of them, or where too many files of a log cannot be
    read.

    Tells of fewer files that cannot be read, and of many events whose search never arrived.
    """
    for log_in_short in _logs_in_short(read_table(spark, config.lake, table, night.first_arrival, night.run_date)):
        _refuse_lost(log_in_short, night)
        _refuse_unreadable(log_in_short, night, config)
        named, missing = log_in_short["query_ids"], log_in_short["without_search"]
        if missing > config.manifest.warn_without_search * named:
            log.warning("night=%s events_without_search=%.4f of=%d", night.run_date, missing / named, named)


def _refuse_lost(log_in_short: Any, night: Night) -> None:
    if lost := log_in_short["lost"]:
        raise ContractError(
            f"Night {night.run_date} is refused: expected the {lost['rows']} rows of file '{lost['source_file']}' in "
            f"table '{log_in_short['input']}', found {lost['stored']}. Run the night again with --again; if it stays "
            "so, report it."
        )


def _refuse_unreadable(log_in_short: Any, night: Night, config: Config) -> None:
    many, first, name = log_in_short["unread"], log_in_short["first"], log_in_short["input"]
    if many > config.manifest.refuse_unreadable * log_in_short["files"] and not config.source.allow_empty:
        raise ContractError(
            f"Night {night.run_date} is refused: expected files of {name} that can be read, found {many} that "
            f"cannot, first '{first}'. Deliver them again, or raise manifest.refuse_unreadable."
        )
    if many:
        log.warning("night=%s input=%s unreadable_files=%d first=%s", night.run_date, name, many, first)


def _logs_in_short(files: DataFrame) -> list[Any]:
    """Of each input: the first file that lost rows (None: none did), of how many delivered files how many cannot be
    read, and of how many names of a search how many name none."""
    stored = F.col("good") + F.col("quarantined") + F.col("duplicates")
    lost = F.struct("source_file", "rows", stored.alias("stored"))
    unread = F.when(~F.col("readable"), F.col("source_file"))
    return (
        files.groupBy("input")
        .agg(
            F.min(F.when(F.col("rows") != stored, lost)).alias("lost"),
            F.count(unread).alias("unread"),
            F.min(unread).alias("first"),
            F.count_if(~F.col("readable") | (F.col("lines") > 0)).alias("files"),
            F.sum("query_ids").alias("query_ids"),
            F.sum("without_search").alias("without_search"),
        )
        .orderBy("input")
        .collect()
    )


def refuse_odd_delivery(spark: SparkSession, config: Config, table: Table, night: Night) -> None:
    """Raises ContractError for a night of which too much is quarantined, or that has far fewer or more rows than the
    median of the last four same weekdays; warns of less. For tables with quarantine; a bulk load's rows are compared
    with nothing.

    Rows whose only reasons are deliveries.expected are no sign of anything: a repeated event, a search without results.
    """
    rows, quarantined = _counts(spark, config, table, night)
    share, limits = quarantined / max(rows, 1), config.deliveries
    if share > limits.refuse_quarantined:
        raise ContractError(
            f"Night {night.run_date} of table '{table.name}' is refused: expected at most "
            f"{limits.refuse_quarantined:.1%} of its rows in quarantine, found {share:.1%} ({quarantined} of {rows}). "
            "What stood before stands. Mend the log, or for a night that is right as it is raise "
            "deliveries.refuse_quarantined."
        )
    if share > limits.warn_quarantined:
        log.warning("table=%s night=%s quarantined=%.4f", table.name, night.run_date, share)
    if table.holds is Holds.CHANGE and not night.bulk:
        _refuse_odd_number(_usual(spark, config, table, night), rows, table, night, config)


def _refuse_odd_items(spark: SparkSession, config: Config, table: Table, night: Night) -> None:
    refuse_odd_delivery(spark, config, table, night)
    tell_enriched(spark, config, table, night)


def _refuse_odd_number(usual: float | None, rows: int, table: Table, night: Night, config: Config) -> None:
    limits = config.deliveries
    if usual is None:
        return
    fewest, most = usual * (1 - limits.fewer), usual * (1 + limits.more)
    if not fewest <= rows <= most:
        raise ContractError(
            f"Night {night.run_date} of table '{table.name}' is refused: expected {fewest:.0f} to {most:.0f} rows (the "
            f"last {WEEKS} {night.run_date:%A}s have {usual:.0f}), found {rows}. What stood before stands. Deliver the "
            "log again, or for a night that is right as it is raise deliveries.fewer or deliveries.more."
        )


def _counts(spark: SparkSession, config: Config, table: Table, night: Night) -> tuple[int, int]:
    """How many rows the night has, and how many are in quarantine for more than what is expected."""
    rows = read_table(spark, config.lake, table, night.first_arrival, night.run_date, accepted_only=False)
    expected = F.array(*[F.lit(reason) for reason in config.deliveries.expected]).cast("array<string>")
    odd = F.count(F.when(F.size(F.array_except("reasons", expected)) > 0, 1))
    counted = rows.agg(F.count(F.lit(1)).alias("rows"), odd.alias("odd")).first()
    return (int(counted["rows"]), int(counted["odd"])) if counted else (0, 0)


def _usual(spark: SparkSession, config: Config, table: Table, night: Night) -> float | None:
    """The median number of rows of the last same weekdays; None where the lake does not hold them all."""
    days = [night.run_date - timedelta(weeks=n) for n in range(1, WEEKS + 1)]
    held = read_table(spark, config.lake, table, days[-1], days[0], accepted_only=False)
    counts = [row["count"] for row in held.where(F.col("run_date").isin(days)).groupBy("run_date").count().collect()]
    return median(counts) if len(counts) == WEEKS else None
