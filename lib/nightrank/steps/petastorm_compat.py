"""petastorm 0.12, mended for today's pyarrow and numpy; `install` does it once, before anything imports petastorm.

petastorm was written for pyarrow's first dataset classes, which are gone, and for names that numpy 2 dropped. What is
here serves the one way in which the project reads: `make_batch_reader` over a list of Parquet files, in order, in the
caller's thread. Its thread pool asks "is anything left?" before "has everything been handed out?" and can end a pass
early, without an error, so that reading with threads or processes is refused. pyarrow and numpy are left as they are.
"""

from __future__ import annotations

import importlib
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]  # it ships no types
from numpy.typing import NDArray
from packaging.version import Version
from pyarrow import parquet

_READING = ("petastorm.reader", "petastorm.etl.dataset_metadata", "petastorm.arrow_reader_worker")
_IMPORTED = (*_READING, "petastorm.fs_utils", "petastorm.unischema", "petastorm.spark.spark_dataset_converter")


@dataclass(frozen=True)
class Piece:
    """One Parquet file, or one of its row groups."""

    path: str
    open_file_func: Callable[[str], Any]
    row_group: int | None = None
    partition_keys: tuple[()] = ()

    def get_metadata(self) -> Any:
        """The file's footer."""
        with self.open_file_func(self.path) as file:
            return parquet.read_metadata(file)

    def read(self, columns: set[str], **_: Any) -> Any:
        """The row group's columns as a pyarrow Table of one chunk, in the file's order."""
        with self.open_file_func(self.path) as file:
            opened = parquet.ParquetFile(file)
            wanted = [name for name in opened.schema_arrow.names if name in columns]
            return opened.read_row_group(self.row_group, columns=wanted).combine_chunks()


@dataclass(frozen=True)
class FileList:
    """A data set that is exactly these files. No summary files belong to it, so none is ever unpickled."""

    paths: list[str]
    fs: Any
    pieces: tuple[Piece, ...]
    partitions: None = None
    metadata: None = None
    common_metadata: None = None


@dataclass(frozen=True)
class InOrderPool:
    """A pool of one worker that works when it is asked for a result: nothing runs beside it, so nothing can be lost."""

    workers_count: int = 1
    diagnostics: dict[str, Any] = field(default_factory=dict)
    pending: deque[dict[str, Any]] = field(default_factory=deque)
    results: deque[Any] = field(default_factory=deque)
    workers: list[Any] = field(default_factory=list)

    def start(self, worker_class: Callable[..., Any], worker_args: Any, ventilator: Callable[[], None]) -> None:
        """Makes the worker and takes in the whole list of work."""
        self.workers.append(worker_class(0, self.results.append, worker_args))
        ventilator()

    def ventilate(self, **item: Any) -> None:
        """Adds one piece of work."""
        self.pending.append(item)

    def get_results(self) -> Any:
        """The next result; petastorm's EmptyResultError after the last."""
        while not self.results:
            if not self.pending:
                from petastorm.workers_pool import EmptyResultError

                raise EmptyResultError
            self.workers[0].process(**self.pending.popleft())
        return self.results.popleft()

    def stop(self) -> None:
        """Forgets what is left."""
        self.pending.clear()

    def join(self) -> None:
        """Nothing runs, so there is nothing to wait for."""


@dataclass(frozen=True)
class MatrixReader:
    """Row groups as numpy: a column of numbers as it lies in memory, one of lists of one length as a matrix.

    petastorm's own makes an array of each list, and then a matrix of all of those.
    """

    batched_output: bool = True

    def read_next(self, pool: InOrderPool, schema: Any, _ngram: Any) -> Any:
        """The next row group's columns, read-only; StopIteration after the last."""
        from petastorm.workers_pool import EmptyResultError

        try:
            table = pool.get_results()
        except EmptyResultError:
            raise StopIteration from None
        return schema.make_namedtuple(**{name: as_numpy(name, table.column(name)) for name in table.column_names})


def as_numpy(name: str, column: Any) -> NDArray[Any]:
    """The numbers [rows] or [rows, length] of a pyarrow column of one chunk, not copied.

    Raises ValueError where a number or a list is NULL, or lists are of several lengths.
    """
    chunk = column.chunk(0)
    is_list = pyarrow.types.is_list(chunk.type)
    values = chunk.flatten() if is_list else chunk
    lengths = np.unique(np.diff(chunk.offsets)) if is_list else np.ones(1, np.int64)
    if chunk.null_count or values.null_count or len(lengths) != 1:
        raise ValueError(f"column {name}: expected numbers or lists of one length without NULLs, found others")
    numbers: NDArray[Any] = values.to_numpy()
    return numbers.reshape(len(chunk), int(lengths[0])) if is_list else numbers


