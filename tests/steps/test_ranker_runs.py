"""The whole stage: petastorm, torch, MLflow and the lake, on a shop of 40 items."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.feature_names import ENGINE_FEATURES, PROFILE_FEATURES, SHOPPER_FEATURES
from nightrank.models.int8 import to_int8
from nightrank.models.outbox import waiting_notes
from nightrank.models.registry import Registered, fetch_ranker
from nightrank.models.tower_artefact import Images, tower_vectors
from nightrank.models.tower_store import fetch_towers
from nightrank.nights import Night, ordinary_night
from nightrank.sections import (
    ItemsConfig,
    LakeConfig,
    MlflowConfig,
    RankerRunsConfig,
    SequenceConfig,
    TrainingExamplesConfig,
)
from nightrank.steps.item_order import item_order
from nightrank.steps.item_tokens import build_item_tokens
from nightrank.steps.ranker_runs import build_ranker_runs, note_versions
from nightrank.steps.tower import standing_tower
from nightrank.tables import (
    ENCODER_RUNS,
    ITEM_EMBEDDINGS,
    ITEM_NEIGHBOURS,
    PEOPLE,
    PROMOTIONS,
    RANKER_RUNS,
    TRAINING_EXAMPLES,
    USER_PROFILES,
)

ITEMS, SLATE, ENCODER = 40, 4, 12
FIRST = date(2026, 3, 1)


@pytest.fixture(autouse=True)
def _known_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightrank.models.encoder.encoder_version", lambda _: "e1")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("shop")
    settings = RankerRunsConfig(dims=4, codes=4, epochs=2, min_examples=100, batch=32, codebook_every=2)
    return Config(
        lake=LakeConfig(path=str(folder)),
        mlflow=MlflowConfig(tracking_uri=f"sqlite:///{folder}/mlflow.db"),
        training_examples=TrainingExamplesConfig(slate=SLATE, recent=3),
        ranker_runs=settings,
    )


def training_examples(spark: SparkSession, rows: int, gain: float = 1.0) -> DataFrame:
    """The candidate with the highest base score is taken."""
    random = np.random.default_rng(5)
    made: list[tuple[Any, ...]] = []
    for i in range(rows):
        engine = random.normal(size=(SLATE, len(ENGINE_FEATURES)))
        gains = gain * (np.arange(SLATE) == engine[:, 0].argmax())
        made.append(
            (
                f"q{i}", "u", FIRST, "valid" if i % 5 == 0 else "train", i % 3, i * 7919 % 1000,
                random.choice(ITEMS, SLATE, replace=False).tolist(), engine.ravel().tolist(),
                random.normal(size=SLATE * len(PROFILE_FEATURES)).tolist(), gains.tolist(),
                gains.tolist(), [0.0] * SLATE, [i % ITEMS, (i + 3) % ITEMS, -1], [1.0, 0.9, 0.0],
                [i % ITEMS, -1, -1, -1], [4, 0, 0, 0], [0, 0, 0, 0], 1.0,
            )
        )  # fmt: skip
    return spark.createDataFrame(made, TRAINING_EXAMPLES.columns)


def items(spark: SparkSession) -> DataFrame:
    """Every other item has an image of two numbers; i05 has one of three, from another time."""
    seen = {i: [0.5 * i, 1.0] for i in range(1, ITEMS, 2)} | {5: [1.0, 2.0, 3.0]}
    rows = [(f"i{i:02}", f"h{i:02}", seen.get(i)) for i in reversed(range(ITEMS))]
    return spark.createDataFrame(rows, "item_id string, content_hash string, image_embedding array<float>")


def item_embeddings(spark: SparkSession, most: int = ITEMS) -> DataFrame:
    vectors = np.random.default_rng(6).normal(size=(ITEMS, ENCODER)).astype(np.float32)
    rows = [(FIRST, f"h{i:02}", version, vector.tolist(), 4, 0) for i, vector in enumerate(vectors[:most])
            for version in ("e0", "e1")]  # fmt: skip
    return spark.createDataFrame(rows, ITEM_EMBEDDINGS.schema)


def build(spark: SparkSession, config: Config, run_date: date, earlier: list[DataFrame], rows: int = 250) -> DataFrame:
    """Tonight's run, on top of those of earlier nights."""
    held = spark.createDataFrame([], RANKER_RUNS.schema)
    for run in earlier:
        held = held.unionByName(run)
    built = build_ranker_runs(
        training_examples=training_examples(spark, rows),
        items=items(spark),
        item_embeddings=item_embeddings(spark),
        ranker_runs=held,
        encoder_runs=untuned(spark),
        **profiles(spark),
        night=night(run_date),
        config=config,
    )
    return built.withColumn("run_date", F.lit(run_date))


