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
from nightrank.models.artefact import Ranker, item_vectors
from nightrank.models.codebook import assign_codes
from nightrank.models.int8 import to_int8
from nightrank.models.row import code_token
from nightrank.nights import Night
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
    parts = [_tokens_of(known, item_embeddings, rankers[version]) for version in sorted(rankers)]
    nothing = items.sparkSession.createDataFrame([], ITEM_TOKENS.columns)
    return reduce(DataFrame.unionByName, parts) if parts else nothing


def _tokens_of(items: DataFrame, item_embeddings: DataFrame, ranker: Ranker) -> DataFrame:
    vectors = item_embeddings.where(F.col("encoder_version") == ranker.encoder_version)
    return (
        items.withColumn("popularity", F.coalesce("popularity", F.lit(0.0)))
        .join(vectors.select("content_hash", F.col("vector").alias("embedding")), on="content_hash", how="inner")
        .select("item_id", "facets", "popularity", "embedding")
        .mapInPandas(_coded(ranker), schema=ITEM_TOKENS.columns)
    )


def _coded(ranker: Ranker) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    def coded(batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        for batch in batches:
            rows = [_coded_item(ranker, row) for row in batch.itertuples(index=False)]
            yield pandas.DataFrame(rows, columns=ITEM_TOKENS.columns.names)

    return coded


def _coded_item(ranker: Ranker, row: tuple[str, NDArray[np.object_], float, NDArray[np.float32]]) -> tuple[object, ...]:
    """One item at a time: a product of many rows at once would differ in its last bits with the size of the batch."""
    item_id, facets, popularity, embedding = row
    vector = item_vectors(ranker, np.asarray(embedding, dtype=np.float32)[None, :])
    codes = assign_codes(vector, ranker.codebook)[0]
    tokens = [code_token(ranker.code_version, level, int(code)) for level, code in enumerate(codes)]
    told = prior(ranker, vector[0], popularity)
    return item_id, ranker.code_version, [*tokens, *facets], told, to_int8(vector[0])


def prior(ranker: Ranker, vector: NDArray[np.float32], popularity: float) -> float:
    """What the ranker thinks of an item for everybody, in units of the base score.

    (a mean(u).v_i + b_popularity log(1 + popularity)) / b_base, with the coefficients b of class `category`.
    """
    base, log_popularity, _ = ranker.engine_coefficients[1].astype(np.float64)
    liked = float(ranker.a) * float(ranker.mean_shopper.astype(np.float64) @ vector.astype(np.float64))
    return round((liked + float(log_popularity) * float(np.log1p(popularity))) / float(base), 6)
