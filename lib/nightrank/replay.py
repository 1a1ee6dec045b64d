"""Taking a night's delivery through mended rules or a mended log: `nightrank replay`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank import tables
from nightrank.asked import nights_to_run
from nightrank.config import Config
from nightrank.contract import Table
from nightrank.runner import run_nights
from nightrank.storage import read_table

DELIVERED = (tables.ITEMS, tables.EVENTS, tables.SEARCHES)
ACCEPTED = "accepted"
Counts = dict[tuple[str, str], int]


def replay(spark: SparkSession, config: Config, what: str, night: date) -> str:
    """What became of the night's rows before and after it, and every later night, were made again from the raw log.

    what: `nightly`, or a job where jobs have clusters of their own: the others are run after it, with --backfill.
    A line a delivered table and reason, a row counting for each of its reasons. A night that was refused, and so has no
    rows, is run for the first time. Raises what `nights_to_run` and a run raise.
    """
    nights = nights_to_run(spark, config, night, backfill=True)
    before = _counts(spark, config, night)
    run_nights(spark, config, what, nights, again=True)
    return _in_words(night, nights, before, _counts(spark, config, night))


def _counts(spark: SparkSession, config: Config, night: date) -> Counts:
    """How many of the night's rows were accepted, and how many have each reason, by table and reason."""
    found: Counts = {}
    for table in DELIVERED:
        counted = _by_reason(spark, config, table, night).collect()
        found |= {(table.name, row["reason"]): row["count"] for row in counted}
    return found


def _by_reason(spark: SparkSession, config: Config, table: Table, night: date) -> DataFrame:
    rows = read_table(spark, config.lake, table, night, night, accepted_only=False)
    said = F.when(F.col("accepted"), F.array(F.lit(ACCEPTED))).otherwise(F.col("reasons"))
    return rows.select(F.explode(said).alias("reason")).groupBy("reason").count()


def _in_words(night: date, nights: Sequence[date], before: Counts, after: Counts) -> str:
    later = f" and {len(nights) - 1} later" if len(nights) > 1 else ""
    lines = [f"night {night}{later} made again; rows of night {night}, before -> after:"]
    for table, reason in sorted(before.keys() | after.keys()):
        key = (table, reason)
        lines.append(f"  {table:<10} {reason:<24} {before.get(key, 0):>10} -> {after.get(key, 0)}")
    return "\n".join(lines)
