"""The simulated shop at any size: the lines of ubi_log.py, written by Spark.

A day's lines are a function of the seed, the day and the bucket of shoppers, so who writes which does not matter. Each
Python worker holds the whole world: its memory is bounded by the most shoppers and items that sized_for makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from math import ceil
from typing import Any

import pandas
from pyspark.sql import DataFrame, SparkSession

from nightrank.errors import UsageError
from nightrank.sections import ShopConfig
from nightrank.shop.behaviour import simulate_day
from nightrank.shop.shoppers import buckets, population
from nightrank.shop.ubi_log import (
    EVENTS_FILE,
    ITEMS_FILE,
    QUERIES_FILE,
    event_lines,
    item_lines,
    json_line,
    query_lines,
)
from nightrank.shop.world import Shop, date_of, make_world

# Measured: 1.9 with 800 items, 2.1 with 20,000, bots included, whatever the number of shoppers.
EVENTS_PER_SHOPPER_DAY = 2.0
EVENTS_PER_ITEM = 1000
# What a worker can hold: where that is too little, days are added.
MOST_SHOPPERS, MOST_ITEMS = 1_000_000, 100_000
BUCKETS_AT_ONCE = 16  # a day of theirs is some 6,000 lines
LINES_AT_ONCE = 10_000
LINE = "day string, file string, value string"


def sized_for(config: ShopConfig, events: int) -> ShopConfig:
    """The shop of a config with so many shoppers, items and days that about `events` events happen in it.

    As many shoppers as that takes in config.days days, at most a million; where those are too few, more days. One item
    for each thousand events, at most 100,000, and never fewer than config.items.
    """
    shopper_days = ceil(events / EVENTS_PER_SHOPPER_DAY)
    shoppers = min(ceil(shopper_days / config.days), MOST_SHOPPERS)
    days = max(config.days, ceil(shopper_days / shoppers))
    items = max(config.items, min(events // EVENTS_PER_ITEM, MOST_ITEMS))
    return config.model_copy(update={"shoppers": shoppers, "items": items, "days": days})


def write_shop_in_spark(spark: SparkSession, config: ShopConfig, partitions: int | None = None) -> None:
    """Writes logs/<date>/{queries.ndjson,events.ndjson,items.jsonl} below config.path, each a folder of part files.

    Together they hold the lines that `write_shop` writes, in another order; no truth lies beside them. UsageError
    where logs are there already: days of two worlds must not mix. partitions: as many as there are cores, by default.
    """
    target, staged = f"{config.path}/logs", f"{config.path}/logs_being_written"
    if _files(spark, target).exists(_path(spark, target)):
        raise UsageError(f"The shop cannot be written: '{target}' is there already. Delete it, or change shop.path.")
    lines = shop_lines(spark, config, partitions)
    lines.write.mode("overwrite").partitionBy("day", "file").text(staged)
    _move_parts(spark, staged, target)


def shop_lines(spark: SparkSession, config: ShopConfig, partitions: int | None = None) -> DataFrame:
    """Every line of the shop's logs: day (ISO date), file, value."""
    blocks = ceil(len(buckets(population(config))) / BUCKETS_AT_ONCE)
    units = spark.range(0, config.days * blocks, 1, partitions)
    return units.mapInPandas(_lines_of_units(config, blocks), LINE)


def _lines_of_units(
    config: ShopConfig, blocks: int
) -> Callable[[Iterable[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    """The lines of units of work: unit n is what block n % blocks of the buckets did on day n // blocks."""

    def lines(batches: Iterable[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        for batch in batches:
            for unit in batch["id"].tolist():
                for file, found in _unit(config, *divmod(unit, blocks)):
                    yield from _frames(file, str(date_of(_world(config), unit // blocks)), found)

    return lines


def _unit(config: ShopConfig, day: int, block: int) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Each file's lines of a day that a block of buckets brings; the catalogue's come with the first block."""
    shop = _world(config)
    mine = buckets(shop.shoppers.size)[block * BUCKETS_AT_ONCE : (block + 1) * BUCKETS_AT_ONCE]
    log = simulate_day(shop, day, mine)
    yield QUERIES_FILE, query_lines(shop, day, log)
    yield EVENTS_FILE, event_lines(shop, day, log)
    if block == 0:
        yield ITEMS_FILE, item_lines(shop, day)


def _frames(file: str, day: str, lines: Iterator[dict[str, Any]]) -> Iterator[pandas.DataFrame]:
    while texts := [json_line(line) for line in islice(lines, LINES_AT_ONCE)]:
        yield pandas.DataFrame({"day": day, "file": file, "value": texts})


@lru_cache(maxsize=1)
def _world(config: ShopConfig) -> Shop:
    """The shop, made once a worker and kept for all its units."""
    return make_world(config)


def _move_parts(spark: SparkSession, staged: str, target: str) -> None:
    """Moves staged/day=<day>/file=<file> to target/<day>/<file>: no reader has to know how they were written."""
    files = _files(spark, target)
    for day in files.listStatus(_path(spark, staged)):
        if day.isDirectory():
            folder = f"{target}/{day.getPath().getName().removeprefix('day=')}"
            files.mkdirs(_path(spark, folder))
            for file in files.listStatus(day.getPath()):
                name = file.getPath().getName().removeprefix("file=")
                files.rename(file.getPath(), _path(spark, f"{folder}/{name}"))
    files.delete(_path(spark, staged), True)


def _files(spark: SparkSession, path: str) -> Any:
    java: Any = spark._jsparkSession
    return _path(spark, path).getFileSystem(java.sessionState().newHadoopConf())


def _path(spark: SparkSession, path: str) -> Any:
    jvm: Any = spark._jvm
    return jvm.org.apache.hadoop.fs.Path(path)
