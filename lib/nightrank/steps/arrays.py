"""Frames as numpy arrays on the driver, and numpy arrays in the workers: the only place in steps that may collect."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyarrow import compute
from pyspark import SparkFiles
from pyspark.sql import DataFrame

from nightrank.errors import ContractError

Arrays = dict[str, NDArray[Any]]


def collect_arrays(
    frame: DataFrame, limit: int, what: str, key: str = "its limit in the config", order: Sequence[str] = ()
) -> Arrays:
    """Each column of the frame as one array on the driver, its rows sorted by the columns of `order`, a total order.

    Strings become '<U' arrays (object arrays where NULLs are among them), arrays of equal length one (rows, length)
    matrix, dates datetime64[D]; integers with NULLs become floats with NaN. Without an order there may be one row at
    most. Raises ContractError where there are more than `limit` rows; `key` names the setting that holds the limit.

    They are sorted here, as sorted by Spark the limit becomes a TakeOrderedAndProject, whose every task sets aside
    room for twice as many rows as the limit allows: 160 MB for a limit of twenty million, before there is a row.
    """
    table = frame.limit(limit + 1).toArrow()
    if table.num_rows > limit:
        raise ContractError(
            f"Cannot bring {what} to the driver: expected at most {limit} rows, found more. "
            f"Raise {key} if the driver's memory allows, or narrow what is read."
        )
    if not order and table.num_rows > 1:
        raise TypeError(f"Rows of {what} come in no order: name the columns that put them into one.")
    arrays = {name: _as_array(table.column(name)) for name in table.column_names}
    if not order:
        return arrays
    # Not the table itself: an Arrow list column cannot be put into order beyond two billion numbers.
    rows = compute.sort_indices(table.select(order), [(name, "ascending") for name in order]).to_numpy()
    return {name: values[rows] for name, values in arrays.items()}


def share_arrays(frame: DataFrame, arrays: Mapping[str, NDArray[Any]]) -> Callable[[], Arrays]:
    """A small picklable loader that gives a worker the same arrays, memory-mapped and read-only.

    Each array becomes one .npy file, named after its content and shipped to every host once by the frame's Spark
    context: sharing it again costs nothing. Object arrays are refused: they would have to be unpickled.
    """
    context = frame.sparkSession.sparkContext
    names = {}
    for name, array in arrays.items():
        path = _written(np.ascontiguousarray(array))
        context.addFile(str(path))
        names[name] = path.name
    return partial(load_shared, names)


def load_shared(files: Mapping[str, str]) -> Arrays:
    """The arrays that share_arrays wrote, opened once a process."""
    return {name: _opened(file) for name, file in files.items()}


def _as_array(column: Any) -> NDArray[Any]:
    kind = str(column.type)
    if kind.startswith(("list", "large_list")):
        return _as_matrix([np.asarray(row) for row in column.to_numpy()])
    values = column.to_numpy()
    if kind in {"string", "large_string"} and not column.null_count:
        return np.asarray(values.tolist(), dtype=np.str_)
    return np.asarray(values)


def _as_matrix(rows: list[NDArray[Any]]) -> NDArray[Any]:
    if len({row.shape for row in rows}) == 1 and rows[0].dtype != object:
        return np.stack(rows)
    ragged = np.empty(len(rows), dtype=object)
    ragged[:] = rows
    return ragged


def _written(array: NDArray[Any]) -> Path:
    if array.dtype == object:
        raise TypeError("An object array cannot be shared: expected numbers or '<U' strings. Convert it first.")
    content = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    content.update(array.tobytes())
    path = Path(_folder().name) / f"{content.hexdigest()}.npy"
    if not path.exists():
        np.save(path, array, allow_pickle=False)
    return path


@lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory[str]:
    """One folder a driver, removed when it ends."""
    return tempfile.TemporaryDirectory(prefix="nightrank-arrays-")


@lru_cache(maxsize=256)
def _opened(file: str) -> NDArray[Any]:
    mapped = np.load(SparkFiles.get(file), mmap_mode="r", allow_pickle=False)
    return np.asarray(mapped)  # the same memory; as np.memmap every index into it would run through Python
