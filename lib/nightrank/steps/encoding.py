"""Texts of a frame to BERT vectors: what items and queries share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from nightrank.errors import ContractError
from nightrank.models.encoder import encoder_version, load_encoder
from nightrank.sections import EncoderConfig
from nightrank.steps.gpu import task_device

SeriesOfBatches = Callable[[Iterator[pandas.Series]], Iterator[pandas.Series]]


def encode_new(texts: DataFrame, held: DataFrame, key: str, encoder: EncoderConfig) -> DataFrame:
    """The vectors that `held` lacks: (`key`, encoder_version, vector), from texts (`key`, text), keys distinct.

    After a change of the encoder version every text is encoded anew, beside the vectors of the old one.
    """
    version = encoder_version(encoder)
    known = held.where(F.col("encoder_version") == version).select(key).distinct()
    encoded = encode_texts(texts.join(known, on=key, how="left_anti"), key, encoder, version)
    return encoded.select(key, F.lit(version).alias("encoder_version"), "vector")


def encode_texts(texts: DataFrame, key: str, encoder: EncoderConfig, version: str) -> DataFrame:
    """The vector of each text: (`key` string, vector array<float>), from (`key`, text string), keys distinct.

    A batch is one row, cut from sorted keys in fixed hash buckets: which texts share a batch, and so every bit of
    their vectors, does not depend on partitions. `version`: what the workers' copy of the model must be.
    """
    encode = encode_series(encoder, version)
    vectors_of = F.pandas_udf(encode, "array<array<float>>")  # type: ignore[attr-defined] # missing in pyspark's stubs
    batches = _batches(texts.select(F.col(key).alias("key"), "text"), encoder)
    encoded = batches.select("key", vectors_of("text").alias("vector"))
    return encoded.select(F.inline(F.arrays_zip("key", "vector"))).withColumnRenamed("key", key)


def encode_series(encoder: EncoderConfig, version: str) -> SeriesOfBatches:
    """A function over the batches of a task, a list of texts each, to their vectors; it loads the model once.

    The batches must not be joined or split: see `encode_texts`.
    """

    def encode(batches: Iterator[pandas.Series]) -> Iterator[pandas.Series]:
        _refuse_another_model(encoder, version)
        vectors = load_encoder(encoder.model, encoder.max_tokens, encoder.threads, task_device())
        for batch in batches:
            yield batch.map(lambda texts: list(vectors(list(texts))))

    return encode


def _batches(texts: DataFrame, encoder: EncoderConfig) -> DataFrame:
    """One row a batch: (key array<string>, text array<string>), sorted by key."""
    bucket = F.pmod(F.xxhash64("key"), F.lit(encoder.buckets))
    order = Window.partitionBy("bucket").orderBy("key").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    chunk = F.floor((F.row_number().over(order) - 1) / F.lit(encoder.texts_per_batch))
    members = F.sort_array(F.collect_list(F.struct("key", F.coalesce("text", F.lit("")).alias("text"))))
    batches = texts.withColumn("bucket", bucket).withColumn("chunk", chunk).groupBy("bucket", "chunk")
    # With a number: adaptive execution would put so few bytes into one partition, and one core would do all the work.
    rows = batches.agg(members.alias("members")).repartition(encoder.buckets)
    return rows.select(F.col("members.key").alias("key"), F.col("members.text").alias("text"))


def _refuse_another_model(encoder: EncoderConfig, version: str) -> None:
    """A worker on another machine reads its own copy of the folder: it must be the driver's model."""
    found = encoder_version(encoder)
    if found != version:
        raise ContractError(
            f"Texts cannot be encoded: encoder version: expected {version} as on the driver, found {found} on a "
            "worker. Put the same model folder on every machine."
        )
