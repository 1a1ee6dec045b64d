"""make bench-rerank: what the rows of a made-up shop's shoppers cost, and how near its dot products are to bare ones.

gemm_share: what the same products alone take in float32, in whichever blocks are faster, of what `most_similar` takes
for them, in the same process with the threads of a Python worker. Then rows of SHOPPERS=10_000,100_000,300_000 in Spark
on two cores, the same way as in the stage `rerank_weights`: rows a second, the most memory that a worker has had up to
then, and what one more shopper costs between two sizes. ITEMS=n (100,000), DIMS=n, TOWER=sequence: with a transformer
of the default sizes, whose weights are drawn.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in a worker; numpy reads it once

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from itertools import pairwise

import numpy as np
from figures import say_figures
from numpy.typing import NDArray
from process_memory import high_waters
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.artefact import Ranker, unit_rows
from nightrank.models.catalogue import Catalogue, from_arrays, make_catalogue
from nightrank.models.codebook import assign_codes, fit_codebook
from nightrank.models.feature_names import ENGINE_FEATURES, SHOPPER_FEATURES
from nightrank.models.int8 import from_int8, to_int8
from nightrank.models.row import code_token
from nightrank.models.similar import most_similar
from nightrank.sections import SequenceConfig, SparkConfig
from nightrank.session import build_session
from nightrank.steps.arrays import share_arrays
from nightrank.steps.compiling import compiled_rows
from nightrank.steps.habits import no_habits
from nightrank.steps.shoppers import COLUMNS

ITEMS, DIMS = (int(os.environ.get(name, default)) for name, default in (("ITEMS", "100000"), ("DIMS", "64")))
SIZES = tuple(int(size) for size in os.environ.get("SHOPPERS", "10_000,100_000,300_000").split(","))
SEQUENCE = os.environ.get("TOWER", "words") == "sequence"
CLUSTERS, SEED, RUNS, WARM_UP, LARGE_BLOCK = 500, 7, 5, 2_000, 16_384
# Token, how many there are of it, how many a shopper has.
FACETS = (
    ("brand:", 2000, 8), ("category:", CLUSTERS, 4), ("price:", 7, 3), ("seller:", 50, 5), ("keyword:w", 5000, 10),
)  # fmt: skip
WORKER = "pyspark.daemon"  # so Spark calls its Python workers
Floats = NDArray[np.float32]


def made_vectors() -> Floats:
    """Unit vectors of items, float32: item n is near the centre n % CLUSTERS."""
    random = np.random.default_rng(SEED)
    centres = random.standard_normal((CLUSTERS, DIMS))
    return unit_rows(centres[np.arange(ITEMS) % CLUSTERS] + 0.7 * random.standard_normal((ITEMS, DIMS)))


def made_ranker(vectors: Floats) -> Ranker:
    """A ranker that weighs everything, with a codebook of some of the items."""
    shopper_tower = made_tower() if SEQUENCE else {}
    return Ranker(
        code_version="c1", encoder_version="e1", tower_night=date(2026, 1, 1),
        projection=np.eye(DIMS, dtype=np.float32), codebook=fit_codebook(vectors[:5000], None, 2, 32, SEED), a=5.0,
        shopper_coefficients=np.full(len(SHOPPER_FEATURES), 0.5),
        engine_coefficients=np.ones((3, len(ENGINE_FEATURES))),
        mean_shopper=vectors[:5000].mean(axis=0), recent=20, recent_decay=0.9,
        tower_id="t" if SEQUENCE else None, shopper_tower=shopper_tower,
    )  # fmt: skip


def made_tower() -> dict[str, Floats]:
    """The weights of a shopper tower of the default sizes, as drawn."""
    import torch

    from nightrank.models.towers import ShopperTower

    torch.manual_seed(SEED)
    sizes = SequenceConfig()
    tower = ShopperTower(DIMS, sizes.layers, sizes.heads, sizes.width, sizes.longest)
    return {name: weights.numpy() for name, weights in tower.state_dict().items()}


def made_catalogue(vectors: Floats, ranker: Ranker) -> Catalogue:
    """The items with two codes, four facets and four keywords each, and eight neighbours in their cluster."""
    codes, numbers = assign_codes(vectors, ranker.codebook), np.arange(ITEMS)
    words = np.random.default_rng(SEED).integers(0, 5000, (ITEMS, 4))
    tokens = [
        [*(code_token("c1", level, int(code)) for level, code in enumerate(codes[n])), f"brand:{n % 2000}",
         f"category:{n % CLUSTERS}", f"price:{n % 7}", f"seller:{n % 50}", *(f"keyword:w{w}" for w in set(words[n]))]
        for n in numbers
    ]  # fmt: skip
    near = [[item_name((n + CLUSTERS * k) % ITEMS) for k in range(1, 9)] for n in numbers]
    weights = [[0.5 / k for k in range(1, 9)]] * ITEMS
    names = np.array([item_name(n) for n in numbers])
    popularity = np.random.default_rng(SEED).pareto(1.0, ITEMS)
    return make_catalogue(names, tokens, near, weights, popularity, to_int8(vectors), popular_per_token=25)


def item_name(number: int) -> str:
    """The item's id; ids sort as numbers do."""
    return f"i{number:08d}"


