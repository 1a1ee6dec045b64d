"""item_tokens: what the shop's index needs of each item, a code version each: tokens, prior and int8 tower vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce

import numpy as np
import pandas
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.artefact import Floats, Ranker, item_vectors
from nightrank.models.catalogue import positions
from nightrank.models.codebook import assign_codes
from nightrank.models.int8 import to_int8
from nightrank.models.row import code_token
from nightrank.models.tower_artefact import Towers, row_vectors
from nightrank.models.tower_store import fetch_towers
from nightrank.nights import Night
from nightrank.steps.arrays import share_arrays
from nightrank.steps.rankers import contenders
from nightrank.tables import ITEM_TOKENS


def build_item_tokens(
    items: DataFrame,
    item_embeddings: DataFrame,
    item_neighbours: DataFrame,
    ranker_runs: DataFrame,
    promotions: DataFrame,
    night: Night,
    config: Config,
) -> DataFrame:
    """One row an item and code version: of tonight's challenger and of the champion. No ranker yet: no rows."""
    rankers = {
        c.ranker.code_version: c.ranker
        for c in contenders(ranker_runs, promotions, night.run_date, config)
        if c.ranker is not None
    }
    popularity = item_neighbours.where(F.col("rank") == 0).select("item_id", F.col("weight").alias("popularity"))
    known = items.select("item_id", "facets", "content_hash").join(popularity, on="item_id", how="left")
    parts = [_tokens_of(known, item_embeddings, rankers[version], config) for version in sorted(rankers)]
    nothing = items.sparkSession.createDataFrame([], ITEM_TOKENS.columns)
    return reduce(DataFrame.unionByName, parts) if parts else nothing


def _tokens_of(items: DataFrame, item_embeddings: DataFrame, ranker: Ranker, config: Config) -> DataFrame:
    vectors = item_embeddings.where(F.col("encoder_version") == ranker.encoder_version)
    return (
        items.withColumn("popularity", F.coalesce("popularity", F.lit(0.0)))
        .join(vectors.select("content_hash", F.col("vector").alias("embedding")), on="content_hash", how="inner")
        .select("item_id", "facets", "popularity", "embedding")
        .mapInPandas(_coded(ranker, _towers_of(items, ranker, config)), schema=ITEM_TOKENS.columns)
    )


def _towers_of(items: DataFrame, ranker: Ranker, config: Config) -> Callable[[], Towers | None]:
    """A loader that gives each worker the ranker's towers, mapped into memory; None: it has none."""
    if ranker.tower_id is None:
        return lambda: None
    towers = fetch_towers(config, ranker.tower_id)
    arrays = {name: values for name, values in vars(towers).items() if name != "shopper"}
    shared = share_arrays(items, arrays)
    return lambda: Towers(**shared())  # type: ignore[arg-type]  # the names are Towers' own fields


def _coded(
    ranker: Ranker, towers_of: Callable[[], Towers | None]
) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    def coded(batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        towers = towers_of()
        for batch in batches:
            vectors = _vectors(ranker, towers, batch)
            told = zip(batch.itertuples(index=False), vectors, strict=True)
            rows = [_coded_item(ranker, row, vector) for row, vector in told]
            yield pandas.DataFrame(rows, columns=ITEM_TOKENS.columns.names)

    return coded


def _vectors(ranker: Ranker, towers: Towers | None, batch: pandas.DataFrame) -> list[Floats]:
    """The vector of each item, one at a time: a product of many would differ in its last bits with their number."""
    texts = [np.asarray(embedding, dtype=np.float32)[None, :] for embedding in batch["embedding"]]
    if towers is None:
        return [item_vectors(ranker, text)[0] for text in texts]
    rows = positions(towers.item_ids, batch["item_id"].to_numpy(np.str_))
    return [row_vectors(towers, rows[n : n + 1], text)[0] for n, text in enumerate(texts)]


def _coded_item(
    ranker: Ranker, row: tuple[str, NDArray[np.object_], float, NDArray[np.float32]], vector: Floats
) -> tuple[object, ...]:
    item_id, facets, popularity, _ = row
    codes = assign_codes(vector[None, :], ranker.codebook)[0]
    tokens = [code_token(ranker.code_version, level, int(code)) for level, code in enumerate(codes)]
    told = prior(ranker, vector, popularity)
    return item_id, ranker.code_version, [*tokens, *facets], told, to_int8(vector)


def prior(ranker: Ranker, vector: NDArray[np.float32], popularity: float) -> float:
    """What the ranker thinks of an item for everybody, in units of the base score.

    (a mean(u).v_i + b_popularity log(1 + popularity)) / b_base, with the coefficients b of class `category`.
    """
    base, log_popularity, _ = ranker.engine_coefficients[1].astype(np.float64)
    liked = float(ranker.a) * float(ranker.mean_shopper.astype(np.float64) @ vector.astype(np.float64))
    return round((liked + float(log_popularity) * float(np.log1p(popularity))) / float(base), 6)
