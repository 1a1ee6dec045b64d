"""Rankers in MLflow and in the lake: what went in comes out, verified; aliases only move forward."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from nightrank.config import Config
from nightrank.errors import ContractError, TryAgainError
from nightrank.models import registry
from nightrank.models.artefact import Ranker, code_version
from nightrank.models.feature_names import ENGINE_FEATURES, SHOPPER_FEATURES
from nightrank.sections import LakeConfig, MlflowConfig


def ranker(a: float) -> Ranker:
    projection, codebook = np.eye(6, 4, dtype=np.float32), np.ones((2, 3, 4), np.float32)
    return Ranker(
        code_version=code_version(projection, codebook),
        encoder_version="e1",
        tower_night=date(2026, 2, 1),
        projection=projection,
        codebook=codebook,
        a=a,
        shopper_coefficients=np.arange(float(len(SHOPPER_FEATURES))),
        engine_coefficients=np.ones((3, len(ENGINE_FEATURES))),
        mean_shopper=np.zeros(4, np.float32),
        recent=20,
        recent_decay=0.9,
    )


FIRST, SECOND = date(2026, 2, 1), date(2026, 2, 2)
TRAINING = registry.Training(
    SECOND,
    {"dims": 4, "seed": 7},
    [{"train_loss": 2.0}, {"train_loss": 1.5, "valid_ndcg": 0.5}],
    {"valid_ndcg": 0.5},
    {"train": 120, "valid": 30},
)


@dataclass(frozen=True)
class World:
    """One store with the rankers of two nights."""

    config: Config
    first: str
    second: str
    logged: registry.Registered


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The later night is registered first, as before a backfill."""
    folder = tmp_path_factory.mktemp("lake of rankers")
    uri = f"sqlite:///{folder}/deeper/mlflow.db"
    config = Config(lake=LakeConfig(path=str(folder / "lake")), mlflow=MlflowConfig(tracking_uri=uri))
    second = registry.keep_ranker(config, ranker(2.0))
    logged = registry.log_ranker(config, ranker(2.0), second, TRAINING)
    first = registry.keep_ranker(config, ranker(1.0))
    registry.log_ranker(config, ranker(1.0), first, registry.Training(FIRST, {}, [], {}, {}))
    return World(config, first, second, logged)


def client(world: World):  # type: ignore[no-untyped-def]  # MLflow is not type-checked
    import mlflow

    return mlflow.MlflowClient(world.config.mlflow.tracking_uri)


def test_the_lake_s_copy_is_preferred_and_verified(world: World) -> None:
    kept = Path(world.config.lake.path) / "artefacts" / f"{world.second}.safetensors"
    assert registry.fetch_ranker(world.config, "runs:/nowhere/x", world.second).a == 2.0
    assert [path.name for path in kept.parent.iterdir() if path.suffix != ".safetensors"] == []
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-4] + b"\1\1\1\1")
    with pytest.raises(ContractError, match=f"expected sha256 {world.second}"):
        registry.fetch_ranker(world.config, world.logged.artefact_uri, world.second)
    kept.unlink()
    assert registry.fetch_ranker(world.config, world.logged.artefact_uri, world.second).a == 2.0
    with pytest.raises(ContractError, match=f"expected sha256 {world.first}, found {world.second}"):
        registry.load_ranker(_downloaded(world), world.first)
    with pytest.raises(ContractError, match=r"neither at .* nor at runs:/nowhere/x"):
        registry.fetch_ranker(world.config, "runs:/nowhere/x", world.second)
    kept.write_bytes(whole)


def _downloaded(world: World) -> str:
    import mlflow

    return str(mlflow.artifacts.download_artifacts(world.logged.artefact_uri))


def test_the_night_s_run_holds_params_curves_figures_and_the_file(world: World) -> None:
    run = client(world).get_run(world.logged.mlflow_run_id)
    assert client(world).get_experiment(run.info.experiment_id).name == "nightrank/train"
    assert run.data.params == {"dims": "4", "seed": "7"}
    assert run.data.metrics["valid_ndcg"] == 0.5
    assert (run.data.tags["ranker_id"], run.data.tags["night"]) == (world.second, "2026-02-02")
    curve = client(world).get_metric_history(world.logged.mlflow_run_id, "epoch_train_loss")
    assert [(point.step, point.value) for point in curve] == [(1, 2.0), (2, 1.5)]
    assert run.info.status == "FINISHED"
    assert not [name for name in run.data.tags if "git" in name]


