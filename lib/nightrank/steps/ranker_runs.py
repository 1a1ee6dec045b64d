"""ranker_runs: tonight's ranker, trained, kept and registered, as one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.artefact import Floats, Ranker, code_version
from nightrank.nights import Night
from nightrank.steps.arrays import collect_arrays
from nightrank.steps.encoders import with_encoder_in_force
from nightrank.steps.item_order import item_order
from nightrank.steps.petastorm_feed import Feed, feed_folder, petastorm_feed
from nightrank.steps.tower import Tower, code_figures, fitted_tower, standing_tower
from nightrank.tables import CLASSES, RANKER_RUNS

NO_RANKER = "none"


def build_ranker_runs(
    training_examples: DataFrame,
    items: DataFrame,
    item_embeddings: DataFrame,
    ranker_runs: DataFrame,
    encoder_runs: DataFrame,
    night: Night,
    config: Config,
) -> DataFrame:
    """One row: the ranker trained on tonight's examples, status 'trained'; or 'skipped' and why none was.

    Tower and codebook are the last ranker's (of `ranker_runs`, earlier nights) until `standing_tower` says otherwise.
    """
    from nightrank.models.encoder import encoder_version

    version = encoder_version(with_encoder_in_force(encoder_runs, config).item_embeddings)
    with petastorm_feed(training_examples, feed_folder(config)) as feed:
        known = {"encoder_version": version, **{f"{fold}_examples": rows for fold, rows in feed.rows.items()}}
        if reason := _why_not(feed, config):
            row = {"status": "skipped", "reason": reason, "ranker_id": NO_RANKER, **known}
        else:
            embeddings = _catalogue(items, item_embeddings, version, config)
            tower = standing_tower(ranker_runs, version, night, config)
            row = {"status": "trained", **_train(feed, embeddings, tower, version, night, config), **known}
    values = tuple(map(row.get, RANKER_RUNS.columns.names))
    return training_examples.sparkSession.createDataFrame([values], RANKER_RUNS.columns)


def note_versions(ranker_runs: DataFrame, versions: Mapping[str, int], config: Config) -> dict[str, float]:
    """The figures of the night's ranker; notes for MLflow which Delta version of each table it was made from."""
    from nightrank.models.outbox import Note, keep_note

    trained = ranker_runs.where(F.col("status") == "trained").select("run_date", F.map_entries("metrics").alias("told"))
    found = collect_arrays(trained, 1, "rankers trained in one night")
    for night in found["run_date"]:
        tags = {f"delta_version.{table}": str(version) for table, version in sorted(versions.items())}
        keep_note(config, Note(str(night), "train", "versions", tags=tags))
    return {figure["key"]: figure["value"] for told in found["told"] for figure in told}


def _why_not(feed: Feed, config: Config) -> str | None:
    least = config.ranker_runs.min_examples
    if feed.rows["train"] < least:
        return f"{feed.rows['train']} training examples, fewer than ranker_runs.min_examples = {least}"
    gains = (part["gains"].max() > 0 for part in feed.examples("train"))
    return None if any(list(gains)) else "no training example has a gain"


def _catalogue(items: DataFrame, item_embeddings: DataFrame, version: str, config: Config) -> Floats:
    """Encoder vectors of tonight's items, float32 [items, encoder dims], rows by item_index.

    Raises ContractError where an item has no vector: the rows would not be those that training_examples numbered.
    """
    latest = item_embeddings.where(F.col("encoder_version") == version).groupBy("content_hash")
    texts = items.groupBy("item_id").agg(F.min("content_hash").alias("content_hash"))
    found = collect_arrays(
        item_order(items)
        .join(texts, on="item_id", how="inner")
        .join(latest.agg(F.min_by("vector", "run_date").alias("vector")), on="content_hash", how="left")
        .select("item_index", F.coalesce("vector", F.array().cast("array<float>")).alias("vector")),
        config.ranker_runs.max_items,
        "vectors of the catalogue",
        "ranker_runs.max_items",
        ["item_index"],
    )["vector"]
    lengths = sorted({len(vector) for vector in found})
    if len(lengths) != 1 or not lengths[0]:
        raise ContractError(
            f"A ranker cannot be trained: expected a vector of one length by encoder {version} for every item, found "
            f"lengths {lengths}. Run the stage item_embeddings of this night again."
        )
    return np.stack(list(found)).astype(np.float32)


def _train(
    feed: Feed, embeddings: Floats, tower: Tower | None, version: str, night: Night, config: Config
) -> dict[str, Any]:
    """What the row says of a ranker that is trained, kept in the lake and registered."""
    from nightrank.models.registry import Training, keep_ranker, log_ranker
    from nightrank.models.training import train_ranker

    settings = config.ranker_runs
    trained = train_ranker(feed.examples, embeddings, settings, tower.projection if tower else None)
    tower = tower or fitted_tower(trained.projection, embeddings, night, config)
    ranker = _ranker(trained, tower, version, config)
    coefficients, metrics = _coefficients(ranker), {**trained.metrics, **code_figures(tower, embeddings, config)}
    params = {**settings.model_dump(exclude={"feed_folder", "threads"}), "encoder_version": version}
    ranker_id = keep_ranker(config, ranker)
    told = Training(night.run_date, params, trained.curves, {**metrics, **coefficients}, feed.rows)
    registered = log_ranker(config, ranker, ranker_id, told)
    return {
        "ranker_id": ranker_id,
        "code_version": ranker.code_version,
        "tower_night": tower.night,
        "epochs": trained.best_epoch,
        "coefficients": coefficients,
        "metrics": metrics,
        **asdict(registered),
    }


def _ranker(trained: Any, tower: Tower, version: str, config: Config) -> Ranker:
    return Ranker(
        code_version=code_version(tower.projection, tower.codebook),
        encoder_version=version,
        tower_night=tower.night,
        projection=tower.projection,
        codebook=tower.codebook,
        a=trained.a,
        shopper_coefficients=trained.shopper_coefficients,
        engine_coefficients=trained.engine_coefficients,
        mean_shopper=trained.mean_shopper,
        recent=config.training_examples.recent,
        recent_decay=config.training_examples.recent_decay,
    )


def _coefficients(ranker: Ranker) -> dict[str, float]:
    """a, c_<feature>, b_<class>_<feature>."""
    shopper = zip(ranker.shopper_features, ranker.shopper_coefficients, strict=True)
    named = {"a": ranker.a, **{f"c_{name}": float(value) for name, value in shopper}}
    for query_class, values in zip(CLASSES, ranker.engine_coefficients, strict=True):
        engine = zip(ranker.engine_features, values, strict=True)
        named |= {f"b_{query_class}_{name}": float(value) for name, value in engine}
    return named