def profiles(spark: SparkSession) -> dict[str, DataFrame]:
    """Shoppers who take one item after the next, of the catalogue or not; what the words do not read."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    rows = []
    for user in range(30):
        taken = [(begun + timedelta(hours=n), f"i{(user + n) % (ITEMS + 1):02}", "buy") for n in reversed(range(5))]
        values = {"run_date": FIRST, "user_id": f"u{user}", "recent": taken}
        rows.append(tuple(map(values.get, USER_PROFILES.schema.names)))
    people = spark.createDataFrame([], PEOPLE.schema).limit(0)
    return {"user_profiles": spark.createDataFrame(rows, USER_PROFILES.schema), "people": people}


def untuned(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], ENCODER_RUNS.schema)


def night(run_date: date) -> Night:
    return ordinary_night(run_date, ())


def test_a_ranker_is_trained_kept_and_registered_and_its_tower_stands_for_some_nights(
    spark: SparkSession, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [build(spark, config, FIRST, [])]
    # MLflow has one real ranker; the lake keeps all of them.
    unregistered = Registered(mlflow_run_id="run", model_version="1", artefact_uri="runs:/run/nowhere")
    monkeypatch.setattr("nightrank.models.registry.log_ranker", lambda *_: unregistered)
    for later in (1, 2):
        runs.append(build(spark, config, FIRST + timedelta(days=later), runs))
    rows = [run.collect()[0] for run in runs]
    assert [row.tower_night for row in rows] == [FIRST, FIRST, FIRST + timedelta(days=2)]
    first, second = (fetch_ranker(config, row.artefact_uri, row.ranker_id) for row in rows[:2])
    np.testing.assert_array_equal(first.projection, second.projection)
    np.testing.assert_array_equal(first.codebook, second.codebook)
    assert (first.code_version, second.code_version) == (rows[0].code_version, rows[1].code_version)
    assert (first.projection.shape, first.codebook.shape) == ((ENCODER, 4), (2, 4, 4))
    assert (first.encoder_version, first.recent, first.recent_decay) == ("e1", 3, 0.9)
    row = rows[0]
    assert (row.status, row.reason, row.train_examples, row.valid_examples) == ("trained", None, 200, 50)
    assert row.coefficients["b_navigational_base_score"] > 0.5
    names = {f"b_{name}_{f}" for name in ("navigational", "category", "exploratory") for f in ENGINE_FEATURES}
    assert set(row.coefficients) == {"a", *(f"c_{name}" for name in SHOPPER_FEATURES), *names}
    trained = {"valid_ndcg", "valid_loss", "train_loss", "base_ndcg", "projection_learned"}
    of_codes = {"code_error", "code_error_fitted", "code_drift", "code_explained", "code_largest_share"}
    assert {*trained, *of_codes, "codes_crowded", "refit_proposed"} == set(row.metrics)
    assert row.metrics["base_ndcg"] == 1.0
    assert [row.metrics["code_drift"] for row in rows] == [0.0, 0.0, 0.0]  # the same items every night
    assert rows[1].metrics["code_error"] == row.metrics["code_error_fitted"] == row.metrics["code_error"] > 0
    assert row.artefact_uri == f"runs:/{row.mlflow_run_id}/{row.ranker_id}.safetensors"
    assert RANKER_RUNS.conform(runs[0]).count() == 1

    again = build(spark, config, FIRST, [])
    hashed = [name for name in RANKER_RUNS.columns.names if name not in RANKER_RUNS.unhashed]
    assertDataFrameEqual(again.select(hashed), runs[0].select(hashed), rtol=0, atol=0)
    assert list((Path(config.lake.path) / "feed").iterdir()) == []

    assert note_versions(runs[0], {"items": 3, "training_examples": 9}, config) == row.metrics
    (waiting,) = waiting_notes(config)
    assert (waiting.note.night, waiting.note.job) == (str(FIRST), "train")
    assert waiting.note.tags == {"delta_version.items": "3", "delta_version.training_examples": "9"}

    other_codes = config.ranker_runs.model_copy(update={"codes": 3, "epochs": 1})
    changed = build(spark, config.model_copy(update={"ranker_runs": other_codes}), FIRST + timedelta(days=1), runs[:1])
    assert changed.collect()[0].tower_night == FIRST + timedelta(days=1)


def test_towers_learn_from_sequences_stand_for_some_nights_and_give_items_their_vectors(
    spark: SparkSession, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    unregistered = Registered(mlflow_run_id="run", model_version="1", artefact_uri="runs:/run/nowhere")
    monkeypatch.setattr("nightrank.models.registry.log_ranker", lambda *_: unregistered)
    sizes = {"longest": 4, "layers": 1, "width": 8, "epochs": 1, "min_shoppers": 30}
    settings = config.ranker_runs.model_copy(update={"tower": "sequence", "sequence": SequenceConfig(**sizes)})
    config = config.model_copy(update={"ranker_runs": settings, "items": ItemsConfig(image_dims=2)})
    runs = [build(spark, config, FIRST, [])]
    runs.append(build(spark, config, FIRST + timedelta(days=1), runs))
    rows = [run.collect()[0] for run in runs]
    first, second = (fetch_ranker(config, row.artefact_uri, row.ranker_id) for row in rows)
    assert first.tower_id is not None
    assert first.tower_id == second.tower_id
    assert [row.tower_night for row in rows] == [FIRST, FIRST]
    assert rows[1].metrics["code_error"] == rows[0].metrics["code_error_fitted"]
    towers = fetch_towers(config, first.tower_id)
    assert towers.item_ids.tolist() == [f"i{i:02}" for i in range(ITEMS)]
    # Thirty shoppers took five each of 41 items, the last of which no longer exists; four are read.
    assert towers.takes.sum() == 4 * 30 - sum(ITEMS in range(user + 1, user + 5) for user in range(30))

    new = spark.createDataFrame(
        [("j", "h03", ["brand:x"], None), ("k", "h03", ["brand:x"], [9.0, 9.0])],
        "item_id string, content_hash string, facets array<string>, image_embedding array<float>",
    )
    known = items(spark).withColumn("facets", F.array().cast("array<string>"))
    tokens = build_item_tokens(
        known.unionByName(new, allowMissingColumns=True), item_embeddings(spark),
        spark.createDataFrame([], ITEM_NEIGHBOURS.schema), runs[1],
        spark.createDataFrame([], PROMOTIONS.schema), night(FIRST + timedelta(days=1)), config,
    )  # fmt: skip
    found = {row.item_id: row.vector for row in tokens.collect()}
    texts = np.stack([row.vector for row in item_embeddings(spark).where("encoder_version = 'e1'").collect()])
    ids = np.array([*(f"i{i:02}" for i in range(ITEMS)), "j", "k"])
    told = np.concatenate([texts, texts[[3, 3]]]).astype(np.float32)
    seen = [i for i in range(1, ITEMS, 2) if i != 5]
    images = Images(np.array([*seen, ITEMS + 1]), np.array([*([0.5 * i, 1] for i in seen), [9, 9]], np.float32))
    vectors = tower_vectors(towers, ids, told, images)
    np.testing.assert_array_equal([found[item_id] for item_id in ids], to_int8(vectors))
    assert found["j"] != found["i03"], "an item without an id has its text alone"
    assert found["j"] != found["k"], "and its image, where it has one"
    tomorrow = night(FIRST + timedelta(days=1))
    longer = config.model_copy(update={"items": ItemsConfig(image_dims=3)})
    stands = [standing_tower(runs[0], "e1", tomorrow, settings) for settings in (config, longer)]
    assert [tower is None for tower in stands] == [False, True]

    few = settings.model_copy(update={"sequence": SequenceConfig(**{**sizes, "min_shoppers": 31})})
    words = build(spark, config.model_copy(update={"ranker_runs": few}), FIRST, []).collect()[0]
    assert fetch_ranker(config, words.artefact_uri, words.ranker_id).tower_id is None


def test_too_few_examples_or_no_gain_give_a_row_that_says_so(spark: SparkSession, config: Config) -> None:
    few = build(spark, config, FIRST, [], rows=50)
    expected = [("none", "skipped", "40 training examples, fewer than ranker_runs.min_examples = 100", None, 40, 10)]
    names = ["ranker_id", "status", "reason", "coefficients", "train_examples", "valid_examples"]
    assert [tuple(row) for row in few.select(names).collect()] == expected
    nothing = build_ranker_runs(
        training_examples(spark, 250, gain=0.0),
        items(spark), item_embeddings(spark), spark.createDataFrame([], RANKER_RUNS.schema), untuned(spark),
        **profiles(spark), night=night(FIRST), config=config,
    )  # fmt: skip
    assert [row.reason for row in nothing.collect()] == ["no training example has a gain"]


def test_an_item_without_a_vector_stops_the_stage(spark: SparkSession, config: Config) -> None:
    with pytest.raises(ContractError, match=r"encoder e1 for every item, found lengths \[0, 12\]"):
        build_ranker_runs(
            training_examples(spark, 250),
            items(spark), item_embeddings(spark, most=39), spark.createDataFrame([], RANKER_RUNS.schema),
            untuned(spark), **profiles(spark), night=night(FIRST), config=config,
        )  # fmt: skip


def test_items_are_numbered_in_order_of_their_ids(spark: SparkSession) -> None:
    listed = spark.createDataFrame([("b",), ("B",), ("a",), ("é",), ("b",), ("a1",)], "item_id string")
    expected = spark.createDataFrame(
        [("B", 0), ("a", 1), ("a1", 2), ("b", 3), ("é", 4)], "item_id string, item_index int"
    )
    assertDataFrameEqual(item_order(listed), expected)
