"""make bench-encode: the stage item_embeddings on real products, beside sentence-transformers and a bare torch loop.

Each pass is run RUNS=n times (5) in turn with the others, on two cores, with warm workers; ratios are medians over the
turns, and each pass is told of as it ends. TEXTS=n: so many texts (2000), spread over all products (0: all): a turn is
three passes over them, or four with OpenVINO. PRECISION=bf16: another than float32, for all three. Whatever else runs
on the two cores is in the figures. Expects ../shared/data/retrotech_products.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow
import torch
from figures import FOLDER, say_figures
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from retrotech_products import PRODUCTS, product_rows

from nightrank import tables
from nightrank.config import Config
from nightrank.models.encoder import Encoder, Vectors, encoder_folder, encoder_of, load_encoder
from nightrank.nights import BEGINNING, ordinary_night
from nightrank.sections import EncoderConfig, SparkConfig
from nightrank.session import build_session
from nightrank.steps.encoding import _batches
from nightrank.steps.item_embeddings import build_item_embeddings
from nightrank.storage import read_table, replace_night
from nightrank.vectors import refuse_neutral_vectors

TEXTS = int(os.environ.get("TEXTS", "2000"))
PRECISION = os.environ.get("PRECISION", "fp32")
RUNS = int(os.environ.get("RUNS", "5"))
CORES = 2
FIRST = date(2026, 1, 1)
CHANGED = 100  # one text of so many
WARM = 200  # texts, so that each worker has some
Figures = dict[str, float | int | str]
KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def product_texts(path: Path, most: int) -> list[str]:
    """So many distinct texts of products, as the default template of section `items` words them; 0: all."""
    parts = ("name", "manufacturer", "short_description", "long_description")
    told = {
        ". ".join(row[part].strip() for part in parts if (row[part] or "").strip())[:2000] for row in product_rows(path)
    }
    texts, drawn = sorted(told), min(most or len(told), len(told))
    return [texts[n * len(texts) // drawn] for n in range(drawn)]


def items_of(spark: SparkSession, texts: Sequence[str]) -> DataFrame:
    """The columns of items that the stage reads, from a file, as the stage reads them."""
    path = str(FOLDER / "encode_items")
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    frame.withColumn("content_hash", F.sha2("text", 256)).write.mode("overwrite").parquet(path)
    return spark.read.parquet(path)


def stage(spark: SparkSession, config: Config, items: DataFrame, day: date) -> float:
    """Seconds of the stage: what earlier nights lack is encoded, written and judged."""
    started, night = time.monotonic(), ordinary_night(day, ())
    held = read_table(spark, config.lake, tables.ITEM_EMBEDDINGS, BEGINNING, day - timedelta(days=1))
    judge = partial(refuse_neutral_vectors, spark, config, tables.ITEM_EMBEDDINGS, night)
    untuned = spark.createDataFrame([], tables.ENCODER_RUNS.schema)
    built = build_item_embeddings(items, held, untuned, night, config)
    replace_night(built, config.lake, tables.ITEM_EMBEDDINGS, day, day, judge=judge)
    return time.monotonic() - started


def warm_stage(spark: SparkSession, config: Config, items: DataFrame) -> float:
    """Seconds of the stage on an empty lake, with workers that have loaded the model, even where Spark ended some."""
    for some in (items.limit(WARM), items):
        shutil.rmtree(config.lake.path, ignore_errors=True)
        seconds = stage(spark, config, some, FIRST)
    return seconds


def workers(spark: SparkSession) -> list[Any]:
    """Each Python worker that answers: process id, loads so far, peak memory in GB.

    To be asked right after a stage: Spark ends workers that idle while the other passes run; new ones have no model.
    """

    def asked(rows: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        for _ in rows:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
            numbers = (os.getpid(), load_encoder.cache_info().misses, peak)
            time.sleep(0.05)  # else one worker answers for all
            yield pyarrow.RecordBatch.from_arrays([pyarrow.array([n]) for n in numbers], ["worker", "loads", "peak_gb"])

    rows = spark.range(0, 16, numPartitions=16).mapInArrow(asked, "worker long, loads long, peak_gb double").collect()
    return list({row.worker: row for row in rows}.values())


def bare_loop(pool: Any, batches: Sequence[Sequence[str]]) -> float:
    """Seconds of the stage's batches through the encoder alone, in as many processes as cores."""
    started = time.monotonic()
    pool.map(_encode, batches, chunksize=1)
    return time.monotonic() - started


