"""The command line at its boundary: exit codes, one-line messages, and what stands afterwards."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from nightrank import tables
from nightrank.cli import main, run_job
from nightrank.shop.ubi_log import write_shop
from nightrank.storage import nights_of, read_table
from nights import BULK_UNTIL, LAST, Lake, copy_of, loaded, rows_of, write_config

NEXT = LAST + timedelta(days=1)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    folder = tmp_path_factory.mktemp("boundary")
    shop = loaded(write_config(folder, folder / "shop", tiny_bert, shop={"shoppers": 40, "items": 60})).shop
    write_shop(shop, folder / "shop")
    return folder / "shop"


@pytest.fixture
def config(tmp_path: Path, logs: Path, tiny_bert: Path) -> Path:
    """A config over a copy of the logs, to be spoilt."""
    shutil.copytree(logs, tmp_path / "shop")
    return write_config(tmp_path, tmp_path / "shop", tiny_bert)


def changed(path: Path, section: str, **values: object) -> str:
    settings = yaml.safe_load(path.read_text())
    settings[section] = {**settings.get(section, {}), **values}
    path.write_text(yaml.safe_dump(settings))
    return str(path)


def test_a_missing_path_is_66(config: Path, caplog: pytest.LogCaptureFixture, spark: SparkSession) -> None:
    assert main(["run", "items", "--config", changed(config, "source", items="/nowhere/{run_date}.jsonl")]) == 66
    assert "/nowhere" in caplog.text


def test_an_empty_folder_is_65(config: Path, tmp_path: Path, spark: SparkSession) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["run", "items", "--config", changed(config, "source", items=str(tmp_path / "empty"))]) == 65


def test_a_wrong_column_type_is_65_and_named(
    config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, spark: SparkSession
) -> None:
    items = spark.createDataFrame([("i1", "Thing", "cheap")], "item_id string, title string, price string")
    items.write.parquet(str(tmp_path / "wrong"))
    path = changed(config, "source", convention="canonical", format="parquet", items=str(tmp_path / "wrong"))
    assert main(["run", "items", "--config", path]) == 65
    assert "price" in caplog.text
    assert "double" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "events: {rows_per_second: 3}",
        "evnets: {}",
        "events: {longest_id: many}",
        "source: {search_lists: '('}",
        "lake: !!python/object/apply:os.system ['true']",
        "[1, 2]",
        "lake: {path: [",
    ],
)
def test_a_config_that_cannot_be_used_is_78(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    assert main(["tables", "--config", str(tmp_path / "bad.yaml")]) == 78


@pytest.mark.parametrize(
    "arguments",
    [[], ["run"], ["run", "nightly"], ["dance", "--config", "x"], ["run", "x", "--config", "y", "--run-date", "1"]],
)
def test_words_that_are_not_known_are_64(arguments: list[str]) -> None:
    assert main(arguments) == 64


def test_a_stage_that_is_not_there_is_64(config: Path) -> None:
    assert main(["run", "dinner", "--config", str(config)]) == 64


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("spark", {"settings": {"spark.sql.files.ignoreCorruptFiles": "true"}}),
        ("spark", {"settings": {"spark.hadoop.parquet.page.verify-checksum.enabled": "false"}}),
        ("spark", {"gpu_amount_per_task": 0.5}),
    ],
)
def test_dangerous_spark_settings_are_78(config: Path, section: str, values: dict) -> None:
    assert main(["run", "items", "--config", changed(config, section, **values)]) == 78


def test_a_night_without_events_is_refused_and_last_night_stands(
    lake: Lake, shop: Path, tmp_path: Path, spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(shop / "logs" / str(NEXT), tmp_path / "logs" / str(NEXT))
    # A page of lines, none of which is an event.
    (tmp_path / "logs" / str(NEXT) / "events.ndjson").write_text('{"action_name": "click"}\nnot json\n')
    names = {"events": "events.ndjson", "searches": "queries.ndjson", "items": "items.jsonl"}
    delivered = {kind: f"{tmp_path}/logs/{{run_date}}/{name}" for kind, name in names.items()}
    config = copy_of(lake, tmp_path, source=delivered)
    assert run_job("prepare", ["--config", str(config), "--run-date", str(NEXT)]) == 65
    assert "expected accepted rows" in caplog.text
    lake_now = loaded(config).lake
    for table in (tables.EVENTS, tables.USER_PROFILES):
        assert nights_of(spark, lake_now, table)[-1] == LAST
    summary = json.loads(Path(lake_now.path, "run_summary.json").read_text())
    assert (summary["status"], summary["stage"], summary["night"]) == ("failed", "events", str(NEXT))
    _told_of_each_night(loaded(config).mlflow.tracking_uri)


def _told_of_each_night(uri: str) -> None:
    """MLflow has a run of each, with what the bulk load was made from."""
    import mlflow

    client = mlflow.MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("nightrank/prepare").experiment_id
    runs = {run.data.tags["night"]: run for run in client.search_runs([experiment])}
    ended = {str(BULK_UNTIL): "FINISHED", str(LAST): "FINISHED", str(NEXT): "FAILED"}
    assert {night: run.info.status for night, run in runs.items()} == ended
    first = runs[str(BULK_UNTIL)]
    assert first.data.metrics["rows/user_profiles"] > 0
    assert first.data.metrics["seconds/events"] > 0
    inputs = {read.dataset.name: read.dataset for read in first.inputs.dataset_inputs}
    assert {"raw_events", "raw_items", "raw_searches", "events", "items"} <= set(inputs)
    assert json.loads(inputs["items"].source)["delta_table_version"] >= 1
    assert [item.path for item in client.list_artifacts(first.info.run_id)] == ["run_summary.json"]


def test_prices_that_are_not_finite_are_quarantined(config: Path, tmp_path: Path, spark: SparkSession) -> None:
    line = '{"item_id": "%s", "title": "Odd thing", "price": %s}\n'
    first = tmp_path / "shop" / "logs" / "2026-01-01" / "items.jsonl"
    first.write_text(first.read_text() + line % ("odd1", "NaN") + line % ("odd2", "1e400") + line % ("fine", "2.5"))
    assert main(["run", "items", "--config", str(config), "--run-date", str(BULK_UNTIL)]) == 0
    rows = read_table(spark, loaded(config).lake, tables.ITEMS, BULK_UNTIL, BULK_UNTIL, accepted_only=False)
    found = {row.item_id: row for row in rows.where("item_id in ('odd1', 'odd2', 'fine')").collect()}
    assert found["fine"].accepted
    for odd in ("odd1", "odd2"):
        assert (found[odd].accepted, found[odd].reasons, found[odd].price) == (False, ["not_finite"], None)


def test_a_night_that_later_ones_stand_on_is_not_run_alone(
    lake: Lake, spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["run", "events", "--config", str(lake.path), "--run-date", str(BULK_UNTIL)]) == 65
    assert f"night {LAST} stands on it" in caplog.text


def test_codes_are_told_by_the_words_of_their_items(
    lake: Lake, spark: SparkSession, capsys: pytest.CaptureFixture
) -> None:
    assert main(["codes", "--config", str(lake.path)]) == 0
    rows = [line.removesuffix("  (crowded)").split() for line in capsys.readouterr().out.splitlines()[1:]]
    row = rows_of(spark, lake.config, tables.RERANK_WEIGHTS, LAST).where("user_id <> 'anonymous'").first()
    held = rows_of(spark, lake.config, tables.ITEM_TOKENS, LAST).where(F.col("code_version") == row.code_version)
    assert sum(int(items) for _, items, *_ in rows) == held.count() * lake.config.ranker_runs.levels
    labels = {token: f" ({' '.join(words)})" if words else "" for token, _, _, *words in rows}
    assert any(labels.values())
    assert main(["show", row.user_id, "--config", str(lake.path)]) == 0
    codes = {token: weight for token, weight in row.facet_weights.items() if token in labels}
    heaviest = min(codes, key=lambda token: (-codes[token], token))
    assert f"leans to  {heaviest}{labels[heaviest]}  {codes[heaviest]:+.3f}\n" in capsys.readouterr().out


def test_the_summary_says_how_the_codes_serve_the_night(lake: Lake) -> None:
    summary = json.loads((lake.before / "run_summary.json").read_text())
    told = summary["metrics"]["ranker_runs"]
    assert (summary["night"], told["code_drift"], told["refit_proposed"]) == (str(BULK_UNTIL), 0.0, 0.0)
    assert told["code_error"] == told["code_error_fitted"] > 0


def test_show_and_tables_of_an_empty_lake(config: Path, spark: SparkSession, capsys: pytest.CaptureFixture) -> None:
    assert main(["show", "nobody", "--config", str(config)]) == 66
    assert main(["tables", "--config", str(config)]) == 0
    assert "rerank_weights          0" in capsys.readouterr().out
