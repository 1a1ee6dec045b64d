"""Where a benchmark's lake lies."""

from __future__ import annotations

from pathlib import Path

from nightrank.config import Config


def with_lake_in(folder: Path, config: Config) -> Config:
    """The settings with the lake, and MLflow's database beside its tables, in the folder."""
    return config.model_copy(
        update={
            "lake": config.lake.model_copy(update={"path": f"{folder}/lake"}),
            "mlflow": config.mlflow.model_copy(update={"tracking_uri": f"sqlite:///{folder}/lake/mlflow.db"}),
        }
    )
