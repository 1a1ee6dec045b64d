"""`nightrank clean`: nights that need not be kept are deleted, small files joined, files that nobody needs removed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.config import Config
from nightrank.contract import Table
from nightrank.nights import ONE_DAY
from nightrank.storage import address, compact, forget_nights, nights_of, vacuum


def clean(spark: SparkSession, config: Config, dry_run: bool = False) -> str:
    """A line a table of what was done, or with dry_run of what would be.

    The nights kept are counted back from the lake's last night, not from today: a lake that stands still loses
    nothing. Call it while holding the lake's lease.
    """
    return "\n".join(_lines(spark, config, dry_run))


def _lines(spark: SparkSession, config: Config, dry_run: bool) -> Iterator[str]:
    for table in tables.TABLES:
        nights = nights_of(spark, config.lake, table)
        if not nights:
            continue
        first = nights[0] if table.keep_nights is None else nights[-1] - (table.keep_nights - 1) * ONE_DAY
        old = [night for night in nights if night < first]
        told = f"{table.name:<18} {len(nights) - len(old)} nights kept, {len(old)} deleted"
        if dry_run:
            yield f"{told} (dry run: nothing was done to {address(config.lake, table)})"
        else:
            yield f"{told}, {_tidied(spark, config, table, first)} small files joined"


def _tidied(spark: SparkSession, config: Config, table: Table, first: date) -> int:
    forget_nights(spark, config.lake, table, first)
    joined = compact(spark, config.lake, table, first)
    vacuum(spark, config.lake, table, config.run.keep_files_hours)
    return joined