_OWN: list[Encoder] = []


def _load(config: EncoderConfig) -> None:
    _OWN.append(encoder_of(config))
    _OWN[0](["warm"])


def _encode(texts: list[str]) -> None:
    _OWN[0](texts)


def baselines(config: EncoderConfig, texts: Sequence[str]) -> dict[str, Callable[[], Vectors]]:
    """sentence-transformers in each of its backends that is installed, by name; on all cores, after a first pass."""
    if not find_spec("sentence_transformers"):
        return {}
    from sentence_transformers import SentenceTransformer

    found: dict[str, Callable[[], Vectors]] = {}
    for backend in ("torch", "openvino"):
        if backend == "openvino" and not (find_spec("openvino") and find_spec("optimum")):
            continue
        kinds = {"model_kwargs": {"dtype": KINDS[PRECISION]}} if backend == "torch" else {}
        model = SentenceTransformer(str(encoder_folder(config.model)), device="cpu", backend=backend, **kinds)
        model.max_seq_length = config.max_tokens
        model.encode(texts[:64])
        found[backend] = partial(model.encode, list(texts), normalize_embeddings=True, convert_to_numpy=True)
    return found


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what was returned."""
    started = time.monotonic()
    made = act()
    return time.monotonic() - started, made


def peak_flops() -> float:
    """Multiplications and additions a second of a large matrix product on all cores: the best of some."""
    size = 2048
    one = torch.rand(size, size).to(KINDS[PRECISION])
    return max(2 * size**3 / timed(lambda: one @ one)[0] for _ in range(8))


def flops_of(encoder: Encoder, tokens: Sequence[int]) -> float:
    """Multiplications and additions of texts of so many tokens: linear layers, and attention over each text."""
    layers = [m for name, m in encoder.network.named_modules() if "pooler" not in name]
    linear = sum(m.weight.numel() for m in layers if isinstance(m, torch.nn.Linear))
    sizes = encoder.network.config
    attention = 4 * sizes.num_hidden_layers * sizes.hidden_size
    lengths = np.asarray(tokens, dtype=np.float64)
    return float(2 * linear * lengths.sum() + attention * (lengths**2).sum())


def turns(
    spark: SparkSession, config: Config, items: DataFrame, texts: Sequence[str]
) -> tuple[dict[str, list[float]], dict[str, Vectors], list[Any]]:
    """Seconds of each pass in each turn, the baselines' vectors, and the stage's workers after each turn's stage."""
    batches = [row.text for row in _batches(items.select(F.col("content_hash").alias("key"), "text"),
                                            config.item_embeddings).collect()]  # fmt: skip
    rivals = baselines(config.item_embeddings, texts)
    torch.set_num_threads(CORES)
    seconds: dict[str, list[float]] = {name: [] for name in ("stage", "bare", *rivals)}
    vectors: dict[str, Vectors] = {}
    known: list[Any] = []
    with multiprocessing.get_context("spawn").Pool(CORES, _load, (config.item_embeddings,)) as pool:
        bare_loop(pool, batches[: 2 * CORES])
        for turn in range(RUNS):
            _note(seconds, turn, "stage", warm_stage(spark, config, items))
            known += workers(spark)
            _note(seconds, turn, "bare", bare_loop(pool, batches))
            for name, encode in rivals.items():
                took, vectors[name] = timed(encode)
                _note(seconds, turn, name, took)
    return seconds, vectors, known


