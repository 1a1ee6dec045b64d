"""item_tokens: what the shop's index needs of each item, a code version each: tokens, prior and int8 tower vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

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
from nightrank.models.tower_artefact import Towers, biases_of, image_dims, row_vectors
from nightrank.models.tower_store import fetch_towers
from nightrank.nights import Night
from nightrank.steps.arrays import share_arrays
from nightrank.steps.images import image_of, images_in
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
    """One row an item and code version: of tonight's challenger and of the champion. No ranker yet: no rows.

    item_neighbours: the snapshot of the night before: tonight's searches judge what priors add, so what was taken then
    is not in them.
    """
    rankers = {
        c.ranker.code_version: c.ranker
        for c in contenders(ranker_runs, promotions, night.run_date, config)
        if c.ranker is not None
    }
    popularity = item_neighbours.where(F.col("rank") == 0).select("item_id", F.col("weight").alias("popularity"))
    known = items.join(popularity, on="item_id", how="left")
    parts = [_tokens_of(known, item_embeddings, rankers[version], config) for version in sorted(rankers)]
    nothing = items.sparkSession.createDataFrame([], ITEM_TOKENS.columns)
    return reduce(DataFrame.unionByName, parts) if parts else nothing


def _tokens_of(items: DataFrame, item_embeddings: DataFrame, ranker: Ranker, config: Config) -> DataFrame:
    vectors = item_embeddings.where(F.col("encoder_version") == ranker.encoder_version)
    towers = fetch_towers(config, ranker.tower_id) if ranker.tower_id else None
    dims = image_dims(towers) if towers else 0
    image = [image_of(dims).alias("image")] if dims else []
    return (
        items.withColumn("popularity", F.coalesce("popularity", F.lit(0.0)))
        .join(vectors.select("content_hash", F.col("vector").alias("embedding")), on="content_hash", how="inner")
        .select("item_id", "facets", "popularity", "embedding", *image)
        .mapInPandas(_coded(ranker, _shared(items, towers)), schema=ITEM_TOKENS.columns)
    )


def _shared(items: DataFrame, towers: Towers | None) -> Callable[[], Towers | None]:
    """A loader that gives each worker the towers, mapped into memory; None: there are none."""
    if towers is None:
        return lambda: None
    arrays = {name: values for name, values in vars(towers).items() if name != "shopper" and len(values)}
    shared = share_arrays(items, arrays)
    return lambda: Towers(**shared())  # type: ignore[arg-type]  # the names are Towers' own fields


def _coded(
    ranker: Ranker, towers_of: Callable[[], Towers | None]
) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    def coded(batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        towers = towers_of()
        for batch in batches:
            vectors, ids = _vectors(ranker, towers, batch), batch["item_id"].to_numpy(np.str_)
            biases = np.zeros(len(ids)) if towers is None else biases_of(towers, ids)
            told = zip(batch.itertuples(index=False), vectors, biases.tolist(), strict=True)
            rows = [_coded_item(ranker, row, vector, bias) for row, vector, bias in told]
            yield pandas.DataFrame(rows, columns=ITEM_TOKENS.columns.names)

    return coded


def _vectors(ranker: Ranker, towers: Towers | None, batch: pandas.DataFrame) -> list[Floats]:
    """The vector of each item, one at a time: a product of many would differ in its last bits with their number."""
    texts = [np.asarray(embedding, dtype=np.float32)[None, :] for embedding in batch["embedding"]]
    if towers is None:
        return [item_vectors(ranker, text)[0] for text in texts]
    rows = positions(towers.item_ids, batch["item_id"].to_numpy(np.str_))
    images = [images_in([image]) for image in batch["image"]] if image_dims(towers) else [None] * len(rows)
    one_each = zip(rows[:, None], texts, images, strict=True)
    return [row_vectors(towers, row, text, image)[0] for row, text, image in one_each]


def _coded_item(ranker: Ranker, row: Any, vector: Floats, tower_bias: float) -> tuple[object, ...]:
    item_id, facets, popularity = row[:3]
    codes = assign_codes(vector[None, :], ranker.codebook)[0]
    tokens = [code_token(ranker.code_version, level, int(code)) for level, code in enumerate(codes)]
    told = prior(ranker, vector, popularity, tower_bias)
    return item_id, ranker.code_version, [*tokens, *facets], told, to_int8(vector)


def prior(ranker: Ranker, vector: NDArray[np.float32], popularity: float, tower_bias: float) -> float:
    """What the ranker thinks of an item for everybody, in units of the base score.

    (a mean(u).v_i + b_popularity log(1 + popularity) + b_bias tower_bias) / b_base, with the coefficients b of class
    `category`.
    """
    base, of_popularity, _, of_bias = ranker.engine_coefficients[1].astype(np.float64)
    liked = float(ranker.a) * float(ranker.mean_shopper.astype(np.float64) @ vector.astype(np.float64))
    known = float(of_popularity) * float(np.log1p(popularity)) + float(of_bias) * tower_bias
    return round((liked + known) / float(base), 6)
