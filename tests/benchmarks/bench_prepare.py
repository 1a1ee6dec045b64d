"""make bench-prepare: what the job `prepare` costs, an event, at which size, and beside DuckDB.

Each part is a process of its own; PART=duckdb,raw,growth,quiet,skew takes some of them, EVENTS=20_000_000 another size.

duckdb: the profile core of parsed events in Parquet, by nightrank and by DuckDB, in turn; duckdb_ratio is the median of
    the pairs' ratios, results_apart the most that they may differ. The session and a first, small run are not counted.
    whole_rows_ratio: the whole rows of `user_profiles`, of which the core is a part, against DuckDB's core.
raw: a bulk load of raw UBI NDJSON; share_<stage> of its seconds.
growth: the stages after parsing, over EVENTS/9, EVENTS/3 and EVENTS events in Parquet. What they take on a few events
    is start-up and is subtracted; cost_growth is the larger of the two steps' growth of the cost an event.
quiet: a night of 1/30 of the events on top of the rest, against the bulk load of the rest.
skew: one shopper with a million events (in a log of less than four million, with a quarter of them), and one item with
    half of all, against a log with neither.

peak_memory_gb (1e9 bytes) is of driver, JVM and Python workers together, without the writing of the log where that is a
program's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import pairwise
from statistics import median

from figures import say_figures
from parsed_log import DAYS, LAST_DAY, Log, log_events, with_facets, write_log
from prepare_runs import FOLDER, Prepared, bench_config, canonical_config, prepare, session, watched
from process_memory import way_to_count
from profile_core import TOLERANCE, core_by_duckdb, core_by_nightrank, profiles_by_nightrank, refuse_other_results
from pyspark.sql import SparkSession

from nightrank.cli import _log_plainly
from nightrank.shop.spark_log import sized_for, write_shop_in_spark
from nightrank.storage import read_table
from nightrank.tables import ITEM_NEIGHBOURS

Figures = dict[str, float | int | str]
FEW = 20_000  # events whose run is all start-up
FEW_ENOUGH_FOR_PAIRS = 5_000_000
SUPER_USER = 1_000_000  # events
PAIRS = 3
# Its states of the largest few do not go to the disk: with Spark's 4 GB it ends at 20 million events.
DUCKDB_MEMORY = "12GB"


def duckdb_part(spark: SparkSession, events: int) -> Figures:
    """nightrank's profile core against DuckDB's, and that both find the same."""
    _core_pair(spark, FEW, write=True)  # for the compilers
    pairs = range(PAIRS if events <= FEW_ENOUGH_FOR_PAIRS else 1)
    found = [_core_pair(spark, events, write=number == 0) for number in pairs]
    whole = _whole_rows(spark)
    return {
        "duckdb_ratio": median(ours / theirs for ours, theirs, _ in found),
        "seconds_nightrank": median(ours for ours, _, _ in found),
        "seconds_duckdb": median(theirs for _, theirs, _ in found),
        "seconds_whole_rows": whole,
        "whole_rows_ratio": whole / median(theirs for _, theirs, _ in found),
        "pairs": len(found),
        "shoppers": found[0][2],
        "results_apart": f"<= {TOLERANCE}",
    }


def _core_pair(spark: SparkSession, events: int, write: bool) -> tuple[float, float, int]:
    """nightrank's seconds, DuckDB's, and the shoppers whom both found to be the same."""
    folder, config = FOLDER / "duckdb", bench_config("duckdb")
    log, ours, theirs = (str(folder / name) for name in ("events", "nightrank", "duckdb.parquet"))
    if write:
        with_facets(log_events(spark, Log(events))).write.mode("overwrite").parquet(log)
    taken = _seconds(lambda: core_by_nightrank(spark, log, ours, LAST_DAY, config))
    other = _seconds(lambda: core_by_duckdb(log, theirs, LAST_DAY, config, DUCKDB_MEMORY))
    return taken, other, refuse_other_results(ours, theirs)


def _whole_rows(spark: SparkSession) -> float:
    """The seconds of the whole rows of `user_profiles`, from nothing, over the log that the core was made from."""
    log, out = (str(FOLDER / "duckdb" / name) for name in ("events", "user_profiles"))
    return _seconds(lambda: profiles_by_nightrank(spark, log, out, LAST_DAY, bench_config("duckdb")))


def raw_part(spark: SparkSession, events: int) -> Figures:
    """The whole job over the simulated shop's logs."""
    config = bench_config("raw")
    logs = f"{FOLDER}/raw/shop/logs/{{run_date}}"
    source = {"events": f"{logs}/events.ndjson", "searches": f"{logs}/queries.ndjson", "items": f"{logs}/items.jsonl"}
    shop = sized_for(config.shop.model_copy(update={"path": f"{FOLDER}/raw/shop"}), events)
    shutil.rmtree(shop.path, ignore_errors=True)
    written = _seconds(lambda: write_shop_in_spark(spark, shop))
    last = shop.first_day + timedelta(days=shop.days - 1)
    calendar = {"bulk_until": last, "nights": 0}
    config = bench_config("raw", source=source, calendar=calendar)
    found = prepare(spark, config, [last])
    lines = spark.read.text(f"{shop.path}/logs/*/events.ndjson").count()
    searches = spark.read.text(f"{shop.path}/logs/*/queries.ndjson").count()
    return {
        "events_per_second": lines / found.total,
        "seconds_write_log": written,
        "size_shoppers": shop.shoppers,
        "size_items": shop.items,
        "size_events": lines,
        "size_searches": searches,
        "pairs": read_table(spark, config.lake, ITEM_NEIGHBOURS, last, last).count(),
        **_told(found),
    }


