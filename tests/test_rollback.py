"""A rollback moves alias, ledger, tokens and rows to what an earlier night had; a registry that is down, nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pytest
import yaml
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank import rollback, tables
from nightrank.cli import main
from nightrank.config import Config
from nightrank.contract import Table
from nightrank.errors import TryAgainError
from nightrank.hashing import content_hash
from nightrank.models.artefact import Ranker
from nightrank.models.feature_names import ENGINE_FEATURES, SHOPPER_FEATURES
from nightrank.models.registry import CHAMPION, Training, keep_ranker, log_ranker, point_alias
from nightrank.nights import ordinary_night
from nightrank.runner import run_stage
from nightrank.stages import STAGES
from nightrank.steps.rankers import champion_id
from nightrank.storage import read_table, replace_night

NIGHTS = [date(2026, 1, 8), date(2026, 1, 9), date(2026, 1, 10)]
FIRST, SECOND, LAST = NIGHTS
LIVE = (tables.PROMOTIONS, tables.ITEM_TOKENS, tables.RERANK_WEIGHTS)


@dataclass(frozen=True)
class Lake:
    """A lake of three nights, each with a ranker of its own and promoted; no tokens of the first are left."""

    config: Config
    path: Path
    rankers: tuple[str, ...]


def ranker(night: date) -> Ranker:
    return Ranker(
        code_version=f"c{night.day}",
        encoder_version="e1",
        tower_night=night,
        projection=np.eye(4, dtype=np.float32),
        codebook=np.stack([np.eye(4)[:2], np.eye(4)[2:]]).astype(np.float32),
        a=float(night.day),
        shopper_coefficients=np.arange(float(len(SHOPPER_FEATURES))),
        engine_coefficients=np.ones((3, len(ENGINE_FEATURES))),
        mean_shopper=np.zeros(4, np.float32),
        recent=20,
        recent_decay=0.9,
    )


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("rollback")
    values = {
        "lake": {"path": f"{folder}/lake"},
        "mlflow": {"tracking_uri": f"sqlite:///{folder}/lake/mlflow.db", "timeout_seconds": 5},
        "spark": {"master": "local[2,4]", "local_settings": True, "shuffle_partitions": 2},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    config = Config.model_validate(values)
    ids = []
    for night in NIGHTS:
        made = ranker(night)
        ids.append(keep_ranker(config, made))
        log_ranker(config, made, ids[-1], Training(night, {}, [], {}, {}))
    point_alias(config, CHAMPION, ids[-1], LAST)
    for table, rows in _rows(ids).items():
        _write(spark, config, {t.name: t for t in tables.TABLES}[table], rows)
    return Lake(config, path, tuple(ids))


def _rows(ids: list[str]) -> dict[str, list[tuple]]:
    """Every table that a rollback reads. Shopper u2 is new on the second night, item i2 on the last."""
    at = datetime(2026, 1, 8, tzinfo=UTC)
    items = [
        (LAST, i, f"Thing {i}", *[None] * 14, f"thing {i}", ["brand:x"], f"h{i}", f"h{i}", None, None, [], True)
        for i in ("i1", "i2")
    ]
    runs = [
        (n, i, "trained", None, f"c{n.day}", "e1", n, 9, 9, 1, {}, {}, f"runs:/run/{i}.safetensors", "run", "1")
        for n, i in zip(NIGHTS, ids, strict=True)
    ]
    ledger = [
        (n, i, ids[k - 1] if k else None, i, f"c{n.day}", True, "better", 1, [])
        for k, (n, i) in enumerate(zip(NIGHTS, ids, strict=True))
    ]
    weights = [
        (n, u, {"category": 1.0}, {"category": 2.0}, {f"code:c{n.day}:0:1": 0.5}, {}, None, 3, None,
         f"c{n.day}", i, "nightrank", at + timedelta(days=n.day))
        for n, i in zip(NIGHTS, ids, strict=True) for u in (["u1"] if n == FIRST else ["u1", "u2"])
    ]  # fmt: skip
    return {
        "items": items,
        "item_embeddings": [(LAST, f"h{i}", "e1", [1.0, 0.0, 0.0, float(n)], 4, 0) for n, i in enumerate(("i1", "i2"))],
        "item_neighbours": [(LAST, "i1", "i1", 5.0, LAST, 5.0, 0)],
        "ranker_runs": runs,
        "promotions": ledger,
        "item_tokens": [(n, "i1", f"c{n.day}", [f"code:c{n.day}:0:1"], 0.1, [1, 2]) for n in NIGHTS],
        "rerank_weights": weights,
    }


def _write(spark: SparkSession, config: Config, table: Table, rows: list[tuple]) -> None:
    frame = spark.createDataFrame(rows, table.schema)
    replace_night(frame, config.lake, table, min(row[0] for row in rows), LAST)


def night_of(spark: SparkSession, lake: Lake, table: Table, night: date) -> DataFrame:
    return read_table(spark, lake.config.lake, table, night, night)


def hashes(spark: SparkSession, lake: Lake, night: date) -> list[str]:
    return [content_hash(night_of(spark, lake, table, night), table) for table in LIVE]


def alias(lake: Lake) -> str:
    uri = lake.config.mlflow.tracking_uri
    return str(mlflow.MlflowClient(uri, uri).get_model_version_by_alias("nightrank-ranker", CHAMPION).tags["ranker_id"])


def down(lake: Lake) -> Config:
    section = lake.config.mlflow.model_copy(update={"tracking_uri": "http://127.0.0.1:9", "timeout_seconds": 4})
    return lake.config.model_copy(update={"mlflow": section})


def test_a_night_that_the_ledger_does_not_have_is_64(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["rollback", "--to", "2026-01-07", "--config", str(lake.path)]) == 64
    assert "expected a night of the ledger 'promotions', found 3 nights, 2026-01-08 to 2026-01-10" in caplog.text
    assert main(["rollback", "--to", "yesterday", "--config", str(lake.path)]) == 64


def test_a_registry_that_is_down_keeps_the_champion(spark: SparkSession, lake: Lake) -> None:
    before = hashes(spark, lake, LAST)
    with pytest.raises(TryAgainError):
        rollback.roll_back(spark, down(lake), FIRST)
    stage = next(stage for stage in STAGES if stage.name == "promotions")
    promoted = night_of(spark, lake, tables.PROMOTIONS, LAST).withColumn("reason", F.lit("tonight's")).drop("run_date")
    with pytest.raises(TryAgainError):
        run_stage(spark, down(lake), replace(stage, build=lambda **_: promoted), ordinary_night(LAST, ()))
    assert hashes(spark, lake, LAST) == before
    assert alias(lake) == lake.rankers[-1]
    kept = promoted.withColumn("promoted", F.lit(False))
    run_stage(spark, down(lake), replace(stage, build=lambda **_: kept), ordinary_night(LAST, ()))
    run_stage(spark, lake.config, replace(stage, build=lambda **_: promoted), ordinary_night(LAST, ()))


@pytest.mark.long
def test_a_rollback_cut_off_anywhere_is_repaired_by_running_it_again(
    spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    untouched = [hashes(spark, lake, night) for night in (FIRST, SECOND)]
    for step in ("_rewrite_ledger", "_publish_tokens", "_publish_rows"):
        with monkeypatch.context() as patched:
            patched.setattr(rollback, step, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                rollback.roll_back(spark, lake.config, FIRST)
    started = time.monotonic()
    assert main(["rollback", "--to", str(FIRST), "--config", str(lake.path)]) == 0
    assert time.monotonic() - started < 60
    assert f"Rolled back to night {FIRST}: ranker {lake.rankers[0]} is the champion, 1 rows" in capsys.readouterr().out
    once = hashes(spark, lake, LAST)
    assert main(["rollback", "--to", str(FIRST), "--config", str(lake.path)]) == 0
    assert hashes(spark, lake, LAST) == once
    assert [hashes(spark, lake, night) for night in (FIRST, SECOND)] == untouched


def test_after_it_alias_ledger_tokens_and_rows_name_the_same_ranker(spark: SparkSession, lake: Lake) -> None:
    rollback.roll_back(spark, lake.config, FIRST)
    ledger = night_of(spark, lake, tables.PROMOTIONS, LAST).collect()[0]
    assert (ledger.live_id, ledger.live_code_version, ledger.promoted) == (lake.rankers[0], "c8", True)
    assert ledger.reason == f"rolled back to {FIRST}"
    assert (ledger.challenger_id, ledger.champion_id) == (lake.rankers[2], lake.rankers[1])
    whole = read_table(spark, lake.config.lake, tables.PROMOTIONS, FIRST, LAST)
    assert (champion_id(whole), alias(lake)) == (lake.rankers[0], lake.rankers[0])
    rows = night_of(spark, lake, tables.RERANK_WEIGHTS, LAST).collect()
    assert [(r.user_id, r.ranker_id, r.code_version, str(r.valid_until)) for r in rows] == [
        ("u1", lake.rankers[0], "c8", "2026-01-18 00:00:00")
    ]
    tokens = night_of(spark, lake, tables.ITEM_TOKENS, LAST).select("code_version", "item_id").collect()
    assert sorted(map(tuple, tokens)) == [("c10", "i1"), ("c8", "i1"), ("c8", "i2")]


def test_rows_or_a_ranker_that_are_gone_are_65(
    spark: SparkSession, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Path(lake.config.lake.path, "artefacts", f"{lake.rankers[1]}.safetensors")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + b"\7")
    before = hashes(spark, lake, LAST)
    assert main(["rollback", "--to", str(SECOND), "--config", str(lake.path)]) == 65
    assert f"expected sha256 {lake.rankers[1]}" in caplog.text
    kept.write_bytes(whole)
    others = night_of(spark, lake, tables.RERANK_WEIGHTS, SECOND).withColumn("ranker_id", F.lit("another"))
    replace_night(others, lake.config.lake, tables.RERANK_WEIGHTS, SECOND, SECOND)
    assert main(["rollback", "--to", str(SECOND), "--config", str(lake.path)]) == 65
    assert "found another. Name a night with --to whose rows are kept" in caplog.text
    assert (hashes(spark, lake, LAST), alias(lake)) == (before, lake.rankers[0])
