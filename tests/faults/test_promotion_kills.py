"""A night that is killed between alias, ledger and rows: run again, all three name the same ranker."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from pyspark.sql import SparkSession

from forked import KILLED, fault, fork
from nightrank import tables
from nightrank.config import Config
from nightrank.models.registry import CHAMPION
from nightrank.runner import run_nights
from nights import LAST, Lake, copy_of, loaded, rows_of


@pytest.fixture
def eager(lake: Lake, tmp_path: Path) -> Config:
    """A copy of the lake whose challenger is promoted whatever it is worth."""
    promotions = {"margin": 1.0, "least_gain": -1.0, "bootstrap": 50}
    return loaded(copy_of(lake, tmp_path, promotions=promotions))


def named(spark: SparkSession, config: Config) -> dict[str, str | None]:
    """Which ranker the ledger, the rows and the alias name."""
    (ledger,) = rows_of(spark, config, tables.PROMOTIONS, LAST).collect()
    (rows,) = rows_of(spark, config, tables.RERANK_WEIGHTS, LAST).select("ranker_id").distinct().collect()
    client = mlflow.MlflowClient(config.mlflow.tracking_uri, config.mlflow.tracking_uri)
    alias = client.get_model_version_by_alias(config.mlflow.model_name, CHAMPION).tags["ranker_id"]
    return {"ledger": ledger.live_id, "rows": rows.ranker_id, "alias": alias}


@pytest.mark.parametrize(
    ("point", "stage"),
    [
        ("committed", "promotions"),
        pytest.param("built", "promotions", marks=pytest.mark.long),
        pytest.param("agreed", "promotions", marks=pytest.mark.long),
        pytest.param("built", "rerank_weights", marks=pytest.mark.long),
        pytest.param("committed", "rerank_weights", marks=pytest.mark.long),
    ],
)
def test_killed_between_alias_ledger_and_rows_the_rerun_has_all_three_agree(
    spark: SparkSession, eager: Config, point: str, stage: str
) -> None:
    def night() -> None:
        for name in ("promotions", "rerank_weights"):
            run_nights(spark, eager, name, [LAST])

    assert fork(night, **fault(point, stage)).ended() == KILLED
    night()
    (ledger,) = rows_of(spark, eager, tables.PROMOTIONS, LAST).collect()
    assert ledger.promoted
    assert named(spark, eager) == dict.fromkeys(("ledger", "rows", "alias"), ledger.challenger_id)