def growth_part(spark: SparkSession, events: int) -> Figures:
    """The cost an event at three sizes."""
    sizes = (events // 9, events // 3, events)
    startup = [_bulk(spark, "growth", Log(FEW)) for _ in range(2)][-1]
    found = {size: _bulk(spark, "growth", Log(size)) for size in sizes}
    cost = {size: (_after_parsing(one) - _after_parsing(startup)) / size for size, one in found.items()}
    steps = [cost[later] / cost[earlier] - 1 for earlier, later in pairwise(sizes)]
    return {
        "cost_growth": max(steps),
        **{f"cost_growth_to_{size}": step for size, step in zip(sizes[1:], steps, strict=True)},
        **{f"microseconds_an_event_{size}": 1e6 * seconds for size, seconds in cost.items()},
        "seconds_startup": _after_parsing(startup),
        **_told(found[events]),
    }


def quiet_part(spark: SparkSession, events: int) -> Figures:
    """The last day's night against the bulk load of the days before it."""
    _bulk(spark, "quiet", Log(FEW))
    log, before = f"{FOLDER}/quiet/log", LAST_DAY - timedelta(days=1)
    write_log(spark, Log(events), log)
    config = canonical_config("quiet", log, before)
    bulk, night = (prepare(spark, config, [day]) for day in (before, LAST_DAY))
    return {
        "quiet_night_share": night.total / bulk.total,
        "seconds_rebuild": bulk.total,
        "events_share": 1 / DAYS,
        **_told(night),
    }


def skew_part(spark: SparkSession, events: int) -> Figures:
    """The job's seconds with a super-user, and with a hot item, against those without."""
    of_one = min(SUPER_USER, events // 4)
    super_user, hot_item = Log(events, super_user=of_one / events), Log(events, hot_item=0.5)
    logs = {"even": Log(events), "super_user": super_user, "hot_item": hot_item}
    _bulk(spark, "skew", Log(FEW))
    found = {name: _bulk(spark, "skew", log).total for name, log in logs.items()}
    return {
        "super_user_ratio": found["super_user"] / found["even"],
        "hot_item_ratio": found["hot_item"] / found["even"],
        **{f"seconds_{name}": seconds for name, seconds in found.items()},
        "super_user_events": of_one,
    }


def _bulk(spark: SparkSession, name: str, log: Log) -> Prepared:
    """The bulk load of a log into a new lake."""
    write_log(spark, log, f"{FOLDER}/{name}/log")
    return prepare(spark, canonical_config(name, f"{FOLDER}/{name}/log", LAST_DAY), [LAST_DAY])


def _after_parsing(found: Prepared) -> float:
    return found.total - found.seconds["items"]


def _told(found: Prepared) -> Figures:
    shares = {f"share_{name}": seconds / found.total for name, seconds in found.seconds.items()}
    return {"seconds_stages": found.total, **shares, **{f"rows_{name}": rows for name, rows in found.rows.items()}}


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


Part = Callable[[SparkSession, int], Figures]
# Sizes that take some minutes each. The largest that were measured are in the README.
PARTS: Mapping[str, tuple[Part, int]] = {
    "duckdb": (duckdb_part, 2_000_000),
    "raw": (raw_part, 500_000),
    "growth": (growth_part, 1_800_000),
    "quiet": (quiet_part, 1_200_000),
    "skew": (skew_part, 600_000),
}


def main() -> None:
    """The figures of one part, or of each part by a process of its own."""
    chosen = os.environ.get("PART", ",".join(PARTS)).split(",")
    if len(chosen) > 1:
        for name in chosen:
            subprocess.run([sys.executable, __file__], env={**os.environ, "PART": name}, check=True)
        return
    _log_plainly()
    part, usual = PARTS[chosen[0]]
    events = int(os.environ.get("EVENTS", usual))
    with watched() as peak:
        figures = part(session(), events)
    memory: Figures = {"peak_memory_gb": peak.bytes / 1e9, "memory_counted_by": way_to_count()}
    say_figures(f"prepare_{chosen[0]}", {"asked_events": events, **figures, **memory})


if __name__ == "__main__":
    main()
