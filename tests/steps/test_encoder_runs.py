"""The whole stage: searches of a shop of a few words, petastorm, torch, the lake and MLflow; and who takes it over."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

import encoder_shop
from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.encoder import encoder_version
from nightrank.models.encoder_store import FOLDER
from nightrank.models.outbox import waiting_notes
from nightrank.nights import ordinary_night
from nightrank.sections import EncoderConfig, MlflowConfig
from nightrank.steps.encoder_lessons import search_takes
from nightrank.steps.encoder_runs import build_encoder_runs, note_encoder_figures
from nightrank.steps.encoders import with_encoder_in_force
from nightrank.tables import ENCODER_RUNS, PEOPLE, SEARCHES

TONIGHT = date(2026, 3, 20)
NIGHT = ordinary_night(TONIGHT, ())
SETTINGS = encoder_shop.SETTINGS.model_copy(update={"judged_nights": 1, "min_examples": 100})


def slate(*shown: tuple[str, float], sponsored: str = "") -> list[tuple[Any, ...]]:
    return [(item, n, 1.0, item == sponsored, 1.0, float(gain)) for n, (item, gain) in enumerate(shown, 1)]


def searches(spark: SparkSession, rows: list[tuple[int, str, str, list[tuple[Any, ...]]]]) -> DataFrame:
    """Rows of `searches`: nights ago, query_id, query, slate."""
    values = []
    for ago, query_id, query, shown in rows:
        day = TONIGHT - timedelta(days=ago)
        at = datetime(day.year, day.month, day.day, 9)
        values.append((day, query_id, at, "u", query, shown, "s", "desktop", None, False, query, None, [], True))
    return spark.createDataFrame(values, SEARCHES.schema)


def items(spark: SparkSession, texts: tuple[str, ...], ids: list[str] | None = None) -> DataFrame:
    named = ids or [f"i{n:02}" for n in range(len(texts))]
    rows = [(item, text, f"h {text}") for item, text in zip(named, texts, strict=True)]
    return spark.createDataFrame(rows, "item_id string, text string, content_hash string")


def test_takes_are_numbered_and_split_by_night(spark: SparkSession, tmp_path: Path) -> None:
    """c and d have one text; b is sponsored in q1; x is not in the catalogue."""
    settings = SETTINGS.model_copy(update={"unseen_share": 1e-6, "hard_negatives": 2})
    config = encoder_shop.config_of(tmp_path, tmp_path, settings)
    asked = searches(
        spark,
        [
            (4, "q1", "pot", slate(("b", 1.0), ("a", 0), ("e", 0), ("c", 3.0), ("x", 1.0), ("f", 0), sponsored="b")),
            (4, "q2", "pot", slate(("d", 0.0), ("c", 1.0))),  # the text that was taken is no negative
            (1, "q3", "light", slate(("c", 1.0), ("d", 2.0), ("a", 1.0))),
            (0, "q4", "pot", slate(("a", 1.0))),
            (4, "q5", " ", slate(("a", 1.0))),
            (4, "q6", "boots", slate(("a", 0.0), ("x", 1.0))),
        ],
    )  # fmt: skip
    found = search_takes(asked, items(spark, ("A", "B", "CD", "CD", "E", "F"), list("abcdef")), NIGHT, config)
    assert found.query_texts == ("light", "pot")
    assert sorted(found.item_texts) == ["A", "B", "CD", "E", "F"]
    assert not found.unseen.any()
    number = {text: n for n, text in enumerate(found.item_texts)}
    rows = {row.query_id: (row.query_index, row.item_index) for row in found.examples.collect()}
    assert rows["q2"] == (1, [number["CD"], -1, -1])
    assert (rows["q1"][0], rows["q1"][1][0]) == (1, number["CD"])
    assert set(rows["q1"][1][1:]) == {number["A"], number["E"]}
    assert set(rows) == {"q1", "q2"}
    valid, judged = found.valid, found.judged
    taken = {found.item_texts[n]: gain for n, gain in zip(valid.item, valid.gain, strict=True)}
    assert (valid.search.tolist(), valid.query.tolist(), taken) == ([0, 0], [0, 0], {"CD": 2.0, "A": 1.0})
    assert (judged.query.tolist(), judged.item.tolist()) == ([1], [number["A"]])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("encoders")
    config = encoder_shop.config_of(folder / "lake", encoder_shop.save_word_bert(folder / "bert"), SETTINGS)
    return config.model_copy(update={"mlflow": MlflowConfig(tracking_uri=f"sqlite:///{folder}/mlflow.db")})


def many_searches(spark: SparkSession) -> DataFrame:
    """Three nights of them: to learn from, to stop by, to be judged on; the taken item stands second."""
    rows = []
    for ago, number in ((2, 400), (1, 60), (0, 200)):
        query, taken, hard = encoder_shop.searches(number, seed=10 + ago)
        for n in range(number):
            above = hard[n] if hard[n] % len(encoder_shop.NOUNS) != query[n] else (taken[n] + 1) % encoder_shop.ITEMS
            shown = slate((f"i{above:02}", 0.0), (f"i{taken[n]:02}", 1.0))
            rows.append((ago, f"{ago}-{n}", encoder_shop.ASKED[query[n]], shown))
    return searches(spark, rows)


def build(spark: SparkSession, config: Config, held: DataFrame, rows: DataFrame | None = None) -> DataFrame:
    nobody = spark.createDataFrame([], PEOPLE.schema)
    built = build_encoder_runs(
        searches=many_searches(spark) if rows is None else rows,
        items=items(spark, encoder_shop.item_texts()),
        people=nobody,
        encoder_runs=held,
        night=NIGHT,
        config=config,
    )
    return built.withColumn("run_date", F.lit(TONIGHT))


def test_an_encoder_is_tuned_judged_kept_registered_and_taken_over(spark: SparkSession, shop: Config) -> None:
    none = spark.createDataFrame([], ENCODER_RUNS.schema)
    run = build(spark, shop, none)
    (row,) = run.collect()
    assert (row.status, row.train_examples > 200, row.epochs > 0) == ("promoted", True, True)
    assert row.base_version == encoder_version(EncoderConfig(model=shop.item_embeddings.model))
    assert row.standing_version == encoder_version(shop.item_embeddings)
    assert min(row.metrics["ndcg_gain_lower"], row.metrics["unseen_auc_gain_lower"]) > 0
    assert not list((Path(shop.lake.path) / "feed").iterdir())
    assert not list((Path(shop.lake.path) / "checkpoints").iterdir())

    assert with_encoder_in_force(none, shop) == shop
    held = run.select(*ENCODER_RUNS.schema.names)
    in_force = with_encoder_in_force(held, shop)
    folder = Path(shop.lake.path) / FOLDER / row.encoder_id
    assert (in_force.item_embeddings.model, in_force.query_embeddings.model) == (str(folder), str(folder))
    assert encoder_version(in_force.item_embeddings) not in {row.base_version, row.standing_version}
    other = encoder_shop.save_word_bert(Path(shop.lake.path).parent / "other", layers=3)
    configured = encoder_shop.config_of(Path(shop.lake.path), other)
    assert with_encoder_in_force(held, configured) == configured
    _registered(shop, row)

    note_encoder_figures(held, {}, shop)
    (waiting,) = waiting_notes(shop)
    assert (waiting.note.job, waiting.note.tags, waiting.note.figures) == (
        "encoder", {"encoder_status": "promoted"}, row.metrics,
    )  # fmt: skip
    # Tuned again, it is no better than itself.
    again = build(spark, shop, held).collect()[0]
    assert (again.status, again.metrics["ndcg_gain"], again.standing_version) == (
        "refused", 0.0, encoder_version(in_force.item_embeddings),
    )  # fmt: skip

    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(ContractError, match=r"set encoder_runs\.take_over to false"):
        with_encoder_in_force(held, shop)


def _registered(shop: Config, row: Any) -> None:
    """The version has the graph, which gives the vectors of the folder, and the card."""
    import mlflow

    client = mlflow.MlflowClient(shop.mlflow.tracking_uri)
    version = client.get_model_version_by_alias("nightrank-encoder", "champion")
    assert (str(version.version), version.run_id) == (row.model_version, row.mlflow_run_id)
    assert version.tags["encoder_id"] == row.encoder_id
    assert row.base_version in version.description
    mlflow.set_tracking_uri(shop.mlflow.tracking_uri)
    graph = mlflow.pyfunc.load_model(f"models:/nightrank-encoder/{version.version}")
    ids = np.zeros((3, 16), np.int64)
    ids[:, :4] = [[2, 5, 3, 0], [2, 11, 17, 3], [2, 3, 0, 0]]
    assert graph.metadata.signature.inputs.inputs[0].type == np.dtype("int64")
    found = graph.predict(ids)
    from nightrank.models.encoder_module import TokenVectors

    expected = TokenVectors(Path(shop.lake.path) / FOLDER / row.encoder_id, shop.item_embeddings).eval()
    import torch

    np.testing.assert_allclose(found, expected(torch.from_numpy(ids)).detach().numpy(), atol=1e-5)


def test_what_cannot_be_tuned_is_skipped_with_a_reason(spark: SparkSession, shop: Config) -> None:
    none, few = spark.createDataFrame([], ENCODER_RUNS.schema), many_searches(spark).limit(0)
    two = shop.model_copy(update={"query_embeddings": EncoderConfig(), "encoder_runs": SETTINGS})
    found = build(spark, shop, none, few).unionByName(build(spark, two, none, few)).orderBy("reason")
    expected = [
        ("none", "skipped", "0 training examples, fewer than encoder_runs.min_examples = 100", 0, None),
        ("none", "skipped", "item_embeddings.model and query_embeddings.model are two encoders: one is tuned for both",
         0, None),
    ]  # fmt: skip
    names = ["encoder_id", "status", "reason", "train_examples", "metrics"]
    kinds = [ENCODER_RUNS.columns[name] for name in names]
    assertDataFrameEqual(found.select(names), spark.createDataFrame(expected, type(ENCODER_RUNS.columns)(kinds)))
