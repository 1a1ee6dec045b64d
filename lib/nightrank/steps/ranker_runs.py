"""ranker_runs: tonight's ranker, trained, kept and registered, as one row."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.artefact import Ranker, code_version
from nightrank.models.sequences import TAKEN
from nightrank.models.tower_artefact import Towers
from nightrank.nights import Night
from nightrank.steps.arrays import collect_arrays
from nightrank.steps.devices import on_devices
from nightrank.steps.encoders import with_encoder_in_force
from nightrank.steps.images import image_of, images_in
from nightrank.steps.item_order import item_order
from nightrank.steps.petastorm_feed import NUMERIC, Feed, feed_folder, petastorm_feed
from nightrank.steps.sequences import FOLD, longest_read, sequences
from nightrank.steps.tower import (
    Known,
    Tower,
    code_figures,
    fitted_tower,
    last_tower,
    sequence_tower,
    standing_tower,
    vectors_of,
)
from nightrank.tables import CLASSES, RANKER_RUNS

log = logging.getLogger("nightrank")
NO_RANKER = "none"


def build_ranker_runs(
    training_examples: DataFrame,
    items: DataFrame,
    item_embeddings: DataFrame,
    ranker_runs: DataFrame,
    encoder_runs: DataFrame,
    user_profiles: DataFrame,
    people: DataFrame,
    night: Night,
    config: Config,
) -> DataFrame:
    """One row: the ranker trained on tonight's examples, status 'trained'; or 'skipped' and why none was.

    Tower and codebook are the last ranker's (of `ranker_runs`, earlier nights) until `standing_tower` says otherwise.
    user_profiles: the snapshot before the examples, whose sequences towers learn from: so the ranker's coefficients
    are not fitted to takes that the towers know by heart. people: tonight's. Neither is read where words do.
    """
    from nightrank.models.encoder import encoder_version

    version = encoder_version(with_encoder_in_force(encoder_runs, config).item_embeddings)
    columns = (*NUMERIC, *(TAKEN if longest_read(config) else ()))
    with petastorm_feed(training_examples, feed_folder(config), columns=columns) as feed:
        known = {"encoder_version": version, **{f"{fold}_examples": rows for fold, rows in feed.rows.items()}}
        if reason := why_not(feed, config):
            row = {"status": "skipped", "reason": reason, "ranker_id": NO_RANKER, **known}
        else:
            catalogue = known_items(items, item_embeddings, version, config)
            tower = standing_tower(ranker_runs, version, night, config)
            if longest_read(config) and (tower is None or tower.towers is None):
                learned = sequences(user_profiles, people, catalogue.item_ids, config)
                last = last_tower(ranker_runs, version, config)
                tower = _learned_tower(learned, catalogue, last, night, config) or tower
            row = {"status": "trained", **_train(feed, catalogue, tower, version, night, config), **known}
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


def why_not(feed: Feed, config: Config) -> str | None:
    """Why no ranker can be trained on these examples; None: one can."""
    least = config.ranker_runs.min_examples
    if feed.rows["train"] < least:
        return f"{feed.rows['train']} training examples, fewer than ranker_runs.min_examples = {least}"
    gains = (part["gains"].max() > 0 for part in feed.examples("train"))
    return None if any(list(gains)) else "no training example has a gain"


def _learned_tower(
    learned: DataFrame, catalogue: Known, last: Tower | None, night: Night, config: Config
) -> Tower | None:
    """The tower fitted to these sequences, from where the last one ended; None where they are too few."""
    from nightrank.models.checkpoints import drop_checkpoint
    from nightrank.models.tower_training import CHECKPOINTS

    settings = config.ranker_runs
    with petastorm_feed(learned, feed_folder(config), (FOLD,), ("example_order", *TAKEN)) as feed:
        if feed.rows[FOLD] < settings.sequence.min_shoppers:
            log.warning("tower=words shoppers=%d fewer than ranker_runs.sequence.min_shoppers", feed.rows[FOLD])
            return None
        start = last.towers if last else None
        towers, losses = _trained_towers(feed, catalogue, start, config)
    told = " ".join(f"{loss:.4f}" for loss in losses) + "".join(f" image_gate={gate:.3f}" for gate in towers.image_gate)
    log.info("tower=sequence shoppers=%d loss=%s", feed.rows[FOLD], told)
    tower = sequence_tower(towers, catalogue, night, config)
    drop_checkpoint(config, CHECKPOINTS)
    return tower


def _trained_towers(feed: Feed, catalogue: Known, start: Towers | None, config: Config) -> tuple[Towers, list[float]]:
    """Towers and losses, trained in this process or on several devices, by way of the lake."""
    from nightrank.models.tower_store import fetch_towers
    from nightrank.models.tower_team import fit_in_team
    from nightrank.models.tower_training import train_towers

    settings, known = config.ranker_runs, (feed.examples, catalogue.item_ids, catalogue.embeddings)
    if settings.devices == 1:
        return train_towers(*known, settings, start, catalogue.images, lake=config)
    work = partial(fit_in_team, config, *known, start, catalogue.images)
    tower_id, losses = on_devices(work, settings.devices, settings.devices_on, gpu=False)
    return fetch_towers(config, tower_id), losses


def known_items(items: DataFrame, item_embeddings: DataFrame, version: str, config: Config) -> Known:
    """Tonight's items and their encoder vectors.

    Raises ContractError where an item has no vector: the rows would not be those that training_examples numbered.
    """
    latest = item_embeddings.where(F.col("encoder_version") == version).groupBy("content_hash")
    dims = config.items.image_dims if longest_read(config) else None
    image = (F.min(image_of(dims)).alias("image"),) if dims else ()
    texts = items.groupBy("item_id").agg(F.min("content_hash").alias("content_hash"), *image)
    found = collect_arrays(
        item_order(items)
        .join(texts, on="item_id", how="inner")
        .join(latest.agg(F.min_by("vector", "run_date").alias("vector")), on="content_hash", how="left")
        .select("item_index", "item_id", _or_empty("vector"), *([_or_empty("image")] if dims else [])),
        config.ranker_runs.max_items,
        "vectors of the catalogue",
        "ranker_runs.max_items",
        ["item_index"],
    )
    lengths = sorted({len(vector) for vector in found["vector"]})
    if len(lengths) != 1 or not lengths[0]:
        raise ContractError(
            f"A ranker cannot be trained: expected a vector of one length by encoder {version} for every item, found "
            f"lengths {lengths}. Run the stage item_embeddings of this night again."
        )
    vectors = np.stack(list(found["vector"])).astype(np.float32)
    return Known(found["item_id"].astype(np.str_), vectors, images_in(found["image"]) if dims else None)


def _or_empty(name: str) -> Column:
    return F.coalesce(name, F.array().cast("array<float>")).alias(name)


def _train(
    feed: Feed, catalogue: Known, tower: Tower | None, version: str, night: Night, config: Config
) -> dict[str, Any]:
    """What the row says of a ranker that is trained, kept in the lake and registered."""
    from nightrank.models.registry import Training, keep_ranker, log_ranker

    settings = config.ranker_runs
    trained = fitted(feed, catalogue, tower, config)
    tower = tower or fitted_tower(trained.projection, catalogue.embeddings, night, config)
    ranker = _ranker(trained, tower, version, config)
    figures = code_figures(tower, vectors_of(tower, catalogue), config)
    coefficients, metrics = _coefficients(ranker), {**trained.metrics, **figures}
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


def fitted(feed: Feed, catalogue: Known, tower: Tower | None, config: Config) -> Any:
    """What training learns: everything, or the coefficients on top of a tower that stands."""
    from nightrank.models.tower_examples import with_towers
    from nightrank.models.training import train_ranker

    settings = config.ranker_runs
    if tower is None or tower.towers is None:
        return train_ranker(feed.examples, catalogue.embeddings, settings, tower.projection if tower else None)
    vectors = vectors_of(tower, catalogue)
    examples = with_towers(feed.examples, tower.towers, catalogue.item_ids, vectors, settings.threads)
    return train_ranker(examples, vectors, settings, np.eye(settings.dims, dtype=np.float32))


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
        tower_id=tower.tower_id,
        shopper_tower=tower.towers.shopper if tower.towers else {},
    )


def _coefficients(ranker: Ranker) -> dict[str, float]:
    """a, c_<feature>, b_<class>_<feature>."""
    shopper = zip(ranker.shopper_features, ranker.shopper_coefficients, strict=True)
    named = {"a": ranker.a, **{f"c_{name}": float(value) for name, value in shopper}}
    for query_class, values in zip(CLASSES, ranker.engine_coefficients, strict=True):
        engine = zip(ranker.engine_features, values, strict=True)
        named |= {f"b_{query_class}_{name}": float(value) for name, value in engine}
    return named
