"""From examples in a frame to numpy, through petastorm: the only file that reads with it.

Each fold is written as Parquet, ordered by (example_order, query_id) over the whole fold, into a folder that is
removed afterwards; each pass opens a new reader on the list of its files. Every pass counts its rows and checks their
order: a pass that is short, long or out of order is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.batches import Columns

FOLDS = ("train", "valid")
NUMERIC = (
    "class_index",
    "example_order",
    "item_index",
    "engine_features",
    "shopper_features",
    "gains",
    "logged_gains",
    "log_propensity",
    "recent_index",
    "recent_weight",
    "inverse_propensity",
)
_CACHE_SETTING = "petastorm.spark.converter.parentCacheDirUrl"


@dataclass(frozen=True)
class Feed:
    """rows: how many each fold has. examples: starts a pass over a fold: parts of numeric columns, in order.

    The arrays of a part are read-only. Another process that sees the files can be given `examples`, pickled.
    """

    rows: dict[str, int]
    examples: Callable[[str], Iterator[Columns]]


def feed_folder(config: Config) -> str:
    """Where the feed's files lie while they are read."""
    return config.ranker_runs.feed_folder or f"{config.lake.path.rstrip('/')}/feed"


@dataclass(frozen=True)
class Written:
    """The files of a fold and the rows in all of them: all that a pass needs, in whichever process."""

    file_urls: tuple[str, ...]
    rows: int


@contextmanager
def petastorm_feed(
    examples: DataFrame, folder: str, folds: Sequence[str] = FOLDS, columns: Sequence[str] = NUMERIC
) -> Iterator[Feed]:
    """The feed of the numeric `columns` of examples (fold, example_order, query_id among the frame's).

    The files under `folder` are removed on leaving. folder: a path or URL that the driver and the executors share.
    """
    from nightrank.steps.petastorm_compat import install

    install()
    examples.sparkSession.conf.set(_CACHE_SETTING, _url(folder))
    with ExitStack() as stack:
        written = {fold: stack.enter_context(_written(examples, fold, columns)) for fold in folds}
        yield Feed({fold: written[fold].rows for fold in folds}, partial(_one_pass, written, tuple(columns)))


@contextmanager
def _written(examples: DataFrame, fold: str, columns: Sequence[str]) -> Iterator[Written]:
    """One fold, as petastorm's converter has written it."""
    from petastorm.spark import make_spark_converter

    ordered = examples.where(F.col("fold") == fold).orderBy("example_order", "query_id").select(*columns)
    converter = make_spark_converter(ordered, dtype=None)
    try:
        yield Written(tuple(converter.file_urls), len(converter))
    finally:
        converter.delete()


def _one_pass(folds: dict[str, Written], columns: Sequence[str], fold: str) -> Iterator[Columns]:
    expected, read, last = folds[fold].rows, 0, -(2**63)
    try:
        for part in _parts(folds[fold].file_urls, columns) if expected else ():
            last = _refuse_disorder(part["example_order"], last, fold)
            read += len(part["example_order"])
            yield part
    except (OSError, ValueError) as error:
        raise ContractError(_unread(fold, expected, f"found {error}")) from error
    if read != expected:
        raise ContractError(_unread(fold, expected, f"read {read}"))


def _parts(file_urls: Sequence[str], columns: Sequence[str]) -> Iterator[Columns]:
    """The columns of each row group, [rows] or [rows, length], from a reader of its own."""
    from nightrank.steps.petastorm_compat import install

    install()
    from petastorm import make_batch_reader

    reading = {"reader_pool_type": "dummy", "shuffle_row_groups": False, "num_epochs": 1}
    with make_batch_reader(_in_order(file_urls), schema_fields=list(columns), **reading) as reader:
        for part in reader:
            yield {name: np.asarray(getattr(part, name)) for name in columns}


def _unread(fold: str, expected: int, found: str) -> str:
    return (
        f"Fold '{fold}' of the examples cannot be learned from: expected {expected} rows, as they were written, "
        f"{found}. Look at the folder ranker_runs.feed_folder and its disk, then run the stage again."
    )


def _refuse_disorder(example_order: NDArray[np.int64], last: int, fold: str) -> int:
    """The last value; ContractError where values fall."""
    if example_order[0] < last or (example_order[1:] < example_order[:-1]).any():
        raise ContractError(f"Fold '{fold}' of the examples came back out of order. Report it: it is a bug.")
    return int(example_order[-1])


def _in_order(file_urls: Sequence[str]) -> list[str]:
    """The files as Spark numbered them; names as they are on disk, since petastorm opens them without decoding."""
    return sorted((unquote(url) for url in file_urls), key=lambda url: url.rsplit("/", 1)[-1].split("-")[1].zfill(9))


def _url(folder: str) -> str:
    if "://" in folder:
        return folder.rstrip("/")
    Path(folder).mkdir(parents=True, exist_ok=True)
    return f"file://{Path(folder).resolve()}"
