"""Record batches of Arrow as whole groups, and their texts as numbers: between a frame and the maths on its arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyarrow import compute
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

# Rows of a chunk: some tens of MiB, and enough that numpy's calls cost nothing beside their work.
CHUNK = 200_000
GROUP = "_group"
OfChunk = Callable[[pyarrow.Table], pyarrow.RecordBatch]


def map_groups(frame: DataFrame, keys: tuple[str, ...], of_chunk: OfChunk, schema: T.StructType) -> DataFrame:
    """`of_chunk` over chunks of whole groups: all rows with the same keys are in one.

    A task sorts its rows by the keys' hash and cuts chunks between hashes, so that it holds one chunk at a time, or
    one group where that is larger: memory does not grow with the partition. Which groups share a chunk depends on the
    partitions, so `of_chunk` has to treat each for itself.
    """
    grouped = frame.repartition(*keys).withColumn(GROUP, F.xxhash64(*keys)).sortWithinPartitions(GROUP)

    def of_chunks(batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        for chunk in whole_groups(batches, CHUNK):
            yield of_chunk(chunk)

    return grouped.mapInArrow(of_chunks, schema)


def whole_groups(batches: Iterator[pyarrow.RecordBatch], rows: int) -> Iterator[pyarrow.Table]:
    """Tables of at least `rows` rows (the last: fewer) that end where the column GROUP changes."""
    held: list[pyarrow.RecordBatch] = []
    size, wanted = 0, rows
    for batch in batches:
        held.append(batch)
        size += batch.num_rows
        if size >= wanted:
            end = _start_of_last_group(held)
            if end:
                chunk, held = _cut(held, end)
                size -= end
                yield chunk
            # A group larger than a chunk is looked into again only when it has doubled.
            wanted = max(rows, 2 * size)
    if size:
        chunk, held = _cut(held, size)
        yield chunk


def _start_of_last_group(batches: list[pyarrow.RecordBatch]) -> int:
    groups = np.concatenate([batch.column(GROUP).to_numpy() for batch in batches])
    others = np.flatnonzero(groups != groups[-1])
    return int(others[-1]) + 1 if len(others) else 0


def _cut(batches: list[pyarrow.RecordBatch], end: int) -> tuple[pyarrow.Table, list[pyarrow.RecordBatch]]:
    """The rows before `end` in one piece, and the rest. Who drops the batches holds the rows once."""
    table = pyarrow.Table.from_batches(batches)
    return table.slice(0, end).combine_chunks(), table.slice(end).to_batches()


def longs(column: Any) -> NDArray[np.int64]:
    """A column of integers, dates (days) or times (microseconds) without NULLs as longs."""
    kind = pyarrow.int32() if pyarrow.types.is_date32(column.type) else pyarrow.int64()
    values: NDArray[np.int64] = np.asarray(column.cast(kind).to_numpy(zero_copy_only=False), dtype=np.int64)
    return values


def doubles(column: Any) -> NDArray[np.float64]:
    """A column of doubles without NULLs."""
    values: NDArray[np.float64] = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    return values


def sorted_codes(*columns: Any) -> tuple[list[NDArray[np.int64]], pyarrow.Array]:
    """Each column of texts as numbers, and the distinct texts of all: number k is the k-th in byte order."""
    sizes = [len(column) for column in columns]
    coded = pyarrow.concat_arrays([_one_chunk(column).cast(pyarrow.string()) for column in columns]).dictionary_encode()
    order = compute.sort_indices(coded.dictionary)
    number = np.empty(len(order), dtype=np.int64)
    number[order.to_numpy()] = np.arange(len(order))
    codes = number[coded.indices.to_numpy(zero_copy_only=False)]
    return np.split(codes, np.cumsum(sizes)[:-1]), coded.dictionary.take(order)


def flat(column: Any) -> tuple[Any, NDArray[np.int64]]:
    """The elements of a column of lists one after the other, and how many each list has (NULL: none)."""
    lists = _one_chunk(column)
    sizes = compute.fill_null(compute.list_value_length(lists), 0)
    return lists.flatten(), longs(sizes)


def lists_of(columns: dict[str, Any], sizes: NDArray[np.int64]) -> pyarrow.Array:
    """A column of lists of structs from the elements' columns and how many each list has."""
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    elements = pyarrow.StructArray.from_arrays([_one_chunk(c) for c in columns.values()], list(columns))
    return pyarrow.ListArray.from_arrays(offsets, elements)


def dates(days: NDArray[np.int64]) -> pyarrow.Array:
    """Days since 1970 as dates."""
    return pyarrow.array(days.astype(np.int32)).cast(pyarrow.date32())


def times(micros: NDArray[np.int64]) -> pyarrow.Array:
    """Microseconds since 1970 as times in UTC."""
    return pyarrow.array(micros).cast(pyarrow.timestamp("us", tz="UTC"))


def _one_chunk(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pyarrow.ChunkedArray) else column
