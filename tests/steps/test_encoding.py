"""Encoding in Spark: batches come from the keys alone, so neither partitions nor cores change a bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.errors import ContractError
from nightrank.models.encoder import Vectors, encoder_version, load_encoder
from nightrank.sections import EncoderConfig
from nightrank.steps import encoding
from nightrank.steps.encoding import encode_series, encode_texts

WORDS = ("red", "blue", "shoe", "shirt", "lamp", "warm", "light", "trail", "the", "a", "of")
TEXTS = [(f"k{n:03}", " ".join(WORDS[n % 7 : n % 7 + n % 5])) for n in range(100)]


@pytest.fixture
def small(tiny_bert: Path) -> EncoderConfig:
    return EncoderConfig(model=str(tiny_bert), max_tokens=32, texts_per_batch=8, buckets=3)


def encoded(texts: DataFrame, config: EncoderConfig) -> dict[str, bytes]:
    """The bits of each key's vector."""
    rows = encode_texts(texts, "word_id", config, encoder_version(config)).collect()
    assert len(rows) == len({row.word_id for row in rows})
    return {row.word_id: pandas.Series(row.vector, dtype="float32").to_numpy().tobytes() for row in rows}


def test_the_same_bits_whatever_the_partitions(spark: SparkSession, small: EncoderConfig) -> None:
    texts = spark.createDataFrame(TEXTS, "word_id string, text string")
    one = encoded(texts.coalesce(1), small)
    assert one.keys() == dict(TEXTS).keys()
    shuffled = spark.conf.get("spark.sql.shuffle.partitions")
    for partitions in (3, 7):
        try:
            spark.conf.set("spark.sql.shuffle.partitions", partitions)
            assert encoded(texts.orderBy("text").repartition(partitions), small) == one
        finally:
            spark.conf.set("spark.sql.shuffle.partitions", shuffled or "2")


def test_each_key_keeps_its_own_vector(spark: SparkSession, small: EncoderConfig) -> None:
    """Two texts a batch in one bucket: the batches are (a, b), (c, d), (e,); a missing text is the empty one."""
    texts = [("d", "red shoe"), ("a", "blue lamp of the trail"), ("e", ""), ("c", None), ("b", "warm light")]
    config = small.model_copy(update={"texts_per_batch": 2, "buckets": 1})
    vectors = load_encoder(config.model, 32, 1)
    batches = (["a", "b"], ["c", "d"], ["e"])
    text_of = {key: text or "" for key, text in texts}
    expected = [
        (key, vector.tolist())
        for batch in batches
        for key, vector in zip(batch, vectors([text_of[key] for key in batch]), strict=True)
    ]
    assertDataFrameEqual(
        encode_texts(spark.createDataFrame(texts, "id string, text string"), "id", config, encoder_version(config)),
        spark.createDataFrame(expected, "id string, vector array<float>"),
        rtol=0,
        atol=0,
    )


def test_a_task_loads_the_model_once(small: EncoderConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """`load_encoder` is cached, so tasks of one worker share it: see models/test_encoder.py."""
    loads: list[str] = []

    def counting(model: str, *rest: int | str) -> Callable[[list[str]], Vectors]:
        loads.append(model)
        return load_encoder(model, *rest)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(encoding, "load_encoder", counting)
    series: Iterator[pandas.Series] = (pandas.Series([["red"], ["blue", ""]]) for _ in range(3))
    found = list(encode_series(small, encoder_version(small))(series))
    assert [[len(vectors) for vectors in batch] for batch in found] == [[1, 2]] * 3
    assert loads == [small.model]


def test_a_worker_with_another_model_is_refused(small: EncoderConfig) -> None:
    with pytest.raises(ContractError, match="expected 0123456789ab as on the driver, found"):
        list(encode_series(small, "0123456789ab")(iter([])))
