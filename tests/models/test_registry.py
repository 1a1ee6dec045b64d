"""Rankers in MLflow and in the lake: what went in comes out, verified; aliases only move forward."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from nightrank.config import Config
from nightrank.errors import ContractError, TryAgainError
from nightrank.models import registry
from nightrank.models.artefact import Ranker, code_version
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
        shopper_coefficients=np.arange(7.0),
        engine_coefficients=np.ones((3, 3)),
        mean_shopper=np.zeros(4, np.float32),
        recent=20,
        recent_decay=0.9,
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
    logged = registry.log_ranker(
        config,
        ranker(2.0),
        second,
        date(2026, 2, 2),
        {"dims": 4, "seed": 7},
        [{"train_loss": 2.0}, {"train_loss": 1.5, "valid_ndcg": 0.5}],
        {"valid_ndcg": 0.5},
    )
    first = registry.keep_ranker(config, ranker(1.0))
    registry.log_ranker(config, ranker(1.0), first, date(2026, 2, 1), {}, [], {})
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


def test_the_run_holds_params_curves_figures_and_versions(world: World) -> None:
    registry.log_versions(world.config, world.logged.mlflow_run_id, {"items": 3, "training_examples": 9})
    run = client(world).get_run(world.logged.mlflow_run_id)
    assert run.data.params == {"dims": "4", "seed": "7"}
    assert run.data.metrics["valid_ndcg"] == 0.5
    assert run.data.tags["ranker_id"] == world.second
    assert run.data.tags["delta_version.training_examples"] == "9"
    curve = client(world).get_metric_history(world.logged.mlflow_run_id, "epoch_train_loss")
    assert [(point.step, point.value) for point in curve] == [(1, 2.0), (2, 1.5)]
    assert run.info.status == "FINISHED"


def test_the_registered_model_scores_and_has_a_signature(world: World) -> None:
    import mlflow

    mlflow.set_tracking_uri(world.config.mlflow.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/nightrank-ranker@challenger")
    rows = np.zeros((3, 1 + 3 + 7 + 4 + 6), np.float32)
    rows[1, 1:4] = [1, 2, 3]
    rows[2, 11], rows[2, 15] = 1.0, 5.0
    np.testing.assert_allclose(model.predict(rows), [0, 6, 2.0 * 1], rtol=1e-6)
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 21)


def test_aliases_name_the_newest_night_and_move_only_forward(world: World) -> None:
    def named(alias: str) -> str:
        return str(client(world).get_model_version_by_alias("nightrank-ranker", alias).tags["ranker_id"])

    assert named("challenger") == world.second
    assert not registry.point_alias(world.config, "challenger", world.first)
    assert named("challenger") == world.second
    registry.mirror_ledger(world.config, world.first, world.first, {"ndcg/challenger-shop/all": 0.25})
    assert named("champion") == world.first
    registry.mirror_ledger(world.config, world.second, None, {})
    assert named("champion") == world.first
    assert registry.point_alias(world.config, "champion", world.second)
    with pytest.raises(ContractError, match="is not registered"):
        registry.point_alias(world.config, "champion", "f" * 64)
    version = client(world).search_model_versions(f"tags.ranker_id = '{world.first}'")[0]
    assert client(world).get_run(version.run_id).data.metrics == {"ndcg/challenger-shop/all": 0.25}


def test_a_rerun_gives_the_same_id_and_a_store_out_of_reach_says_so(world: World) -> None:
    assert registry.keep_ranker(world.config, replace(ranker(1.0))) == world.first
    broken = MlflowConfig(tracking_uri="file:///nowhere")
    with pytest.raises(TryAgainError, match=r"mlflow\.tracking_uri"):
        registry.point_alias(world.config.model_copy(update={"mlflow": broken}), "champion", world.first)