def install() -> None:
    """Imports petastorm and mends its modules; a second call does nothing. ImportError where it came too late."""
    if "petastorm" not in sys.modules:
        with _dropped_names():
            for name in _IMPORTED:
                importlib.import_module(name)
        _mend()
    elif getattr(sys.modules.get("petastorm.reader"), "DummyPool", None) is not InOrderPool:
        raise ImportError("petastorm was imported before it was mended: call petastorm_compat.install() first.")


def file_list(paths: list[str] | str, filesystem: Any, filters: Any = None, **_: Any) -> FileList:
    """Stands in for pyarrow's removed ParquetDataset(validate_schema=, metadata_nthreads=)."""
    if filters or not isinstance(paths, list):
        raise NotImplementedError(f"Only a list of files, without filters, can be read here; found {paths}.")
    return FileList(paths, filesystem, tuple(Piece(path, filesystem.open) for path in paths))


def _mend() -> None:
    modules = {name: sys.modules[name] for name in _IMPORTED}
    reading = _with_names(parquet, ParquetDataset=file_list, ParquetDatasetPiece=Piece)
    for name in _READING:
        _swap(modules[name], pq=reading)
    numbers = _with_names(np, unicode_=np.str_, string_=np.bytes_)
    _swap(modules["petastorm.unischema"], np=numbers)
    _swap(modules["petastorm.arrow_reader_worker"], np=numbers, ArrowReaderWorkerResultsQueueReader=MatrixReader)
    _swap(modules["petastorm.fs_utils"], pyarrow=_with_names(pyarrow, localfs=LocalFileSystem()))
    _swap(modules["petastorm.etl.dataset_metadata"], depickle_legacy_package_name_compatible=_refuse)
    _swap(
        modules["petastorm.reader"],
        DummyPool=InOrderPool,
        ConcurrentVentilator=_all_at_once,
        ThreadPool=_refuse,
        ProcessPool=_refuse,
    )
    # It looks for files under 50 MB, warns of them, and fails on a folder with a blank in its name.
    _swap(modules["petastorm.spark.spark_dataset_converter"], _check_dataset_file_median_size=lambda _: None)


def _all_at_once(
    ventilate: Callable[..., None], items: list[dict[str, Any]], iterations: int, randomize_item_order: bool, **_: Any
) -> Callable[[], None]:
    """Hands all items over, in order, once: what petastorm does from a thread of its own."""
    if iterations != 1 or randomize_item_order:
        raise NotImplementedError("Only one pass, in order, can be read: set num_epochs=1, shuffle_row_groups=False.")

    def start() -> None:
        for item in items:
            ventilate(**item)

    return start


def _refuse(*_: Any, **__: Any) -> Any:
    raise NotImplementedError(
        "Not supported here: thread and process pools lose rows or their order, and nothing that is read is unpickled. "
        "Use reader_pool_type='dummy' over a list of files."
    )


@contextmanager
def _dropped_names() -> Iterator[None]:
    """Names that petastorm's modules import by name, there only while they are imported."""
    modules = {
        "pyarrow.filesystem": _with_names(None, LocalFileSystem=LocalFileSystem),
        "pyarrow.hdfs": _with_names(None, HadoopFileSystem=object),
        "distutils": _with_names(None),
        "distutils.version": _with_names(None, LooseVersion=Version),
    }
    added = {name: module for name, module in modules.items() if name not in sys.modules}
    names = [(pyarrow, "LocalFileSystem", LocalFileSystem), (pyarrow.lib, "ArrowIOError", OSError)]
    put = [(owner, name, value) for owner, name, value in names if not hasattr(owner, name)]
    sys.modules.update(added)
    for owner, name, value in put:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, _ in put:
            delattr(owner, name)
        for name in added:
            del sys.modules[name]


def _with_names(real: ModuleType | None, **names: Any) -> ModuleType:
    """A module with these names, and everything else from the real one."""
    module = ModuleType(real.__name__ if real else "stand_in")
    vars(module).update(names)
    if real:
        vars(module)["__getattr__"] = lambda name: getattr(real, name)
    return module


def _swap(module: ModuleType, **names: Any) -> None:
    """Replaces names of the module; all of them have to be there."""
    for name, value in names.items():
        if name not in vars(module):
            raise ImportError(f"{module.__name__} has no {name}: this petastorm is not 0.12. Install the pinned one.")
        setattr(module, name, value)