def _note(seconds: Mapping[str, list[float]], turn: int, name: str, took: float) -> None:
    seconds[name].append(took)
    sys.stderr.write(f"turn {turn + 1} of {RUNS}: {name} {took:.1f} s\n")


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median over turns."""
    return median(one / other for one, other in zip(above, below, strict=True))


def shares(seconds: Mapping[str, Sequence[float]], made: pyarrow.Table, config: EncoderConfig) -> Figures:
    """What the passes took, of what the machine can do."""
    tokens, full = made.column("tokens").to_pylist(), median(seconds["stage"])
    encoder = encoder_of(config)
    torch.set_num_threads(CORES)
    return {
        "tokens_a_text": sum(tokens) / len(tokens),
        "texts_per_second": len(tokens) / full,
        "tokens_per_second": sum(tokens) / full,
        "gemm_share": flops_of(encoder, tokens) / full / peak_flops(),
        "bare_texts_per_second": len(tokens) / median(seconds["bare"]),
        "spark_share": 1 - ratio(seconds["bare"], seconds["stage"]),
    }


def against(seconds: Mapping[str, Sequence[float]], made: pyarrow.Table, vectors: Mapping[str, Vectors]) -> Figures:
    """The stage beside the fastest of the baselines."""
    if not vectors:
        return {"baseline": "none: sentence-transformers is not installed"}
    best = min(vectors, key=lambda name: median(seconds[name]))
    cosines = (np.stack(made.column("vector").to_numpy()) * vectors[best]).sum(axis=1)
    return {
        "baseline": f"sentence-transformers {best}",
        "baseline_texts_per_second": len(cosines) / median(seconds[best]),
        "throughput_ratio": ratio(seconds[best], seconds["stage"]),
        "cosine_min": float(cosines.min()),
        "cosine_mean": float(cosines.mean()),
    }


def later_nights(spark: SparkSession, config: Config, items: DataFrame, full: float) -> Figures:
    """Nights without a new text, what the stage costs at least, in turn with ones of which every hundredth has changed.

    A first such night, which compiles its plan, is not counted.
    """
    nights = iter(range(1, 2 * RUNS + 2))
    warm_stage(spark, config, items)
    stage(spark, config, items, FIRST + timedelta(days=next(nights)))
    drawn = F.pmod(F.xxhash64("content_hash"), F.lit(CHANGED)) == 0
    fixed, changed = [], []
    for turn in range(RUNS):
        fixed.append(stage(spark, config, items, FIRST + timedelta(days=next(nights))))
        text = F.when(drawn, F.concat("text", F.lit(f" New {turn}"))).otherwise(F.col("text"))
        other = items.withColumn("text", text).withColumn("content_hash", F.sha2("text", 256))
        changed.append(stage(spark, config, other, FIRST + timedelta(days=next(nights))))
    share = median(one - least for one, least in zip(changed, fixed, strict=True)) / full
    return {
        "fixed_seconds": median(fixed), "changed_night_seconds": median(changed), "changed_night_share": share,
    }  # fmt: skip


def main() -> None:
    """See the module's docstring."""
    settings = {"buckets": 4, "tasks": 8 * CORES, "precision": PRECISION}
    config = Config.model_validate({"lake": {"path": str(FOLDER / "encode_lake")}, "item_embeddings": settings})
    spark = build_session(SparkConfig(master=f"local[{CORES}]", local_settings=True, shuffle_partitions=4))
    items = items_of(spark, product_texts(PRODUCTS, TEXTS))
    texts = [row.text for row in items.orderBy("content_hash").collect()]
    warm_stage(spark, config, items.limit(WARM))  # plans are compiled
    seconds, vectors, known = turns(spark, config, items, texts)
    full = median(seconds["stage"])
    made = read_table(spark, config.lake, tables.ITEM_EMBEDDINGS, FIRST, FIRST).orderBy("content_hash").toArrow()
    figures = {"texts": len(texts), "precision": PRECISION, "full_seconds": full}
    figures |= later_nights(spark, config, items, full)
    figures |= {"loads_per_worker": max(row.loads for row in known)}
    figures |= {"worker_memory_gb": max(row.peak_gb for row in known)}
    spark.stop()
    say_figures(
        "encode", {**figures, **shares(seconds, made, config.item_embeddings), **against(seconds, made, vectors)}
    )


if __name__ == "__main__":
    main()
