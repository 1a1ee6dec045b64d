"""Small shops and their nights, for the tests that run the real thing."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.config import Config, load_config
from nightrank.contract import Table
from nightrank.hashing import hashes_by_night
from nightrank.storage import read_table

# Each of some hundred queries would be compiled for a few hundred rows.
INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
FIRST_DAY = date(2026, 1, 1)
BULK_UNTIL = date(2026, 1, 9)
LAST = BULK_UNTIL + timedelta(days=1)
DAYS = 13


@dataclass(frozen=True)
class Lake:
    """A lake after a bulk load and the night LAST, its config file, its tables' hashes, and a copy from before LAST."""

    config: Config
    path: Path
    hashes: dict[tuple[str, str], str]
    before: Path


def write_config(folder: Path, logs: Path, encoder: Path, **sections: dict[str, Any]) -> Path:
    """A config file for a small shop's logs, with its lake in `folder`. sections are laid over it."""
    values: dict[str, dict[str, Any]] = {
        "source": {
            "events": f"{logs}/logs/{{run_date}}/events.ndjson",
            "searches": f"{logs}/logs/{{run_date}}/queries.ndjson",
            "items": f"{logs}/logs/{{run_date}}/items.jsonl",
            "object_id_field": "item_id",
        },
        "calendar": {"bulk_until": str(BULK_UNTIL), "nights": 1},
        "lake": {"path": f"{folder}/lake"},
        "spark": {
            "master": "local[2,4]",
            "local_settings": True,
            "shuffle_partitions": 2,
            "settings": dict(INTERPRETED),
        },
        "mlflow": {"tracking_uri": f"sqlite:///{folder}/lake/mlflow.db"},
        "item_embeddings": {"model": str(encoder), "max_tokens": 32, "buckets": 1, "tasks": 2},
        "query_embeddings": {"model": str(encoder), "max_tokens": 32, "buckets": 1, "tasks": 2},
        "training_examples": {"window_nights": 6, "recent": 10},
        "ranker_runs": {"min_examples": 20, "epochs": 3, "dims": 8, "codes": 8, "codebook_every": 2},
        "propensities": {"min_pairs": 20, "min_clicks_per_position": 2},
        "gates": {"min_searches": 5, "bootstrap": 100},
        "promotions": {"bootstrap": 100},
        "rerank_weights": {"buckets": 2, "similar": 20},
        "segments": {"min_shoppers": 3},
        "shop": {
            "path": str(logs),
            "seed": 5,
            "shoppers": 150,
            "items": 120,
            "days": DAYS,
            "first_day": str(FIRST_DAY),
        },
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    (folder / "lake").mkdir(parents=True, exist_ok=True)
    if not (folder / "lake" / "mlflow.db").exists():
        (folder / "lake" / "mlflow.db").write_bytes(_empty_store())
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def copy_of(lake: Lake, folder: Path, before: bool = False, **sections: dict[str, Any]) -> Path:
    """The config file of a copy of the lake in `folder`, as it is or as it was before LAST; sections are laid over."""
    values = yaml.safe_load(lake.path.read_text())
    own = {"lake": {"path": f"{folder}/lake"}, "mlflow": {"tracking_uri": f"sqlite:///{folder}/lake/mlflow.db"}}
    for name, section in [*own.items(), *sections.items()]:
        values[name] = {**values.get(name, {}), **section}
    original = lake.before if before else Path(lake.config.lake.path)
    shutil.copytree(original, folder / "lake", dirs_exist_ok=True)
    with sqlite3.connect(folder / "lake" / "mlflow.db") as store:
        # MLflow notes where an experiment's artefacts lie; the copy's go to the copy.
        moved = "UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)"
        store.execute(moved, (str(lake.config.lake.path), str(folder / "lake")))
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@lru_cache(maxsize=1)
def _empty_store() -> bytes:
    """An MLflow database with its tables: making them takes MLflow five seconds."""
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
        return (Path(folder) / "mlflow.db").read_bytes()


def hashes(
    spark: SparkSession,
    config: Config,
    only: tuple[Table, ...] = tables.TABLES,
    # A table of changes has a night for each day of the bulk load: the last ones tell as much.
    since: date = BULK_UNTIL - timedelta(days=1),
) -> dict[tuple[str, str], str]:
    """The content hash of each night of each table."""
    never = date(9999, 1, 1)
    frames = {table: read_table(spark, config.lake, table, since, never, accepted_only=False) for table in only}
    return {(name, str(night)): found for (name, night), found in hashes_by_night(frames).items()}


def rows_of(spark: SparkSession, config: Config, table: Table, night: date):
    """All rows of one night of a table, quarantined ones too."""
    return read_table(spark, config.lake, table, night, night, accepted_only=False)


def loaded(path: Path) -> Config:
    """The config in the file."""
    return load_config(path)
