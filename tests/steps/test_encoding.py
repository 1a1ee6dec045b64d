"""Encoding in Spark: batches come from the keys alone, so neither partitions nor cores change a bit."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas
import pyarrow
import pytest
from pyspark.errors import PythonException
from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.errors import ConfigError, ContractError
from nightrank.explaining import explained
from nightrank.models.encoder import Encoder, encoder_of, encoder_version, load_encoder
from nightrank.sections import EncoderConfig
from nightrank.steps import encoding
from nightrank.steps.encoding import encode_batches, encode_texts

WORDS = ("red", "blue", "shoe", "shirt", "lamp", "warm", "light", "trail", "the", "a", "of")
TEXTS = [(f"k{n:03}", " ".join(WORDS[n % 7 : n % 7 + n % 5])) for n in range(100)]


@pytest.fixture
def small(tiny_bert: Path) -> EncoderConfig:
    return EncoderConfig(model=str(tiny_bert), max_tokens=32, tokens_per_batch=40, buckets=3, tasks=2)


def encoded(texts: DataFrame, config: EncoderConfig) -> dict[str, bytes]:
    """The bits of each key's vector."""
    rows = encode_texts(texts, "word_id", config, encoder_version(config)).collect()
    assert len(rows) == len({row.word_id for row in rows})
    return {row.word_id: pandas.Series(row.vector, dtype="float32").to_numpy().tobytes() for row in rows}


def lists(*texts: list[str]) -> pyarrow.RecordBatch:
    """Rows as a task gets them: a batch each."""
    keys = [[f"{n}.{m}" for m in range(len(row))] for n, row in enumerate(texts)]
    kind = pyarrow.list_(pyarrow.string())
    return pyarrow.RecordBatch.from_arrays([pyarrow.array(keys, kind), pyarrow.array(texts, kind)], ["key", "text"])


def test_the_same_bits_whatever_the_partitions(spark: SparkSession, small: EncoderConfig) -> None:
    texts = spark.createDataFrame(TEXTS, "word_id string, text string")
    one = encoded(texts.coalesce(1), small)
    assert one.keys() == dict(TEXTS).keys()
    shuffled = spark.conf.get("spark.sql.shuffle.partitions")
    for partitions in (3, 7):
        try:
            spark.conf.set("spark.sql.shuffle.partitions", partitions)
            other = small.model_copy(update={"tasks": partitions})
            assert encoded(texts.orderBy("text").repartition(partitions), other) == one
        finally:
            spark.conf.set("spark.sql.shuffle.partitions", shuffled or "2")


def test_each_key_keeps_its_own_vector(spark: SparkSession, small: EncoderConfig) -> None:
    """One bucket, shortest texts first, as reckoned from their bytes: 2 + bytes / 4 tokens, 10 to a batch.

    c and e have 2, d has 4 and begins before the tenth token, b has 5 and begins before it too, a has 8 and does not.
    """
    texts = [("d", "red shoe"), ("a", "blue lamp of the trail"), ("e", ""), ("c", None), ("b", "warm lights")]
    config = small.model_copy(update={"tokens_per_batch": 10, "buckets": 1})
    vectors = load_encoder(config.model, 32, 1)
    text_of = {key: text or "" for key, text in texts}
    tokens = {"a": 7, "b": 4, "c": 2, "d": 4, "e": 2}
    expected = [
        (key, vector.tolist(), tokens[key], int(key == "b"))  # lights is a word that it does not know
        for batch in (["c", "e", "d", "b"], ["a"])
        for key, vector in zip(batch, vectors([text_of[key] for key in batch]), strict=True)
    ]
    assertDataFrameEqual(
        encode_texts(spark.createDataFrame(texts, "id string, text string"), "id", config, encoder_version(config)),
        spark.createDataFrame(expected, "id string, vector array<float>, tokens int, unknown_tokens int"),
        rtol=0,
        atol=0,
    )