def test_a_ranker_that_is_logged_again_is_registered_once(world: World) -> None:
    assert registry.log_ranker(world.config, ranker(2.0), world.second, TRAINING) == world.logged
    curve = client(world).get_metric_history(world.logged.mlflow_run_id, "epoch_train_loss")
    assert len(curve) == 2


def test_a_rerun_with_another_outcome_keeps_the_run_and_says_what_differs(world: World, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    config = Config(lake=LakeConfig(path=str(tmp_path)), mlflow=MlflowConfig(tracking_uri=uri))
    ids = [registry.keep_ranker(config, ranker(a)) for a in (1.0, 2.0)]
    before = registry.log_ranker(config, ranker(1.0), ids[0], TRAINING)
    after = registry.log_ranker(config, ranker(2.0), ids[1], replace(TRAINING, params={"dims": 8, "seed": 7}))
    assert (after.mlflow_run_id, before.model_version, after.model_version) == (before.mlflow_run_id, "1", "2")
    import mlflow

    run = mlflow.MlflowClient(uri).get_run(after.mlflow_run_id)
    assert (run.data.params["dims"], run.data.tags["rerun.dims"], run.data.tags["ranker_id"]) == ("4", "8", ids[1])


def test_a_version_has_a_card(world: World) -> None:
    card = client(world).get_model_version("nightrank-ranker", world.logged.model_version).description
    assert "# Ranker of night 2026-02-02" in card
    assert "14 nights, 2026-01-20 to 2026-02-02" in card
    assert "train 120, valid 30" in card
    assert f"sha256 `{world.second}`" in card
    assert f"code version `{ranker(2.0).code_version}`" in card
    assert "encoder version `e1`" in card
    assert "| valid_ndcg | 0.5 |" in card
    assert "## Use" in card
    assert "## Limits" in card


def test_the_registered_model_scores_and_has_a_signature(world: World) -> None:
    import mlflow

    mlflow.set_tracking_uri(world.config.mlflow.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/nightrank-ranker@challenger")
    before_vectors = 1 + len(ENGINE_FEATURES) + len(SHOPPER_FEATURES)
    rows = np.zeros((3, before_vectors + 4 + 6), np.float32)
    rows[1, 1:4] = [1, 2, 3]
    rows[2, before_vectors], rows[2, before_vectors + 4] = 1.0, 5.0
    np.testing.assert_allclose(model.predict(rows), [0, 6, 2.0 * 1], rtol=1e-6)
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, before_vectors + 10)


def test_an_alias_stays_only_where_it_names_a_later_night_s_ranker(world: World) -> None:
    def named(alias: str) -> str:
        return str(client(world).get_model_version_by_alias("nightrank-ranker", alias).tags["ranker_id"])

    assert named("challenger") == world.second
    # A backfill of the first night moves nothing.
    assert not registry.point_alias(world.config, "challenger", world.first, FIRST)
    assert named("challenger") == world.second
    assert registry.point_alias(world.config, "champion", world.first, FIRST)
    assert registry.point_alias(world.config, "champion", world.second, SECOND)
    # Night 2's ledger keeps the first: an alias that ran ahead is set right.
    assert registry.point_alias(world.config, "champion", world.first, SECOND)
    assert named("champion") == world.first
    assert registry.point_alias(world.config, "champion", world.second, SECOND)
    assert not registry.point_alias(world.config, "champion", world.first, FIRST)
    # A rollback moves it in any case.
    assert registry.point_alias(world.config, "champion", world.first, None)
    assert named("champion") == world.first
    with pytest.raises(ContractError, match="is not registered"):
        registry.point_alias(world.config, "champion", "f" * 64, None)


def test_a_registry_that_is_down_is_said_in_time_and_the_lake_has_its_copy(world: World, tmp_path: Path) -> None:
    assert registry.keep_ranker(world.config, replace(ranker(1.0))) == world.first
    for uri in ("file:///nowhere", "http://me:secret@127.0.0.1:9"):
        mlflow_section = MlflowConfig(tracking_uri=uri, timeout_seconds=4, registry_timeout_seconds=8)
        config = Config(lake=LakeConfig(path=str(tmp_path)), mlflow=mlflow_section)
        ranker_id = registry.keep_ranker(config, ranker(1.0))
        started = time.monotonic()
        with pytest.raises(TryAgainError, match=r"mlflow\.tracking_uri") as found:
            registry.log_ranker(config, ranker(1.0), ranker_id, TRAINING)
        with pytest.raises(TryAgainError):
            registry.point_alias(config, "champion", ranker_id, SECOND)
        assert time.monotonic() - started < 60
        assert "secret" not in str(found.value)
        assert registry.fetch_ranker(config, "runs:/nowhere/x", ranker_id).a == 1.0
