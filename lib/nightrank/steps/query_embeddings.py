"""The BERT vector of each distinct query that has none yet."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.encoders import with_encoder_in_force
from nightrank.steps.encoding import encode_new


def build_query_embeddings(
    searches: DataFrame, query_embeddings: DataFrame, encoder_runs: DataFrame, night: Night, config: Config
) -> DataFrame:
    """The queries that have no vector of this encoder version yet: normalised_query, encoder_version, vector, tokens.

    unknown_tokens: those of them that the vocabulary does not know. Searches without words (derived ones, browsing)
    have no vector.
    """
    del night  # every builder takes it; here the frames are the night
    config = with_encoder_in_force(encoder_runs, config)
    queries = searches.where(F.trim("normalised_query") != "").select("normalised_query").distinct()
    texts = queries.withColumn("text", F.col("normalised_query"))
    return encode_new(texts, query_embeddings, "normalised_query", config.query_embeddings)
