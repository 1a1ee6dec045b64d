"""Runs that are killed, stopped or run twice: whoever reads sees whole nights, and the next run makes the same ones."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pyspark.sql import DataFrame, SparkSession

from forked import KILLED, fault, fork, kill_after
from nightrank import tables
from nightrank.asked import the_night
from nightrank.config import Config
from nightrank.errors import BugError
from nightrank.faults import POINTS
from nightrank.lease import LEASE
from nightrank.runner import Run, run_nights, run_stage
from nightrank.stages import STAGES
from nightrank.storage import read_single
from nights import LAST, Lake, copy_of, hashes, loaded

BY_NAME = {stage.name: stage for stage in STAGES}
# The one that all others stand on, and the one that readers get. `make bench-soak` draws from all.
KILLED_STAGES = ("events", "rerank_weights")
RANDOM_KILLS = 12


@pytest.fixture(scope="module")
def own(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A copy of the lake after its last night, to be fought over."""
    return loaded(copy_of(lake, tmp_path_factory.mktemp("killed")))


@pytest.fixture(scope="module")
def faultless(lake: Lake) -> dict[tuple[str, str], str]:
    return lake.hashes


@pytest.fixture(autouse=True)
def _no_job_is_left_running(spark: SparkSession) -> Iterator[None]:
    yield
    spark.sparkContext.cancelAllJobs()


@pytest.mark.long
def test_the_same_night_three_times_is_one_night(
    spark: SparkSession, own: Config, faultless: dict[tuple[str, str], str]
) -> None:
    for _ in range(3):
        run_nights(spark, own, "nightly", [LAST])
    assert hashes(spark, own) == faultless


@pytest.mark.long
@pytest.mark.parametrize("stage", KILLED_STAGES)
def test_killed_at_each_fail_point_the_rerun_has_the_faultless_tables(
    spark: SparkSession, own: Config, faultless: dict[tuple[str, str], str], stage: str
) -> None:
    table = (BY_NAME[stage].table,)
    expected = {key: value for key, value in faultless.items() if key[0] == stage}
    for point in POINTS:
        killed = fork(lambda: run_nights(spark, own, stage, [LAST], again=True), **fault(point, stage))
        assert killed.ended() == KILLED
        assert hashes(spark, own, table) == expected, point
    run_nights(spark, own, stage, [LAST], again=True)
    assert hashes(spark, own, table) == expected


@pytest.mark.long
def test_killed_at_random_times_the_rerun_has_the_faultless_tables(
    spark: SparkSession, own: Config, faultless: dict[tuple[str, str], str]
) -> None:
    """Each run makes what stands again, so a reader must find the same rows at any moment: it looks all the while."""
    prepared = tuple(stage.table for stage in STAGES if stage.job == "prepare")
    expected = {key: value for key, value in faultless.items() if key[0] in {table.name for table in prepared}}

    def look() -> None:
        assert hashes(spark, own, prepared) == expected

    at = random.Random(4)
    for _ in range(RANDOM_KILLS):
        killed = fork(lambda: run_nights(spark, own, "prepare", [LAST], again=True))
        killer = fork(lambda one=killed: kill_after(one, at.uniform(0.5, 12)))
        assert killed.ended(meanwhile=look) in {KILLED, 0}
        killer.ended()
    run_nights(spark, own, "prepare", [LAST])
    look()


def test_of_two_runs_of_one_night_one_works_and_one_is_told_to_try_again(
    spark: SparkSession, own: Config, faultless: dict[tuple[str, str], str]
) -> None:
    def night() -> None:
        run_nights(spark, own, "segments", [LAST], again=True)

    ended = sorted(run.ended() for run in (fork(night, **fault("built", "segments", "sleep=4")), fork(night)))
    assert ended == [0, 75]
    assert hashes(spark, own, (tables.SEGMENTS,)) == {k: v for k, v in faultless.items() if k[0] == "segments"}


@pytest.mark.long
def test_a_holder_that_was_stopped_and_wakes_up_commits_nothing(spark: SparkSession, own: Config) -> None:
    short = own.model_copy(update={"run": own.run.model_copy(update={"lease_seconds": 3})})
    other = short.model_copy(update={"segments": own.segments.model_copy(update={"min_shoppers": 1})})
    late = fork(lambda: run_nights(spark, other, "segments", [LAST]), **fault("built", "segments", "sleep=6"))
    while (held := read_single(spark, own.lake, LEASE)) is None or held["pid"] != late.pid:
        time.sleep(0.1)
    late.send(signal.SIGSTOP)
    time.sleep(4)
    run_nights(spark, short, "segments", [LAST], again=True)
    stands = hashes(spark, own, (tables.SEGMENTS,))
    late.send(signal.SIGCONT)
    assert late.ended() == 75
    assert hashes(spark, own, (tables.SEGMENTS,)) == stands


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_is_a_day_off_changes_no_row(
    spark: SparkSession, own: Config, faultless: dict[tuple[str, str], str], monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    right = time.time
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: right() + days * 24 * 3600)
        run_nights(spark, own, "user_profiles", [LAST], again=True)
    found = hashes(spark, own, (tables.USER_PROFILES,))
    assert found == {key: value for key, value in faultless.items() if key[0] == "user_profiles"}


@pytest.mark.parametrize(("attempts", "ends_well"), [(1, True), (99, False)])
def test_a_python_worker_that_is_killed(
    spark: SparkSession, own: Config, faultless: dict[tuple[str, str], str], attempts: int, ends_well: bool
) -> None:
    """On its first attempt: the result is exact. On every attempt: 70, stage and partition named, nothing published."""
    stage = BY_NAME["user_profiles"]

    def build(**frames: DataFrame) -> DataFrame:
        return with_killed_workers(stage.build(**frames), attempts)

    from nightrank import runner

    run = Run(fencing=10**6)
    night = the_night(spark, own, LAST)
    doomed = replace(stage, build=build)
    if ends_well:
        run_stage(spark, own, doomed, night)
    else:
        words = r"Stage 'user_profiles' of night 2026-01-10 failed: .*worker.* died.*in partition \d+, 4 attempts"
        with pytest.raises(BugError, match=words):
            runner._run_explained(spark, own, doomed, night, replace(run, again=True))
    table = (tables.USER_PROFILES,)
    assert hashes(spark, own, table) == {k: v for k, v in faultless.items() if k[0] == "user_profiles"}


def with_killed_workers(frame: DataFrame, attempts: int) -> DataFrame:
    """The frame, passed through workers that kill themselves in the first attempts at each task."""

    def passed(batches):
        from pyspark import TaskContext

        if TaskContext.get().attemptNumber() < attempts:
            os.kill(os.getpid(), signal.SIGKILL)
        yield from batches

    return frame.mapInArrow(passed, frame.schema)
