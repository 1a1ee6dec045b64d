"""The lease of a lake: one holder, a dead one is followed, and what a late one commits is dropped."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.config import Config
from nightrank.errors import TryAgainError
from nightrank.lease import FREE, LEASE, Lease, _swapped, holding_lease
from nightrank.sections import LakeConfig
from nightrank.storage import commits_of, read_single, read_table, replace_night

NIGHT, NEXT = date(2026, 1, 9), date(2026, 1, 10)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(lake=LakeConfig(path=str(tmp_path / "lake")))


def a_dead_process() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_one_run_at_a_time(spark: SparkSession, config: Config) -> None:
    with holding_lease(spark, config, "nightly of night 2026-01-09") as held:
        in_use = pytest.raises(TryAgainError, match=r"in use: nightly of night 2026-01-09, by process \d+")
        with in_use, holding_lease(spark, config, "another"):
            pass
        assert held.fencing == 1
    row = read_single(spark, config.lake, LEASE)
    assert row is not None
    assert (row["holder"], row["turn"]) == (FREE, 2)
    with holding_lease(spark, config, "the next") as later:
        assert later.fencing == 3


@pytest.mark.parametrize(
    ("host", "alive", "left", "free"),
    [
        (socket.gethostname(), False, 500, True),  # its holder died on this host
        (socket.gethostname(), True, 500, False),
        ("elsewhere", False, 500, False),  # nothing is known of another host's processes
        ("elsewhere", True, -1, True),  # it has run out
    ],
)
def test_whose_lease_is_taken_over(
    spark: SparkSession, config: Config, host: str, alive: bool, left: int, free: bool
) -> None:
    pid = os.getpid() if alive else a_dead_process()
    _swapped(spark, config, Lease(1, 1, "somebody", host, pid, "a night", int(time.time()) + left))
    if free:
        with holding_lease(spark, config, "mine") as mine:
            assert mine.fencing == 2
    else:
        with pytest.raises(TryAgainError, match="a night"), holding_lease(spark, config, "mine"):
            pass


def test_a_turn_is_taken_once(spark: SparkSession, config: Config) -> None:
    one, other = (Lease(1, 1, name, "h", 1, "a night", int(time.time()) + 500) for name in ("one", "other"))
    assert _swapped(spark, config, one).holder == "one"
    assert _swapped(spark, config, other).holder == "one"


def test_of_many_that_want_a_turn_at_once_one_has_it(spark: SparkSession, config: Config) -> None:
    assert _swapped(spark, config, Lease(1, 1, FREE, "h", 1, "nothing", 0)).turn == 1
    wanted = [Lease(2, 2, f"holder {n}", "h", 1, "a night", int(time.time()) + 500) for n in range(4)]
    with ThreadPoolExecutor(4) as at_once:
        found = {lease.holder for lease in at_once.map(lambda one: _swapped(spark, config, one), wanted)}
    assert len(found) == 1


def test_the_late_commit_of_a_lost_lease_is_refused(spark: SparkSession, config: Config) -> None:
    def segment(shoppers: int) -> int:
        row = ("anonymous", None, shoppers, [], [], [])
        frame = spark.createDataFrame([row], tables.SEGMENTS.columns)
        return replace_night(frame, lake, tables.SEGMENTS, NIGHT, NIGHT, {"n": shoppers}, fencing)

    lake = config.lake
    for fencing in (1, 1, 3):
        assert segment(fencing) == 1
    fencing = 2
    with pytest.raises(TryAgainError, match="lease 2 has passed to lease 3"):
        segment(99)
    found = read_table(spark, lake, tables.SEGMENTS, NIGHT, NIGHT).select("shoppers").collect()
    assert [row.shoppers for row in found] == [3]
    assert [(c.first, c.last, c.note["n"], c.note["fencing"]) for c in commits_of(spark, lake, tables.SEGMENTS)] == [
        (NIGHT, NIGHT, 3, 3), (NIGHT, NIGHT, 1, 1), (NIGHT, NIGHT, 1, 1),
    ]  # fmt: skip
