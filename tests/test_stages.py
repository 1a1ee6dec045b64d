"""Every stage on a small shop: contracts, twice == once, other nights untouched, whatever the layout of the cluster."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.asked import nights_to_run, the_night
from nightrank.config import Config
from nightrank.runner import run_stage
from nightrank.stages import STAGES
from nightrank.storage import nights_of
from nights import BULK_UNTIL, LAST, Lake, hashes, loaded, rows_of, write_config

BY_NAME = {stage.name: stage for stage in STAGES}


@pytest.mark.parametrize("name", [stage.name for stage in STAGES if stage.wanted(Config())])
def test_a_stage_keeps_its_contract(spark: SparkSession, lake: Lake, name: str) -> None:
    table = BY_NAME[name].table
    rows = rows_of(spark, lake.config, table, LAST)
    assert rows.schema.simpleString() == table.schema.simpleString()
    good = rows.where("accepted") if "accepted" in table.partitions else rows
    assert good.groupBy(*table.key).count().where("count > 1").isEmpty()
    assert nights_of(spark, lake.config.lake, table)[-1] <= LAST
    if not table.may_be_empty:
        assert not good.isEmpty()


def test_no_number_in_the_lake_is_not_finite(spark: SparkSession, lake: Lake) -> None:
    for table in tables.TABLES:
        doubles = [f.name for f in table.columns.fields if f.dataType.simpleString() in {"double", "float"}]
        for name in doubles:
            odd = rows_of(spark, lake.config, table, LAST).where(f"isnan({name}) or abs({name}) = double('Infinity')")
            assert odd.isEmpty(), f"{table.name}.{name}"


@pytest.mark.long  # its parts are held by the tests of folding, item_neighbours and user_profiles
def test_three_nights_are_one_rebuild_of_them_to_the_bit(
    spark: SparkSession, shop: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    last = BULK_UNTIL + timedelta(days=3)
    stepwise = loaded(write_config(tmp_path / "stepwise", shop, tiny_bert, calendar={"nights": 3}))
    at_once = loaded(
        write_config(tmp_path / "at_once", shop, tiny_bert, calendar={"bulk_until": str(last), "nights": 0})
    )
    exact = (tables.USER_PROFILES, tables.ITEM_NEIGHBOURS)
    for config in (stepwise, at_once):
        for night in nights_to_run(spark, config, None):
            for name in ("items", "events", "user_profiles", "item_neighbours"):
                run_stage(spark, config, BY_NAME[name], the_night(spark, config, night))
    found = [hashes(spark, config, exact) for config in (stepwise, at_once)]
    for table in exact:
        key = (table.name, str(last))
        assert found[0][key] == found[1][key], table.name


def test_running_a_night_leaves_the_others_alone(spark: SparkSession, lake: Lake) -> None:
    before = {key: value for key, value in lake.hashes.items() if key[1] != str(LAST)}
    after = {key: value for key, value in hashes(spark, lake.config).items() if key[1] != str(LAST)}
    assert after == before
