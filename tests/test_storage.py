"""Tables by path and by name in a catalog, old nights thrown away, and readers who come in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml
from pyspark.sql import DataFrame, SparkSession

from nightrank import tables
from nightrank.cleaning import clean
from nightrank.cli import main
from nightrank.config import Config
from nightrank.errors import ConfigError, ContractError, TryAgainError
from nightrank.sections import LakeConfig
from nightrank.storage import address, commits_of, nights_of, read_table, replace_night, version_of

TABLE = tables.SEGMENTS
LAST = date(2026, 3, 31)


@pytest.fixture(params=["path", "name"])
def lake(request: pytest.FixtureRequest, spark: SparkSession, tmp_path: Path) -> Iterator[LakeConfig]:
    if request.param == "path":
        yield LakeConfig(path=str(tmp_path / "lake"))
        return
    schema = f"shop_{abs(hash(tmp_path)):x}"
    spark.sql(f"CREATE SCHEMA {schema} LOCATION '{tmp_path / 'warehouse'}'")
    yield LakeConfig(path=str(tmp_path / "lake"), schema_name=schema)
    spark.sql(f"DROP SCHEMA {schema} CASCADE")


def segments(spark: SparkSession, *names: str) -> DataFrame:
    rows = [(name, None, 1, [], [], []) for name in names]
    return spark.createDataFrame(rows, TABLE.columns)


def names_of(spark: SparkSession, lake: LakeConfig, night: date) -> list[str]:
    return sorted(row.segment for row in read_table(spark, lake, TABLE, night, night).collect())


def test_a_night_is_replaced_alone_by_path_and_by_name(spark: SparkSession, lake: LakeConfig) -> None:
    before = LAST - timedelta(days=1)
    assert nights_of(spark, lake, TABLE) == ()
    assert version_of(spark, lake, TABLE) is None
    assert read_table(spark, lake, TABLE, before, LAST).isEmpty()
    assert replace_night(segments(spark, "a", "b"), lake, TABLE, before, before, {"by": "one"}, fencing=1) == 2
    assert replace_night(segments(spark, "c"), lake, TABLE, LAST, LAST, {"by": "two"}, fencing=2) == 1
    assert replace_night(segments(spark, "d", "e"), lake, TABLE, LAST, LAST, {"by": "three"}, fencing=2) == 2
    assert (names_of(spark, lake, before), names_of(spark, lake, LAST)) == (["a", "b"], ["d", "e"])
    assert [(c.last, c.rows, c.note["by"], c.note["fencing"]) for c in commits_of(spark, lake, TABLE)] == [
        (LAST, 2, "three", 2), (LAST, 1, "two", 2), (before, 2, "one", 1),
    ]  # fmt: skip
    with pytest.raises(TryAgainError, match="lease 1 has passed to lease 2"):
        replace_night(segments(spark, "late"), lake, TABLE, LAST, LAST, fencing=1)
    assert names_of(spark, lake, LAST) == ["d", "e"]


def test_an_empty_night_is_undone_by_path_and_by_name(spark: SparkSession, lake: LakeConfig) -> None:
    row = (LAST, "r2", "r1", "r1", "c1", False, "worse", 1, [])
    replace_night(spark.createDataFrame([row], tables.PROMOTIONS.schema), lake, tables.PROMOTIONS, LAST, LAST)
    nothing = spark.createDataFrame([], tables.PROMOTIONS.schema)
    with pytest.raises(ContractError, match="expected accepted rows, found none"):
        replace_night(nothing, lake, tables.PROMOTIONS, LAST, LAST)
    assert read_table(spark, lake, tables.PROMOTIONS, LAST, LAST).count() == 1


def test_a_schema_that_is_not_there_is_78_and_so_is_a_name_that_is_none(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match="found 'nowhere_at_all'"):
        replace_night(segments(spark, "a"), LakeConfig(schema_name="nowhere_at_all"), TABLE, LAST, LAST)
    for spoilt in ("shop; DROP TABLE x", "a.b.c", "../../etc", "`x`", ""):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({"lake": {"schema_name": spoilt}}))
        assert main(["tables", "--config", str(path)]) == 78, spoilt
    assert "lake.schema_name" in caplog.text


def test_clean_keeps_what_a_table_says_and_changes_no_kept_row(spark: SparkSession, lake: LakeConfig) -> None:
    config = Config(lake=lake)
    assert TABLE.keep_nights == 35
    for days in (0, 34, 35, 60):
        night = LAST - timedelta(days=days)
        for part in ("a", "b"):
            replace_night(segments(spark, part, f"{days} nights old"), lake, TABLE, night, night)
    kept = (LAST - timedelta(days=34), LAST)
    before = [names_of(spark, lake, night) for night in kept]
    assert clean(spark, config, dry_run=True).splitlines() == [
        f"segments           2 nights kept, 2 deleted (dry run: nothing was done to {address(lake, TABLE)})"
    ]
    assert len(nights_of(spark, lake, TABLE)) == 4
    assert clean(spark, config).startswith("segments           2 nights kept, 2 deleted, ")
    assert nights_of(spark, lake, TABLE) == kept
    assert [names_of(spark, lake, night) for night in kept] == before
    # What a night was made from is still told by the commit that made it.
    assert {commit.last for commit in commits_of(spark, lake, TABLE)} >= set(kept)
