"""Files of a table that are not what was written: all found, said in one line with the exit code 65."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.errors import NightrankError
from nightrank.explaining import explained
from nightrank.hashing import content_hash
from nightrank.sections import LakeConfig
from nightrank.storage import read_table, replace_night

NIGHT = date(2026, 1, 9)
FLIPS = 100


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> LakeConfig:
    """A table of two nights with one data file each."""
    lake = LakeConfig(path=str(tmp_path / "lake"))
    for number in range(2):
        rows = [(f"segment:{n}", f"t{n}", n, [f"brand:{n}"], [float(n)], [f"i{n}"]) for n in range(50)]
        frame = spark.createDataFrame(rows, tables.SEGMENTS.columns).coalesce(1)
        replace_night(frame, lake, tables.SEGMENTS, *[NIGHT + timedelta(days=number)] * 2)
    return lake


def data_file(lake: LakeConfig, night: date = NIGHT) -> Path:
    (file,) = Path(lake.path, "segments", f"run_date={night}").glob("*.parquet")
    return file


def read_all(spark: SparkSession, lake: LakeConfig) -> str:
    # Delta remembers what it has read of a table's log, and the file system's answers.
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    frame = read_table(spark, lake, tables.SEGMENTS, NIGHT, NIGHT + timedelta(days=1))
    return content_hash(frame, tables.SEGMENTS)


def refusal(spark: SparkSession, lake: LakeConfig) -> NightrankError | None:
    try:
        read_all(spark, lake)
    except Exception as error:
        return explained(error, "Reading")
    return None


def test_flipped_bits_in_a_hundred_places_are_all_found(spark: SparkSession, lake: LakeConfig) -> None:
    file = data_file(lake)
    whole = file.read_bytes()
    at = random.Random(7)
    missed = []
    for place in sorted(at.sample(range(len(whole)), FLIPS)):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << at.randrange(8)
        file.write_bytes(spoilt)
        found = refusal(spark, lake)
        if found is None or found.exit_code != 65:
            missed.append((place, str(found)))
    file.write_bytes(whole)
    assert refusal(spark, lake) is None
    assert missed == []


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


@pytest.mark.parametrize("spoil", [emptied, cut_short, Path.unlink])
@pytest.mark.parametrize("with_sum", [True, False], ids=["with_its_checksum_file", "without"])
def test_a_data_file_that_is_empty_cut_or_gone_is_found_and_named(
    spark: SparkSession, lake: LakeConfig, spoil: Callable[[Path], None], with_sum: bool
) -> None:
    file = data_file(lake)
    spoil(file)
    if not with_sum:
        file.with_name(f".{file.name}.crc").unlink()
    found = refusal(spark, lake)
    assert found is not None
    assert found.exit_code == 65
    assert file.name in str(found)
    assert "Restore that file" in str(found)
    assert "\n" not in str(found)


def test_a_log_entry_that_is_cut_is_found(spark: SparkSession, lake: LakeConfig) -> None:
    log = sorted(Path(lake.path, "segments", "_delta_log").glob("*.json"))[-1]
    cut_short(log)
    found = refusal(spark, lake)
    assert found is not None
    assert "RESTORE TABLE" in str(found)
