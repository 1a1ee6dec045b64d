"""The BERT vector of each item text that has none yet."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.encoders import with_encoder_in_force
from nightrank.steps.encoding import encode_new


def build_item_embeddings(
    items: DataFrame, item_embeddings: DataFrame, encoder_runs: DataFrame, night: Night, config: Config
) -> DataFrame:
    """The item texts that have no vector of this encoder version yet: content_hash, encoder_version, vector, tokens.

    unknown_tokens: those of them that the vocabulary does not know. Items with the same text are encoded once.
    """
    del night  # every builder takes it; here the frames are the night
    config = with_encoder_in_force(encoder_runs, config)
    texts = items.groupBy("content_hash").agg(F.min("text").alias("text"))
    return encode_new(texts, item_embeddings, "content_hash", config.item_embeddings)
