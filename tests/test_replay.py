"""A quarantined night is taken through a mended rule: as if the rule had never been another."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from nightrank import tables
from nightrank.asked import the_night
from nightrank.cli import main
from nightrank.runner import run_stage
from nightrank.stages import STAGES
from nights import LAST, Lake, copy_of, hashes, loaded, rows_of

EVENTS = next(stage for stage in STAGES if stage.table is tables.EVENTS)


@pytest.mark.long
def test_a_night_under_a_mended_rule(
    spark: SparkSession, lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strict = loaded(copy_of(lake, tmp_path / "lake", events={"actions": ["click", "cart", "buy", "like", "hide"]}))
    run_stage(spark, strict, EVENTS, the_night(spark, strict, LAST))
    found = rows_of(spark, lake.config, tables.EVENTS, LAST)
    counts = found.agg(
        F.count_if("accepted").alias("good"),
        F.count_if(F.col("accepted") & (F.col("action") == "view")).alias("good_views"),
        F.count_if(F.col("action") == "view").alias("views"),  # a bot's too: it looks and does nothing else
    ).collect()[0]
    assert counts.views > counts.good_views > 0

    path = tmp_path / "lake" / "config.yaml"
    mended = yaml.safe_load(path.read_text())
    del mended["events"]
    path.write_text(yaml.safe_dump(mended))
    assert main(["replay", "prepare", "--run-date", str(LAST), "--config", str(path)]) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["events", "accepted", str(counts.good - counts.good_views), "->", str(counts.good)] in said
    assert ["events", "unknown_action", str(counts.views), "->", "0"] in said
    prepared = {stage.name for stage in STAGES if stage.job == "prepare"}
    wanted = {key: value for key, value in lake.hashes.items() if key[0] in prepared}
    assert {key: value for key, value in hashes(spark, loaded(path)).items() if key[0] in prepared} == wanted
