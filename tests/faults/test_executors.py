"""An executor that is killed in the middle of a night: the night goes on, and its tables are the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank.session import LOCAL
from nightrank.stages import STAGES
from nights import LAST, Lake, copy_of, hashes, loaded

ROOT = Path(__file__).parents[2]
PREPARED = tuple(stage.table for stage in STAGES if stage.job == "prepare")


def executors_below(pid: int) -> list[int]:
    """The process ids of a local cluster's executors."""
    listed = subprocess.run(["ps", "-eww", "-o", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    parents, found = {}, []
    for line in listed.splitlines()[1:]:
        own, parent, words = line.split(None, 2)
        parents[int(own)] = int(parent)
        if "CoarseGrainedExecutorBackend" in words and "java" in words.split()[0]:
            found.append(int(own))

    def is_below(one: int) -> bool:
        return one == pid or (one in parents and is_below(parents[one]))

    return [one for one in found if is_below(one)]


@pytest.mark.long
def test_a_night_on_two_executors_one_of_which_is_killed_is_the_same_night(
    spark: SparkSession, lake: Lake, tmp_path: Path
) -> None:
    quick = {**LOCAL, "spark.executor.extraJavaOptions": LOCAL["spark.driver.extraJavaOptions"]}
    cluster = {"master": "local-cluster[2,1,2048]", "shuffle_partitions": 3, "settings": quick}
    path = copy_of(lake, tmp_path, before=True, spark=cluster)
    command = [sys.executable, "-m", "nightrank", "run", "prepare", "--config", str(path), "--run-date", str(LAST)]
    log = tmp_path / "log"
    with log.open("w") as said:
        run = subprocess.Popen(command, cwd=ROOT, stderr=said, stdout=said)
        while "stage=events" not in log.read_text() and run.poll() is None:
            time.sleep(0.2)
        killed = executors_below(run.pid)[:1]
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        assert run.wait(timeout=400) == 0, log.read_text()[-3000:]
    assert len(killed) == 1
    expected = {k: v for k, v in lake.hashes.items() if k[1] == str(LAST) and k[0] in {t.name for t in PREPARED}}
    assert hashes(spark, loaded(path), PREPARED, since=LAST) == expected
