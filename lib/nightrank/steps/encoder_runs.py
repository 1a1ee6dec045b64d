"""encoder_runs: the week's encoder, tuned on the shop's own searches and judged on later ones, as one row."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.nights import Night
from nightrank.steps.arrays import collect_arrays
from nightrank.steps.consent import not_forgotten
from nightrank.steps.devices import on_devices
from nightrank.steps.encoder_lessons import TRAIN, SearchTakes, search_takes
from nightrank.steps.encoders import PROMOTED, REFUSED, SKIPPED, base_version, with_encoder_in_force, with_model
from nightrank.steps.petastorm_feed import Feed, feed_folder, petastorm_feed
from nightrank.tables import ENCODER_RUNS

NO_ENCODER = "none"
COLUMNS = ("query_index", "item_index", "example_order")


def build_encoder_runs(
    searches: DataFrame, items: DataFrame, people: DataFrame, encoder_runs: DataFrame, night: Night, config: Config
) -> DataFrame:
    """One row: an encoder tuned from the configured one, status 'promoted' or 'refused'; or 'skipped' and why none was.

    searches: a window that ends tonight. It is judged against the encoder in force: by `encoder_runs`, earlier nights.
    """
    takes = search_takes(not_forgotten(searches, people, F.to_date("ts")), items, night, config)
    folds = takes.examples.withColumn("fold", F.lit(TRAIN))
    with petastorm_feed(folds, feed_folder(config), (TRAIN,), COLUMNS) as feed:
        _refuse_too_many(feed, config)
        known = {"base_version": base_version(config), "train_examples": feed.rows[TRAIN]}
        if reason := _why_not(takes, feed, config):
            row = {"status": SKIPPED, "reason": reason, "encoder_id": NO_ENCODER, **known}
        else:
            standing = with_encoder_in_force(encoder_runs, config)
            row = {**_tuned_and_judged(takes, feed, standing, night, config), **known}
    values = tuple(map(row.get, ENCODER_RUNS.columns.names))
    return searches.sparkSession.createDataFrame([values], ENCODER_RUNS.columns)


def note_encoder_figures(encoder_runs: DataFrame, _: Mapping[str, int], config: Config) -> None:
    """Notes for MLflow the figures that the night's encoder was judged by, in the run of the job `encoder`."""
    from nightrank.models.outbox import Note, keep_note

    rows = encoder_runs.select("run_date", "status", F.explode("metrics").alias("metric", "value"))
    found = collect_arrays(rows, 1000, "figures of one encoder", order=["metric"])
    if len(found["metric"]):
        figures = dict(zip(map(str, found["metric"]), map(float, found["value"]), strict=True))
        tags = {"encoder_status": str(found["status"][0])}
        keep_note(config, Note(str(found["run_date"][0]), "encoder", "judged", tags=tags, figures=figures))


def _refuse_too_many(feed: Feed, config: Config) -> None:
    most = config.encoder_runs.max_examples
    if feed.rows[TRAIN] > most:
        raise ContractError(
            f"An encoder cannot be tuned: expected at most {most} training examples (encoder_runs.max_examples), found "
            f"{feed.rows[TRAIN]}. Lower encoder_runs.share_of_searches, or raise that."
        )


def _why_not(takes: SearchTakes, feed: Feed, config: Config) -> str | None:
    settings = config.encoder_runs
    if base_version(config) is None:
        return "item_embeddings.model and query_embeddings.model are two encoders: one is tuned for both"
    if feed.rows[TRAIN] < settings.min_examples:
        return f"{feed.rows[TRAIN]} training examples, fewer than encoder_runs.min_examples = {settings.min_examples}"
    if not len(takes.valid.item) or not len(takes.judged.item):
        return "no search of the last nights took anything: there is nothing to stop and to judge by"
    return None


def _tuned_and_judged(takes: SearchTakes, feed: Feed, standing: Config, night: Night, config: Config) -> dict[str, Any]:
    """What the row says of an encoder that was tuned and judged. standing: the settings with the encoder in force."""
    from nightrank.models.checkpoints import drop_checkpoint
    from nightrank.models.encoder import encoder_folder, encoder_version
    from nightrank.models.encoder_artefact import write_encoder
    from nightrank.models.encoder_judging import judge
    from nightrank.models.encoder_lessons import Lessons

    lessons = Lessons(
        takes.query_texts, takes.item_texts, takes.unseen, feed.rows[TRAIN], partial(feed.examples, TRAIN), takes.valid
    )
    tuned = _tuned(lessons, config)
    row = {"standing_version": encoder_version(standing.item_embeddings), "epochs": tuned.best_epoch}
    with tempfile.TemporaryDirectory() as folder:
        write_encoder(tuned.model.network, encoder_folder(config.item_embeddings.model), Path(folder))
        encoders = (standing.item_embeddings, with_model(config, folder).item_embeddings)
        verdict = judge(*encoders, lessons, takes.judged, config.encoder_runs)
        reason = f"{verdict.reason}; training stopped: {tuned.stopped}" if tuned.stopped else verdict.reason
        row |= {"status": REFUSED, "reason": reason, "metrics": verdict.metrics, "encoder_id": NO_ENCODER}
        if verdict.promoted:
            row |= {"status": PROMOTED, **_kept(Path(folder), tuned, verdict.metrics, lessons.rows, night, config)}
    drop_checkpoint(config, tuned.checkpoint)
    return row


def _tuned(lessons: Any, config: Config) -> Any:
    """What training leaves: in this process, or on several devices by way of the checkpoints in the lake."""
    from nightrank.models.encoder_training import tune_encoder, tune_in_team, tuned_in_team

    settings, given = config.encoder_runs, (config.item_embeddings, lessons, config)
    if settings.devices == 1:
        return tune_encoder(*given)
    gpu = settings.device.startswith("cuda")
    return tuned_in_team(*given, on_devices(partial(tune_in_team, *given), settings.devices, settings.devices_on, gpu))


def _kept(
    folder: Path, tuned: Any, metrics: Mapping[str, float], examples: int, night: Night, config: Config
) -> dict[str, Any]:
    """Where the encoder is kept: its id, once it stands in the lake, and its version in MLflow."""
    from nightrank.models.encoder_files import encoder_files
    from nightrank.models.encoder_store import keep_files
    from nightrank.models.model_card import encoder_card
    from nightrank.models.registry import Training, log_encoder

    encoder_id, base = keep_files(config, encoder_files(folder)), str(base_version(config))
    card = encoder_card(encoder_id, base, night.run_date, examples, metrics)
    params = {**config.encoder_runs.model_dump(exclude={"threads"}), "base_version": base}
    told = Training(night.run_date, params, tuned.curves, metrics, {TRAIN: examples})
    registered = log_encoder(config, folder, encoder_id, card, told)
    return {
        "encoder_id": encoder_id,
        "mlflow_run_id": registered.mlflow_run_id,
        "model_version": registered.model_version,
    }