def test_batches_hold_about_as_many_tokens_and_every_text_once(spark: SparkSession, small: EncoderConfig) -> None:
    texts = spark.createDataFrame([*TEXTS, ("k100", "shoe " * 1000)], "key string, text string")
    batches = [row.asDict() for row in encoding._batches(texts, small).collect()]
    assert sorted(key for batch in batches for key in batch["key"]) == [key for key, _ in TEXTS] + ["k100"]
    for batch in batches:
        reckoned = [min(2 - (-len(text) // 4), 32) for text in batch["text"]]
        assert reckoned == sorted(reckoned)
        assert sum(reckoned[:-1]) < 40 + 32
    longest = next(text for batch in batches for text in batch["text"] if len(text) > 100)
    assert len(longest) == 32 * 64


def test_a_worker_loads_the_model_once_over_many_batches_and_tasks(
    spark: SparkSession, small: EncoderConfig, tmp_path: Path
) -> None:
    """A folder of its own, so that no other test has loaded it."""
    folder = shutil.copytree(str(small.model), tmp_path / "bert")
    config = small.model_copy(update={"model": str(folder), "tasks": 6})
    encode = encode_batches(config, encoder_version(config))

    def counted(rows: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        before = load_encoder.cache_info().misses
        made = sum(1 for _ in encode(rows))
        numbers = (os.getpid(), load_encoder.cache_info().misses - before, made)
        yield pyarrow.RecordBatch.from_arrays([pyarrow.array([n]) for n in numbers], ["worker", "loads", "batches"])

    texts = spark.createDataFrame(TEXTS, "key string, text string")
    rows = encoding._batches(texts, config).mapInArrow(counted, "worker long, loads long, batches long").collect()
    loads, batches = Counter[int](), Counter[int]()
    for row in rows:
        loads[row.worker] += row.loads
        batches[row.worker] += row.batches
    assert len(rows) == 6
    assert sum(batches.values()) >= 12
    assert {loads[worker] for worker, made in batches.items() if made} == {1}


def test_a_task_without_rows_loads_nothing(small: EncoderConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []

    def counting(config: EncoderConfig, device: str) -> Encoder:
        loads.append(device)
        return encoder_of(config, device)

    monkeypatch.setattr(encoding, "encoder_of", counting)
    encode = encode_batches(small, encoder_version(small))
    assert list(encode(iter([]))) == []
    assert loads == []
    found = list(encode(iter([lists(["red"], ["blue", ""]), lists(["lamp"])])))
    assert [batch.column("key").to_pylist() for batch in found] == [["0.0"], ["1.0", "1.1"], ["0.0"]]
    assert loads == ["cpu"]


def test_the_task_of_a_gpu_encodes_on_it(small: EncoderConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which device the encoder is asked for; the network itself stays on the CPU."""
    asked: list[str] = []

    def on_cpu(config: EncoderConfig, device: str) -> Encoder:
        asked.append(device)
        return encoder_of(config)

    monkeypatch.setattr(encoding, "task_device", lambda: "cuda:3")
    monkeypatch.setattr(encoding, "encoder_of", on_cpu)
    assert len(list(encode_batches(small, encoder_version(small))(iter([lists(["red"])])))) == 1
    assert asked == ["cuda:3"]


def test_a_worker_with_another_model_is_refused_in_its_own_words(spark: SparkSession, small: EncoderConfig) -> None:
    texts = spark.createDataFrame(TEXTS[:1], "word_id string, text string")
    with pytest.raises(PythonException) as caught:
        encode_texts(texts, "word_id", small, "0123456789ab").collect()
    found = explained(caught.value, "Stage 'item_embeddings'")
    assert isinstance(found, ContractError)
    version = encoder_version(small)
    assert f"expected 0123456789ab as on the driver, found {version} on a worker." in str(found)


def test_a_model_larger_than_a_workers_memory_is_refused_on_the_driver(
    spark: SparkSession, small: EncoderConfig
) -> None:
    texts = spark.createDataFrame(TEXTS[:1], "word_id string, text string")
    config = small.model_copy(update={"worker_memory_gb": 0.1})
    with pytest.raises(ConfigError, match=r"found 0\.1 GB \(worker_memory_gb\)"):
        encode_texts(texts, "word_id", config, "any")