def made_shoppers(spark: SparkSession, count: int) -> DataFrame:
    """So many flat shoppers with 20 recent items of three clusters, 12 own ones, and 30 facets."""
    facets = F.array_distinct(
        F.array(*[drawn_facet(kind, of, n) for kind, of, several in FACETS for n in range(several)])
    )
    own, recent = drawn_items(12), drawn_items(20)
    hours = F.transform(F.sequence(F.lit(1), F.size(recent)), lambda k: (k * 5).cast("bigint"))
    values = [
        F.concat(F.lit("u"), F.col("id").cast("string")), F.lit(date(2026, 1, 1)), F.lit(20).cast("bigint"),
        F.lit(None).cast("string"), facets, ones(facets, "double"), own, ones(own, "double"), recent, recent,
        ones(recent, "int"), hours, *no_habits(),
    ]  # fmt: skip
    return spark.range(count).select(*[value.alias(name) for value, name in zip(values, COLUMNS, strict=True)])


def drawn(number: Column, most: int) -> Column:
    """A number below `most` that depends on the shopper and `number` alone."""
    return F.pmod(F.xxhash64("id", number), F.lit(most))


def drawn_facet(kind: str, of: int, number: int) -> Column:
    """One of a shopper's tokens of a kind."""
    return F.concat(F.lit(kind), drawn(F.lit(number), of).cast("string"))


def drawn_items(most: int) -> Column:
    """Ids of items of the shopper's three clusters."""

    def name(k: Column) -> Column:
        cluster = F.pmod(F.col("id") * 7 + k % 3, F.lit(CLUSTERS))
        number = drawn(k, ITEMS // CLUSTERS) * CLUSTERS + cluster
        return F.concat(F.lit("i"), F.lpad(number.cast("string"), 8, "0"))

    return F.array_distinct(F.transform(F.sequence(F.lit(1), F.lit(most)), name))


def ones(names: Column, kind: str) -> Column:
    """As many ones as there are names."""
    return F.transform(names, lambda _: F.lit(1).cast(kind))


def seconds(act: Callable[[], object]) -> float:
    """CPU seconds of all threads: what other programs take meanwhile does not count."""
    started = time.process_time()
    act()
    return time.process_time() - started


def dot_products(vectors: NDArray[np.int8], config: Config) -> Iterator[tuple[str, float]]:
    """Pairs a second of a batch of shoppers with all items, beside the products alone; in turns, the best of each."""
    settings, floats = config.rerank_weights, from_int8(vectors)
    directions = 5 * floats[: settings.batch] + np.random.default_rng(SEED).standard_normal((settings.batch, DIMS))
    asked = unit_rows(directions.astype(np.float64))
    bare: dict[int, float] = {}
    whole: list[float] = []
    for _ in range(RUNS):
        for block in (settings.item_block, LARGE_BLOCK):
            parts = [floats[at : at + block] for at in range(0, ITEMS, block)]
            took = seconds(lambda parts=parts: [asked @ part.T for part in parts])
            bare[block] = min(took, bare.get(block, took))
        whole.append(seconds(lambda: most_similar(vectors, asked, settings.similar, settings.item_block)))
    yield "gemm_gflops", 2 * DIMS * ITEMS * settings.batch / min(bare.values()) / 1e9
    yield "pairs_per_second", ITEMS * settings.batch / min(whole)
    yield "gemm_share", min(bare.values()) / min(whole)
    yield "gemm_share_same_blocks", bare[settings.item_block] / min(whole)


def growth(sizes: Sequence[int], took: Sequence[float]) -> Iterator[tuple[str, float]]:
    """Milliseconds that one more shopper costs between each size and the next; the last as a multiple of the first."""
    marginal = [
        1000 * (later - earlier) / (more - fewer)
        for (fewer, earlier), (more, later) in pairwise(zip(sizes, took, strict=True))
    ]
    for size, cost in zip(sizes[1:], marginal, strict=True):
        yield f"marginal_ms_{size}", cost
    if len(marginal) > 1:
        yield "marginal_growth", marginal[-1] / marginal[0]


def compiled(spark: SparkSession, catalogue: Catalogue, ranker: Ranker, config: Config) -> Iterator[tuple[str, float]]:
    """Rows a second and a worker's memory of each size."""
    arrays = share_arrays(made_shoppers(spark, 1), catalogue.arrays())
    took, memory = [], []
    for size in (WARM_UP, *SIZES):
        rows = compiled_rows(made_shoppers(spark, size), lambda: from_arrays(arrays()), ranker, config)
        started = time.monotonic()
        rows.write.format("noop").mode("overwrite").save()
        took.append(time.monotonic() - started)
        memory.append(max(high_waters(os.getpid(), WORKER)) / 1e6)
    for size, seconds_taken, megabytes in zip(SIZES, took[1:], memory[1:], strict=True):
        yield f"rows_per_second_{size}", size / seconds_taken
        yield f"worker_mb_{size}", megabytes
    yield "memory_growth", memory[-1] / memory[1]
    yield from growth(SIZES, took[1:])


def main() -> None:
    """The dot products first, while nothing else runs here; then Spark."""
    config = Config()
    vectors = made_vectors()
    ranker = made_ranker(vectors)
    catalogue = made_catalogue(vectors, ranker)
    figures: dict[str, float | int | str] = {"items": ITEMS, "dims": DIMS, "tower": "sequence" if SEQUENCE else "words"}
    figures |= dict(dot_products(np.asarray(catalogue.vectors, np.int8), config))
    spark = build_session(SparkConfig(master="local[2]", local_settings=True))
    figures |= dict(compiled(spark, catalogue, ranker, config))
    spark.stop()
    say_figures("rerank", figures)


if __name__ == "__main__":
    main()
