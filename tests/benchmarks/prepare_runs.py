"""The job `prepare` over a log of some size, run by the runner: its stages' seconds, and the memory that it takes."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from process_memory import Peak, watch, way_to_count
from pyspark.sql import SparkSession

from nightrank.config import Config, load_config
from nightrank.runner import run_nights
from nightrank.session import build_session

FOLDER = Path("build/bench/prepare")
DRIVER_MEMORY = "3g"
# Not a laptop's small tables: the optimising compiler pays, and a task takes tens of megabytes.
LARGE = {
    "spark.driver.extraJavaOptions": "-XX:ReservedCodeCacheSize=256m -XX:+UseParallelGC",
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "32m",
    "spark.databricks.delta.snapshotPartitions": "2",
}


@dataclass(frozen=True)
class Prepared:
    """One night's job: seconds and rows by stage."""

    seconds: Mapping[str, float]
    rows: Mapping[str, int]

    @property
    def total(self) -> float:
        """The seconds of all stages."""
        return sum(self.seconds.values())


def bench_config(name: str, **sections: Mapping[str, object]) -> Config:
    """The demo's settings with a new lake below FOLDER/name; sections are laid over them."""
    demo, folder = load_config("conf/demo.yaml"), FOLDER / name
    shutil.rmtree(folder / "lake", ignore_errors=True)
    own = {
        "lake": {"path": f"{folder}/lake"},
        "mlflow": {"tracking_uri": f"sqlite:///{folder}/lake/mlflow.db"},
        "spark": {"driver_memory": DRIVER_MEMORY, "shuffle_partitions": 32, "settings": LARGE},
        "calendar": {"bulk_until": None, "nights": 0},
        **sections,
    }
    update = {key: getattr(demo, key).model_copy(update=dict(values)) for key, values in own.items()}
    return demo.model_copy(update=update)


def canonical_config(name: str, log: str, bulk_until: date) -> Config:
    """The settings that read a log of parsed_log.py and load it up to a night."""
    paths = {table: f"{log}/{table}" for table in ("events", "searches", "items")}
    source = {"convention": "canonical", "format": "parquet", **paths}
    return bench_config(name, source=source, calendar={"bulk_until": bulk_until, "nights": 0})


def session() -> SparkSession:
    """The benchmark's session: two cores and DRIVER_MEMORY."""
    return build_session(bench_config("session").spark)


def prepare(spark: SparkSession, config: Config, nights: Sequence[date]) -> Prepared:
    """What the job took on the last of the nights."""
    Path(config.lake.path).mkdir(parents=True, exist_ok=True)
    run_nights(spark, config, "prepare", nights)
    summary = json.loads((Path(config.lake.path) / "run_summary.json").read_text(encoding="utf-8"))
    return Prepared(summary["seconds"], summary["rows"])


@contextmanager
def watched() -> Iterator[Peak]:
    """The most memory that this process, its JVM and its Python workers take meanwhile."""
    peak, ended = Peak(), threading.Event()
    watcher = threading.Thread(target=watch, args=(os.getpid(), way_to_count(), peak, ended), daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()
