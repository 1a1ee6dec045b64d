"""A disk that is full, for the shuffle or for the table: 74, the table as it was, and the next run exact."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.runner import run_nights
from nights import INTERPRETED, LAST, Lake, copy_of, hashes, loaded

ROOT = Path(__file__).parents[2]
TABLE = (tables.ITEM_NEIGHBOURS,)


def _may_mount() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount") is not None


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of that size in the folder, which keeps what the folder held."""
    held = folder.with_name(f"{folder.name}_held")
    if folder.exists():
        folder.rename(held)
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        if held.exists():
            shutil.copytree(held, folder, dirs_exist_ok=True)
        yield folder
    finally:
        shutil.copytree(folder, held, dirs_exist_ok=True)
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
        held.rename(folder)


@pytest.mark.long
@pytest.mark.skipif(not _may_mount(), reason="only root may mount a small disk")
@pytest.mark.parametrize("what", ["shuffle", "table"])
def test_a_full_disk_is_74_and_the_next_run_is_exact(
    spark: SparkSession, lake: Lake, tmp_path: Path, what: str
) -> None:
    scratch = tmp_path / "scratch"
    settings = {"spark.local.dir": str(scratch)} if what == "shuffle" else {}
    path = copy_of(lake, tmp_path, spark={"settings": {**INTERPRETED, **settings}})
    config = loaded(path)
    table = tmp_path / "lake" / "item_neighbours"
    used = sum(file.stat().st_blocks for file in table.rglob("*")) // 2
    full = small_disk(scratch, 200) if what == "shuffle" else small_disk(table, used + 12)
    command = [sys.executable, "-m", "nightrank", "run", "item_neighbours", "--config", str(path)]
    with full:
        done = subprocess.run(
            [*command, "--run-date", str(LAST), "--again"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    said = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 74, done.stderr[-3000:]
    assert "failed: the disk is full. What stood before stands." in said
    assert what == "shuffle" or "Stage 'item_neighbours' of night 2026-01-10" in said
    expected = {key: value for key, value in lake.hashes.items() if key[0] == "item_neighbours"}
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    assert hashes(spark, config, TABLE) == expected
    run_nights(spark, config, "item_neighbours", [LAST], again=True)
    assert hashes(spark, config, TABLE) == expected
