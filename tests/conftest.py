"""What tests share: one Spark session for all of them, and one small shop with its lake."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from pyspark.sql import SparkSession

from nightrank.runner import run_nights
from nightrank.sections import SparkConfig
from nightrank.session import build_session
from nightrank.shop.ubi_log import write_shop
from nights import BULK_UNTIL, INTERPRETED, LAST, Lake, hashes, loaded, write_config


@pytest.hookimpl(trylast=True)  # after the tests that are not asked for are gone
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker makes the shared lake in the first file that reads it, the other does meanwhile what needs none."""
    readers = dict.fromkeys(item.path for item in items if "lake" in getattr(item, "fixturenames", ()))
    first = next(iter(readers), None)
    items.sort(key=lambda item: 0 if item.path == first else 2 if item.path in readers else 1)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A worker's one session: two cores, four attempts a task, so that retries are tested too."""
    session = build_session(
        SparkConfig(
            master="local[2,4]",
            local_settings=True,
            shuffle_partitions=2,
            driver_memory="4g",
            settings={"spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")), **INTERPRETED},
        )
    )
    yield session
    session.stop()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the small shop and its lake lie: a new folder, or the one that the workers of one `make test` share."""
    shared = os.environ.get("NIGHTRANK_TEST_WORLD")
    return Path(shared).resolve() if shared else tmp_path_factory.mktemp("world")


@pytest.fixture(scope="session")
def tiny_bert(world: Path) -> Path:
    """A folder with a random BERT of 2 layers and 16 dims that knows a few words: encoding in milliseconds."""
    return made(world / "tiny_bert", save_tiny_bert)


@pytest.fixture(scope="session")
def shop(world: Path, tiny_bert: Path) -> Path:
    """The folder with a small shop's logs and truth."""

    def write(folder: Path) -> None:
        write_shop(loaded(write_config(folder, folder / "shop", tiny_bert)).shop, folder / "shop")

    return made(world / "shop", write) / "shop"


@pytest.fixture(scope="session")
def lake(spark: SparkSession, world: Path, shop: Path, tiny_bert: Path) -> Lake:
    """That shop's lake after its bulk load and one night: to be read, or run again, but not changed."""

    def run(folder: Path) -> None:
        config = loaded(write_config(folder, shop, tiny_bert))
        run_nights(spark, config, "nightly", [BULK_UNTIL])
        shutil.copytree(config.lake.path, folder / "before")
        run_nights(spark, config, "nightly", [LAST])

    folder = made(world / "nights", run)
    config = loaded(folder / "config.yaml")
    return Lake(config, folder / "config.yaml", hashes(spark, config), folder / "before")


def made(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder, filled by `make` unless another worker has done so; what was left half made is made anew."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        done = folder / ".made"
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def save_tiny_bert(folder: Path) -> None:
    """Writes the model and its tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    words = "[PAD] [UNK] [CLS] [SEP] [MASK] red blue shoe shirt lamp warm light trail the a of"
    vocab = {word: number for number, word in enumerate(words.split(" "))}
    BertTokenizer(vocab=vocab).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(vocab), max_position_embeddings=64, **sizes)).save_pretrained(folder)
