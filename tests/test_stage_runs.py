"""How each stage of each night was made is kept, also of a night that was killed or that failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank.errors import BugError
from nightrank.hashing import content_hash
from nightrank.resuming import settings_hash
from nightrank.runner import run_nights
from nightrank.stage_runs import STAGE_RUNS
from nightrank.stages import STAGES
from nightrank.storage import version_of
from nightrank.tables import USER_PROFILES
from nights import BULK_UNTIL, LAST, Lake, loaded, rows_of, write_config


def test_a_night_has_a_row_a_stage_with_what_it_was_made_from(spark: SparkSession, lake: Lake) -> None:
    found = {row.stage: row for row in rows_of(spark, lake.config, STAGE_RUNS, LAST).collect()}
    wanted = [stage for stage in STAGES if stage.wanted(lake.config)]
    assert sorted(found) == sorted(stage.name for stage in wanted)
    for stage in wanted:
        row = found[stage.name]
        assert (row.job, row.status, row.config_hash) == (stage.job, "stands", settings_hash(lake.config))
        stands = rows_of(spark, lake.config, stage.table, LAST)
        assert (row.rows, row.content_hash) == (stands.count(), content_hash(stands, stage.table))
        assert set(row.inputs) == {read.parameter for read in stage.reads}
        assert row.seconds > 0
    profiles = found["user_profiles"]
    assert profiles.inputs["events"] == str(found["events"].table_version)
    assert profiles.table_version <= version_of(spark, lake.config.lake, USER_PROFILES)


@pytest.mark.long
def test_a_failed_stage_has_a_row_that_says_why_and_a_killed_night_is_made_up_for(
    spark: SparkSession, shop: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = loaded(write_config(tmp_path, shop, tiny_bert))
    monkeypatch.setenv("NIGHTRANK_TEST_FAULTS", "1")
    monkeypatch.setenv("NIGHTRANK_FAULT", "built:events:raise")
    with pytest.raises(BugError, match=r"Stage 'events' of night 2026-01-09 failed: RuntimeError, at faults\.py"):
        run_nights(spark, config, "prepare", [BULK_UNTIL])
    rows = {row.stage: row for row in rows_of(spark, config, STAGE_RUNS, BULK_UNTIL).collect()}
    assert {stage: row.status for stage, row in rows.items()} == {"items": "stands", "events": "failed"}
    assert rows["events"].rows is None
    assert rows["events"].reason.startswith("Stage 'events' of night 2026-01-09 failed: RuntimeError")
    monkeypatch.delenv("NIGHTRANK_FAULT")
    # A run that was killed had written the table `events`, but no row of it: as here, where one stage was run alone.
    monkeypatch.setattr("nightrank.runner.note_stages", lambda *_: {})
    run_nights(spark, config, "events", [BULK_UNTIL])
    monkeypatch.undo()
    run_nights(spark, config, "events", [BULK_UNTIL])
    row = rows_of(spark, config, STAGE_RUNS, BULK_UNTIL).where("stage = 'events'").collect()[0]
    assert (row.status, row.reason, row.seconds) == ("stands", None, None)
    assert row.rows > 100
