"""What tests share: one Spark session for all of them, and one small shop with its lake."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank.runner import run_nights
from nightrank.sections import SparkConfig
from nightrank.session import build_session
from nightrank.shop.ubi_log import write_shop
from nights import BULK_UNTIL, INTERPRETED, LAST, Lake, hashes, loaded, write_config


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The one session: two cores, four attempts a task, so that retries are tested too."""
    session = build_session(
        SparkConfig(
            master="local[2,4]",
            local_settings=True,
            shuffle_partitions=2,
            driver_memory="4g",
            settings={"spark.sql.warehouse.dir": "build/warehouse", **INTERPRETED},
        )
    )
    yield session
    session.stop()


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random BERT of 2 layers and 16 dims that knows a few words: encoding in milliseconds."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("tiny_bert")
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] red blue shoe shirt lamp warm light trail the a of"
    vocab = {word: number for number, word in enumerate(words.split(" "))}
    BertTokenizer(vocab=vocab).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(vocab), max_position_embeddings=64, **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """The folder with a small shop's logs and truth."""
    folder = tmp_path_factory.mktemp("shop")
    write_shop(loaded(write_config(folder, folder / "shop", tiny_bert)).shop, folder / "shop")
    return folder / "shop"


@pytest.fixture(scope="session")
def lake(spark: SparkSession, shop: Path, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """That shop's lake after its bulk load and one night: to be read, or run again, but not changed."""
    path = write_config(tmp_path_factory.mktemp("lake"), shop, tiny_bert)
    config = loaded(path)
    run_nights(spark, config, "nightly", [BULK_UNTIL])
    before = Path(shutil.copytree(config.lake.path, tmp_path_factory.mktemp("before") / "lake"))
    run_nights(spark, config, "nightly", [LAST])
    return Lake(config, path, hashes(spark, config), before)
