"""Encoders in MLflow: the lake's copy gives the version and the vectors of what was logged, and is checked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nightrank.config import Config
from nightrank.errors import ContractError, InputMissingError
from nightrank.models.encoder import encoder_folder, encoder_version, load_encoder
from nightrank.models.encoder_store import with_kept_encoders
from nightrank.models.tracking import connected
from nightrank.sections import EncoderConfig


@pytest.fixture
def config(tmp_path: Path, tiny_bert: Path) -> Config:
    """Settings that name version 1 of a model in MLflow for items and a folder for queries."""
    settings = Config.model_validate(
        {
            "lake": {"path": str(tmp_path / "lake")},
            "mlflow": {"tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"},
            "item_embeddings": {"model": "models:/shop-encoder/1", "max_tokens": 32},
            "query_embeddings": {"model": str(tiny_bert), "max_tokens": 32},
        }
    )
    with connected(settings) as (_, client):
        run = client.create_run(client.create_experiment("encoders", (tmp_path / "artefacts").as_uri()))
        client.log_artifacts(run.info.run_id, str(tiny_bert), "encoder")
        client.create_registered_model("shop-encoder")
        client.create_model_version("shop-encoder", f"{run.info.artifact_uri}/encoder", run_id=run.info.run_id)
    return settings


def test_the_lakes_copy_is_the_logged_model(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = with_kept_encoders(config)
    assert kept.query_embeddings == config.query_embeddings
    assert str(kept.item_embeddings.model).startswith(f"{tmp_path}/lake/artefacts/encoders/")
    assert encoder_version(kept.item_embeddings) == encoder_version(config.query_embeddings)
    (own,) = load_encoder(kept.item_embeddings.model, 32, 1)(["red shoe"])
    (logged,) = load_encoder(config.query_embeddings.model, 32, 1)(["red shoe"])
    assert own.tobytes() == logged.tobytes()
    assert with_kept_encoders(config) == kept

    # A lake on another file system: the folder is copied to this machine, once and whole.
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    away = EncoderConfig(model=f"file://{kept.item_embeddings.model}", max_tokens=32)
    assert encoder_version(away) == encoder_version(kept.item_embeddings)
    local = encoder_folder(away.model)
    assert local.is_relative_to(tmp_path / f"nightrank-encoders-{os.getuid()}")
    (local / "config.json").write_text("{}")
    with pytest.raises(InputMissingError, match="expected files whose sha256 is the folder's name"):
        encoder_version(away)


def test_what_is_no_encoder_or_not_there_is_refused(config: Config, tmp_path: Path) -> None:
    nowhere = config.model_copy(update={"item_embeddings": EncoderConfig(model="models:/shop-encoder/7")})
    with pytest.raises(ContractError, match=r"nothing at 'models:/shop-encoder/7'"):
        with_kept_encoders(nowhere)
    (tmp_path / "other").write_text("no model")
    with connected(config) as (_, client):
        run = client.create_run(client.get_experiment_by_name("encoders").experiment_id)
        client.log_artifact(run.info.run_id, str(tmp_path / "other"), "other")
    other = config.model_copy(update={"item_embeddings": EncoderConfig(model=f"runs:/{run.info.run_id}/other")})
    with pytest.raises(ContractError, match=r"expected one folder with config\.json and \*\.safetensors, found 0"):
        with_kept_encoders(other)
