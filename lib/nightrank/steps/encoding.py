"""Texts of a frame to BERT vectors: what items and queries share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from nightrank.errors import ContractError
from nightrank.models.encodable import longest_text
from nightrank.models.encoder import Encoded, encoder_folder, encoder_of, encoder_version
from nightrank.models.encoder_files import refuse_too_large
from nightrank.sections import EncoderConfig
from nightrank.steps.gpu import task_device

RecordBatches = Callable[[Iterator[pyarrow.RecordBatch]], Iterator[pyarrow.RecordBatch]]
ENCODED = "key string, vector array<float>, tokens int, unknown_tokens int"
# English has some four letters a token, and a Chinese character is three bytes: near enough to even batches out.
BYTES_PER_TOKEN = 4
# What a tokenizer puts around a text.
SPECIAL_TOKENS = 2


def encode_new(texts: DataFrame, held: DataFrame, key: str, encoder: EncoderConfig) -> DataFrame:
    """The vectors that `held` lacks: (`key`, encoder_version, vector, tokens, unknown_tokens), keys distinct.

    texts: (`key`, text), keys distinct. After a change of the encoder version every text is encoded anew, beside the
    vectors of the old one.
    """
    version = encoder_version(encoder)
    known = held.where(F.col("encoder_version") == version).select(key).distinct()
    encoded = encode_texts(texts.join(known, on=key, how="left_anti"), key, encoder, version)
    return encoded.withColumn("encoder_version", F.lit(version))


def encode_texts(texts: DataFrame, key: str, encoder: EncoderConfig, version: str) -> DataFrame:
    """The vector of each text: (`key` string, vector, tokens, unknown_tokens), from (`key`, text), keys distinct.

    tokens: how many of the text were encoded; unknown_tokens: those of them that the vocabulary does not know.
    A batch is one row, cut from the texts of a fixed hash bucket in the order of their lengths: which texts share a
    batch, and so every bit of their vectors, does not depend on partitions. `version`: what the workers' copy of the
    model must be.
    """
    if encoder.worker_memory_gb is not None:
        refuse_too_large(encoder_folder(encoder.model), encoder.worker_memory_gb, "worker_memory_gb")
    batches = _batches(texts.select(F.col(key).alias("key"), "text"), encoder)
    return batches.mapInArrow(encode_batches(encoder, version), ENCODED).withColumnRenamed("key", key)


def encode_batches(encoder: EncoderConfig, version: str) -> RecordBatches:
    """A function over a task's rows (key, text: lists), a batch of texts each, to rows (key, vector, …) a text each.

    It loads the model once a worker, and not at all in a task without rows. The rows must not be joined or split: see
    `encode_texts`.
    """

    def encode(rows: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        waiting: deque[pyarrow.Array] = deque()  # the encoder may read one list ahead

        def texts() -> Iterator[list[str]]:
            for batch in rows:
                for key, text in zip(batch.column("key"), batch.column("text"), strict=True):
                    waiting.append(key.values)
                    yield text.values.to_pylist()

        for encoded in _loaded_for_first(texts(), encoder, version):
            yield _rows(waiting.popleft(), encoded)

    return encode


def _loaded_for_first(lists: Iterator[list[str]], encoder: EncoderConfig, version: str) -> Iterator[Encoded]:
    first = next(lists, None)
    if first is None:
        return

    def whole() -> Iterator[list[str]]:
        yield first
        yield from lists

    _refuse_another_model(encoder, version)
    yield from encoder_of(encoder, task_device()).each(whole())


def _rows(keys: Any, encoded: Encoded) -> pyarrow.RecordBatch:
    """One row a text. A row a batch would have to be taken apart again, number by number, by the JVM."""
    n, dims = encoded.vectors.shape
    offsets = np.arange(0, (n + 1) * dims, dims, dtype=np.int32)
    vectors = pyarrow.ListArray.from_arrays(offsets, pyarrow.array(encoded.vectors.reshape(-1)))
    columns = [keys, vectors, pyarrow.array(encoded.tokens), pyarrow.array(encoded.unknown)]
    return pyarrow.RecordBatch.from_arrays(columns, ["key", "vector", "tokens", "unknown_tokens"])


def _batches(texts: DataFrame, encoder: EncoderConfig) -> DataFrame:
    """One row a batch of about tokens_per_batch tokens: (key array<string>, text array<string>), shortest texts first.

    As all are of one size, tasks with as many rows take as long; a bucket's last batch is what is left.
    """
    short = F.substring(F.coalesce("text", F.lit("")), 1, longest_text(encoder.max_tokens))
    reckoned = F.ceil(F.octet_length("text") / F.lit(BYTES_PER_TOKEN)).cast("int") + F.lit(SPECIAL_TOKENS)
    sized = texts.withColumn("text", short).withColumns(
        {
            "bucket": F.pmod(F.xxhash64("key"), F.lit(encoder.buckets)),
            "tokens": F.least(reckoned, F.lit(encoder.max_tokens)),
        }
    )
    by_length = Window.partitionBy("bucket").orderBy("tokens", "key")
    before = F.sum("tokens").over(by_length.rowsBetween(Window.unboundedPreceding, -1))
    chunk = F.floor(F.coalesce(before, F.lit(0)) / F.lit(encoder.tokens_per_batch))
    members = F.sort_array(F.collect_list(F.struct("tokens", "key", "text")))
    batches = sized.withColumn("chunk", chunk).groupBy("bucket", "chunk").agg(members.alias("members"))
    # With a number: adaptive execution would put so few bytes into one partition, and one core would do all the work.
    rows = batches.repartition(encoder.tasks)
    return rows.select(F.col("members.key").alias("key"), F.col("members.text").alias("text"))


def _refuse_another_model(encoder: EncoderConfig, version: str) -> None:
    """A worker on another machine reads its own copy of the folder: it must be the driver's model."""
    found = encoder_version(encoder)
    if found != version:
        raise ContractError(
            f"Texts cannot be encoded: encoder version: expected {version} as on the driver, found {found} on a "
            "worker. Put the same model folder on every machine."
        )
