"""The encoder's precision and threads, chosen by measuring on the shop's own texts; never inside a night."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import yaml
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from nightrank import tables
from nightrank.config import Config
from nightrank.errors import InputMissingError, UsageError
from nightrank.models.calibration import LEAST_COSINE, Measured, fastest, measured_ways
from nightrank.models.encoder_files import encoder_folder, weights_sha256
from nightrank.storage import nights_of, read_table


def calibrate(config: Config, texts: Sequence[str], extends: Path, written: Path) -> str:
    """What was measured and chosen, in words; the choice is written as an overlay of the config file `extends`.

    Raises UsageError where a file with that name is there already.
    """
    if written.exists():
        raise UsageError(f"'{written}' is not overwritten: expected a name that is free. Give --write another.")
    encoder, device = config.item_embeddings, _device()
    cores = len(os.sched_getaffinity(0))
    threads = [1] if device != "cpu" else [n for n in (1, 2, 4, 8) if n <= cores]
    ways = list(measured_ways(encoder, texts, threads, device))
    chosen = fastest(ways)
    words = _in_words(ways, chosen, len(texts), device)
    _write(words, _overlay(config, chosen, extends, written), written)
    return f"{words}\nWritten to {written}: run nights with --config {written}."


def texts_of_shop(spark: SparkSession, config: Config, most: int) -> list[str]:
    """At most so many item texts of the lake's last night, the first by their hashes: a fair sample, the same always.

    Raises InputMissingError where there is none.
    """
    nights = nights_of(spark, config.lake, tables.ITEMS)
    if not nights:
        raise InputMissingError("There are no items to calibrate on yet: run a night first, or give --texts.")
    items = read_table(spark, config.lake, tables.ITEMS, nights[-1], nights[-1])
    texts = items.groupBy("content_hash").agg(F.min("text").alias("text")).orderBy("content_hash").limit(most)
    return [row.text for row in texts.collect()]


def texts_of_file(file: Path, most: int) -> list[str]:
    """At most so many lines of the file. Raises InputMissingError where it has none."""
    try:
        lines = [line for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError as error:
        raise InputMissingError(f"Texts '{file}' cannot be read: {error.strerror}. Change --texts.") from None
    if not lines:
        raise InputMissingError(f"Texts '{file}' cannot be used: expected one a line, found none. Change --texts.")
    return lines[:most]


def _device() -> str:
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


def _in_words(ways: Sequence[Measured], chosen: Measured, texts: int, device: str) -> str:
    lines = [f"{texts} texts on {device}; chosen is the fastest with a mean cosine of {LEAST_COSINE} or more."]
    lines += ["precision  threads  texts/s a core  cosine mean      min"]
    for way in ways:
        mark = "  <- chosen" if way == chosen else ""
        lines.append(
            f"{way.precision:9}  {way.threads:7}  {way.texts_per_second:14.1f}  {way.cosine_mean:11.5f}  "
            f"{way.cosine_min:7.5f}{mark}"
        )
    return "\n".join(lines)


def _overlay(config: Config, chosen: Measured, extends: Path, written: Path) -> dict[str, object]:
    """Queries take the same where their encoder is that of items."""
    same = config.query_embeddings.model == config.item_embeddings.model
    sha256 = weights_sha256(encoder_folder(config.item_embeddings.model))
    settings = {"sha256": sha256, "precision": chosen.precision, "threads": chosen.threads}
    overlay: dict[str, object] = {"extends": os.path.relpath(extends, written.parent), "item_embeddings": settings}
    if same:
        overlay["query_embeddings"] = dict(settings)
    if chosen.threads > 1:  # threads × tasks = cores
        overlay["spark"] = {"settings": {"spark.task.cpus": str(chosen.threads)}}
    return overlay


def _write(words: str, overlay: dict[str, object], written: Path) -> None:
    comments = "".join(f"# {line}\n" for line in ("Written by `nightrank calibrate`.", *words.splitlines()))
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_text(comments + yaml.safe_dump(overlay, sort_keys=False), encoding="utf-8")
