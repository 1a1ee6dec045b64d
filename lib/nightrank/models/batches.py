"""Batches of training examples, cut from an ordered stream of arrays; numpy only.

Where a stream is cut into parts (files, row groups) leaves no trace: it is cut anew into blocks of a fixed number of
rows, rows are permuted within a block by (seed, epoch, block), and batches are cut from that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
Pass = Callable[[str], Iterator[Columns]]  # starts a new pass over the rows of a fold, in a fixed order

# About 30 MB of examples of 24 candidates: enough to mix, little enough to hold.
BLOCK_ROWS = 16_384


def recut(stream: Iterator[Columns], rows: int) -> Iterator[Columns]:
    """The same rows in the same order, in parts of `rows` rows; the last may be shorter."""
    waiting: list[Columns] = []
    held = 0
    for part in stream:
        waiting.append(part)
        held += row_count(part)
        while held >= rows:
            joined = _joined(waiting)
            yield _part(joined, slice(0, rows))
            waiting, held = [_part(joined, slice(rows, None))], held - rows
    if held:
        yield _joined(waiting)


def shuffled(stream: Iterator[Columns], seed: int, epoch: int, block_rows: int = BLOCK_ROWS) -> Iterator[Columns]:
    """The stream's blocks, the rows of each in an order that (seed, epoch, number of the block) fixes."""
    for number, block in enumerate(recut(stream, block_rows)):
        order = np.random.default_rng((seed, epoch, number)).permutation(row_count(block))
        yield {name: column[order] for name, column in block.items()}


def row_count(columns: Mapping[str, NDArray[Any]]) -> int:
    """How many rows the columns have."""
    return len(next(iter(columns.values())))


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _part(columns: Columns, rows: slice) -> Columns:
    return {name: column[rows] for name, column in columns.items()}
