"""Files of a table that are not what was written: all found, said in one line with the exit code 65."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlparse

import pytest
from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.cli import main
from nightrank.config import Config
from nightrank.contract import Table
from nightrank.errors import NightrankError
from nightrank.explaining import explained
from nightrank.hashing import content_hash
from nightrank.sections import LakeConfig
from nightrank.storage import read_table, replace_night, version_of
from nights import LAST, Lake, copy_of, hashes, loaded

NIGHT = date(2026, 1, 9)
FLIPS = 100


@pytest.fixture
def two_nights(spark: SparkSession, tmp_path: Path) -> LakeConfig:
    """A table of two nights with one data file each."""
    lake = LakeConfig(path=str(tmp_path / "lake"))
    for number in range(2):
        rows = [(f"segment:{n}", f"t{n}", n, [f"brand:{n}"], [float(n)], [f"i{n}"]) for n in range(50)]
        frame = spark.createDataFrame(rows, tables.SEGMENTS.columns).coalesce(1)
        replace_night(frame, lake, tables.SEGMENTS, *[NIGHT + timedelta(days=number)] * 2)
    return lake


@pytest.fixture(scope="module")
def own_file(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of a copy of the shared lake, to be spoilt."""
    return copy_of(lake, tmp_path_factory.mktemp("spoilt"))


@pytest.fixture(scope="module")
def own(own_file: Path) -> Config:
    return loaded(own_file)


def data_file(spark: SparkSession, lake: LakeConfig, table: Table = tables.SEGMENTS, night: date = NIGHT) -> Path:
    """The greatest file that a night of a table is read from."""
    files = [Path(urlparse(file).path) for file in read_table(spark, lake, table, night, night).inputFiles()]
    return max(files, key=lambda file: file.stat().st_size)


def read_all(spark: SparkSession, two_nights: LakeConfig) -> str:
    frame = read_table(spark, two_nights, tables.SEGMENTS, NIGHT, NIGHT)
    return content_hash(frame, tables.SEGMENTS)


def refusal(spark: SparkSession, two_nights: LakeConfig) -> NightrankError | None:
    try:
        read_all(spark, two_nights)
    except Exception as error:
        return explained(error, "Reading")
    return None


def test_flipped_bits_in_a_hundred_places_are_all_found(spark: SparkSession, two_nights: LakeConfig) -> None:
    file = data_file(spark, two_nights)
    whole = file.read_bytes()
    at = random.Random(7)
    missed = []
    for place in sorted(at.sample(range(len(whole)), FLIPS)):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << at.randrange(8)
        file.write_bytes(spoilt)
        found = refusal(spark, two_nights)
        if found is None or found.exit_code != 65:
            missed.append((place, str(found)))
    file.write_bytes(whole)
    assert refusal(spark, two_nights) is None
    assert missed == []


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


@pytest.mark.parametrize("spoil", [emptied, cut_short, Path.unlink])
@pytest.mark.parametrize("with_sum", [True, False], ids=["with_its_checksum_file", "without"])
def test_a_data_file_that_is_empty_cut_or_gone_is_found_and_named(
    spark: SparkSession, two_nights: LakeConfig, spoil: Callable[[Path], None], with_sum: bool
) -> None:
    file = data_file(spark, two_nights)
    spoil(file)
    if not with_sum:
        file.with_name(f".{file.name}.crc").unlink()
    found = refusal(spark, two_nights)
    assert found is not None
    assert found.exit_code == 65
    assert file.name in str(found)
    assert "Restore that file" in str(found)
    assert "\n" not in str(found)


def test_a_log_entry_that_is_cut_is_found(spark: SparkSession, two_nights: LakeConfig) -> None:
    # Delta remembers what it has read of a table's log.
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    log = sorted(Path(two_nights.path, "segments", "_delta_log").glob("*.json"))[-1]
    cut_short(log)
    found = refusal(spark, two_nights)
    assert found is not None
    assert "RESTORE TABLE" in str(found)


def test_a_night_on_a_spoilt_table_is_65_in_one_line_and_nothing_is_written(
    spark: SparkSession, own: Config, own_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    searches = data_file(spark, own.lake, tables.SEARCHES, LAST)
    whole = searches.read_bytes()
    searches.write_bytes(whole[: len(whole) // 2])
    before = version_of(spark, own.lake, tables.QUERY_CLASSES)
    run = ["run", "query_classes", "--config", str(own_file), "--run-date", str(LAST), "--again"]
    caplog.clear()
    code = main(run)
    searches.write_bytes(whole)
    assert code == 65
    (said,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert f"Stage 'query_classes' of night {LAST} failed: expected files as they were written" in said
    assert searches.name in said
    assert "\n" not in said
    assert version_of(spark, own.lake, tables.QUERY_CLASSES) == before
    assert main(run) == 0


def not_a_number(content: bytes) -> bytes:
    from safetensors.numpy import load, save

    tensors = load(content)
    name = sorted(tensors)[0]
    tensors[name] = tensors[name] * float("nan")
    return bytes(save(tensors))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        not_a_number,
        lambda _: pickle.dumps({"weights": [1.0]}),
    ],
    ids=["cut", "nan", "a_renamed_pickle"],
)
def test_a_spoilt_ranker_is_65_and_the_champion_s_rows_stand(
    spark: SparkSession, lake: Lake, own: Config, own_file: Path, spoil: Callable[[bytes], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    runs = read_table(spark, own.lake, tables.RANKER_RUNS, LAST, LAST).collect()
    artefact = Path(own.lake.path, "artefacts", f"{runs[0].ranker_id}.safetensors")
    whole = artefact.read_bytes()
    artefact.write_bytes(spoil(whole))
    code = main(["run", "rerank", "--config", str(own_file), "--run-date", str(LAST), "--again"])
    artefact.write_bytes(whole)
    assert code == 65
    assert f"expected sha256 {runs[0].ranker_id}" in caplog.text
    live = (tables.GATES, tables.EVALUATIONS, tables.PROMOTIONS, tables.RERANK_WEIGHTS)
    expected = {key: value for key, value in lake.hashes.items() if key[0] in {t.name for t in live}}
    assert hashes(spark, own, live) == expected
