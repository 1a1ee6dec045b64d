"""make bench-train: examples a second of training that petastorm feeds, beside the same loop over arrays in memory.

Three loops: `ranker` learns a projection too, as in the night of a refit; `ranker_frozen` only coefficients, as in the
nights between; `tower` the sequence towers. Each is timed RUNS (5) times in pairs, petastorm's feed and memory taking
turns, and must learn the same bits from both. `<loop>_petastorm_ratio`: the median over pairs of the one's examples a
second to the other's; `petastorm_ratio`: the lowest of the three. EXAMPLES=n, SHOPPERS=n: rows to learn from.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow
from figures import FOLDER, say_figures
from numpy.typing import NDArray
from pyarrow import parquet
from pyspark.sql import SparkSession

from nightrank.models.batches import Pass
from nightrank.models.feature_names import ENGINE_FEATURES, PROFILE_FEATURES
from nightrank.models.sequences import TAKEN
from nightrank.models.tower_training import train_towers
from nightrank.models.training import first_projection, train_ranker
from nightrank.sections import RankerRunsConfig, SequenceConfig, SparkConfig, TrainingExamplesConfig
from nightrank.session import build_session
from nightrank.steps.petastorm_feed import NUMERIC, Feed, petastorm_feed

EXAMPLES, SHOPPERS = int(os.environ.get("EXAMPLES", "20000")), int(os.environ.get("SHOPPERS", "4000"))
RUNS = int(os.environ.get("RUNS", "5"))
ITEMS, ENCODER, EPOCHS, SEED = 5000, 384, 2, 7
SIZES, SEQUENCE = TrainingExamplesConfig(), SequenceConfig(epochs=1)
SETTINGS = RankerRunsConfig(epochs=EPOCHS, patience=EPOCHS + 1, sequence=SEQUENCE)
Arrays = dict[str, NDArray[Any]]


def made_examples(rows: int) -> Arrays:
    """Examples of the night's shapes: the base score decides what is taken, two slates in three are full."""
    random, slate, recent = np.random.default_rng(SEED), SIZES.slate, SIZES.recent
    there = np.arange(slate) < np.where(random.random(rows) < 2 / 3, slate, slate // 2)[:, None]
    engine = random.normal(size=(rows, slate, len(ENGINE_FEATURES))).astype(np.float32)
    taken = (there & (engine[..., 0] > 1.5)).astype(np.float32)
    return {
        "class_index": random.integers(0, 3, rows).astype(np.int32),
        "item_index": np.where(there, random.integers(0, ITEMS, (rows, slate)), -1).astype(np.int32),
        "engine_features": engine.reshape(rows, -1),
        "shopper_features": random.normal(size=(rows, slate * len(PROFILE_FEATURES))).astype(np.float32),
        "gains": taken,
        "logged_gains": taken,
        "log_propensity": np.zeros((rows, slate), np.float32),
        "recent_index": random.integers(0, ITEMS, (rows, recent)).astype(np.int32),
        "recent_weight": np.broadcast_to(0.9 ** np.arange(recent), (rows, recent)).astype(np.float32),
        "inverse_propensity": np.ones(rows, np.float32),
    }


def made_sequences(rows: int) -> Arrays:
    """Takes of shoppers, two to `longest` each."""
    random, longest = np.random.default_rng(SEED), SEQUENCE.longest
    there = np.arange(longest) < random.integers(2, longest + 1, rows)[:, None]
    drawn = {name: random.integers(0, most, (rows, longest)) for name, most in zip(TAKEN, (ITEMS, 10, 16), strict=True)}
    fillers = dict(zip(TAKEN, (-1, 0, 0), strict=True))
    return {name: np.where(there, values, fillers[name]).astype(np.int32) for name, values in drawn.items()}


def written(columns: Arrays, path: Path) -> str:
    """The Parquet file of the columns with what the feed asks for beside them: a tenth is the fold valid."""
    rows = len(next(iter(columns.values())))
    number = np.arange(rows)
    told = {"fold": np.where(number % 10 == 9, "valid", "train"), "query_id": number.astype(str)}
    table = {name: pyarrow.array(values) for name, values in told.items()}
    table["example_order"] = pyarrow.array(number.astype(np.int64))
    table |= {name: _column(values) for name, values in columns.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(table), path)
    return str(path)


def _column(values: NDArray[Any]) -> pyarrow.Array:
    if values.ndim == 1:
        return pyarrow.array(values)
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pyarrow.ListArray.from_arrays(pyarrow.array(offsets), pyarrow.array(values.ravel()))


def in_memory(feed: Feed) -> Pass:
    """The same parts as the feed's, read once and held."""
    held = {fold: list(feed.examples(fold)) for fold in feed.rows}
    return lambda fold: iter(held[fold])


def paired(learn: Callable[[Pass], Arrays], feeds: tuple[Pass, Pass]) -> Iterator[tuple[float, float]]:
    """Seconds with each of the two feeds, RUNS times after one that warms up; they take turns in going first."""
    learn(feeds[1])
    for number in range(RUNS):
        seconds, learned = [0.0, 0.0], {}
        for which in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            learned[which] = learn(feeds[which])
            seconds[which] = time.perf_counter() - started
        for name, values in learned[0].items():
            if not np.array_equal(values, learned[1][name]):
                raise AssertionError(f"{name}: petastorm and memory gave other bits")
        yield seconds[0], seconds[1]


def speed_figures(loop: str, examples: int, pairs: list[tuple[float, float]]) -> dict[str, float]:
    """Examples a second with petastorm and in memory, medians, and the median and the lowest of the pairs' ratios."""
    ratios = [memory / petastorm for petastorm, memory in pairs]
    return {
        f"{loop}_petastorm_per_second": examples / median(petastorm for petastorm, _ in pairs),
        f"{loop}_memory_per_second": examples / median(memory for _, memory in pairs),
        f"{loop}_petastorm_ratio": median(ratios),
        f"{loop}_petastorm_ratio_lowest": min(ratios),
    }


def rows_read(feed: Feed, fold: str) -> float:
    """Rows a second of a pass over the fold that does nothing with them; the best of three."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        rows = sum(len(part["example_order"]) for part in feed.examples(fold))
        seconds.append(time.perf_counter() - started)
    return rows / min(seconds)


def ranker_figures(spark: SparkSession, embeddings: NDArray[np.float32]) -> Iterator[tuple[str, float]]:
    """Both loops of the ranker."""
    frame = spark.read.parquet(written(made_examples(EXAMPLES), FOLDER / "train" / "examples.parquet"))
    frozen = first_projection(embeddings, SETTINGS.dims)
    with petastorm_feed(frame, str(FOLDER / "train" / "feed"), columns=NUMERIC) as feed:
        yield "ranker_read_per_second", rows_read(feed, "train")
        feeds = feed.examples, in_memory(feed)
        for loop, tower in (("ranker", None), ("ranker_frozen", frozen)):

            def learn(examples: Pass, tower: NDArray[np.float32] | None = tower) -> Arrays:
                found = train_ranker(examples, embeddings, SETTINGS, tower)
                return {"projection": found.projection, "coefficients": found.shopper_coefficients}

            yield from speed_figures(loop, feed.rows["train"] * EPOCHS, list(paired(learn, feeds))).items()


def tower_figures(spark: SparkSession, embeddings: NDArray[np.float32]) -> Iterator[tuple[str, float]]:
    """The towers' loop."""
    frame = spark.read.parquet(written(made_sequences(SHOPPERS), FOLDER / "train" / "sequences.parquet"))
    ids = np.array([f"i{n:06}" for n in range(ITEMS)])

    def learn(sequences: Pass) -> Arrays:
        found, _ = train_towers(sequences, ids, embeddings, SETTINGS)
        return {"ids": found.ids, "projection": found.projection}

    with petastorm_feed(frame, str(FOLDER / "train" / "feed"), ("train",), ("example_order", *TAKEN)) as feed:
        yield "tower_read_per_second", rows_read(feed, "train")
        pairs = list(paired(learn, (feed.examples, in_memory(feed))))
        yield from speed_figures("tower", feed.rows["train"] * SEQUENCE.epochs, pairs).items()


def main() -> None:
    """The figures of EXAMPLES examples and SHOPPERS sequences."""
    embeddings = np.random.default_rng(SEED).normal(size=(ITEMS, ENCODER)).astype(np.float32)
    shutil.rmtree(FOLDER / "train", ignore_errors=True)
    spark = build_session(SparkConfig(master="local[2]", local_settings=True, shuffle_partitions=2))
    try:
        figures: dict[str, float | int] = {"examples": EXAMPLES, "shoppers": SHOPPERS}
        figures |= dict(ranker_figures(spark, embeddings)) | dict(tower_figures(spark, embeddings))
    finally:
        spark.stop()
        shutil.rmtree(FOLDER / "train", ignore_errors=True)
    lowest = min(figures[f"{loop}_petastorm_ratio"] for loop in ("ranker", "ranker_frozen", "tower"))
    say_figures("train", {**figures, "petastorm_ratio": lowest})


if __name__ == "__main__":
    main()
