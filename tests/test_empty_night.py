"""A day on which the shop is closed: its log is empty, and the night is run all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.asked import the_night
from nightrank.cli import run_job
from nightrank.errors import ContractError
from nightrank.runner import run_stage
from nightrank.stages import STAGES
from nightrank.storage import read_table
from nights import BULK_UNTIL, LAST, Lake, copy_of, loaded


def closed_shop(lake: Lake, folder: Path) -> Path:
    """The settings of the lake as it was before LAST, whose log is empty but for the catalogue."""
    logs = folder / "logs" / str(LAST)
    logs.mkdir(parents=True)
    for name in ("events", "queries"):
        (logs / f"{name}.ndjson").touch()
    source = {
        "events": f"{folder}/logs/{{run_date}}/events.ndjson",
        "searches": f"{folder}/logs/{{run_date}}/queries.ndjson",
        "allow_empty": True,
    }
    # Nobody came: that is no odd delivery either.
    return copy_of(lake, folder, before=True, source=source, deliveries={"fewer": 1.0})


def test_a_night_on_which_nobody_came_is_run_where_the_shop_says_so(
    spark: SparkSession, lake: Lake, tmp_path: Path
) -> None:
    config = loaded(path := closed_shop(lake, tmp_path))
    assert run_job("nightly", ["--config", str(path), "--run-date", str(LAST)]) == 0
    assert read_table(spark, config.lake, tables.EVENTS, LAST, LAST, accepted_only=False).isEmpty()
    before, after = (
        {row.user_id for row in read_table(spark, config.lake, tables.RERANK_WEIGHTS, night, night).collect()}
        for night in (BULK_UNTIL, LAST)
    )
    assert after == before
    assert "anonymous" in after


def test_elsewhere_it_is_refused(spark: SparkSession, lake: Lake, tmp_path: Path) -> None:
    config = loaded(closed_shop(lake, tmp_path))
    config = config.model_copy(update={"source": config.source.model_copy(update={"allow_empty": False})})
    events = next(stage for stage in STAGES if stage.name == "events")
    with pytest.raises(ContractError, match="or set source"):
        run_stage(spark, config, events, the_night(spark, config, LAST))
