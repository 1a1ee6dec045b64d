"""Cutting and shuffling a stream: the parts that it came in leave no trace."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from nightrank.models.batches import Columns, recut, row_count, shuffled


def stream(*sizes: int) -> Iterator[Columns]:
    rows = np.arange(sum(sizes))
    for part in np.split(rows, np.cumsum(sizes)[:-1]):
        yield {"order": part, "pairs": np.stack([part, -part], axis=1)}


@pytest.mark.parametrize("sizes", [(10,), (1, 9), (4, 4, 2), (3, 0, 7)])
def test_recut_keeps_rows_and_order(sizes: tuple[int, ...]) -> None:
    parts = list(recut(stream(*sizes), 4))
    assert [row_count(part) for part in parts] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([part["order"] for part in parts]), np.arange(10))
    np.testing.assert_array_equal(parts[1]["pairs"], [[4, -4], [5, -5], [6, -6], [7, -7]])


def test_nothing_gives_nothing() -> None:
    assert list(recut(iter([]), 4)) == []


def orders(sizes: tuple[int, ...], epoch: int, seed: int = 1) -> list[list[int]]:
    return [block["order"].tolist() for block in shuffled(stream(*sizes), seed, epoch, block_rows=50)]


def test_shuffling_stays_within_blocks_and_depends_on_epoch_and_seed_alone() -> None:
    first = orders((120,), epoch=1)
    assert [sorted(block) for block in first] == [list(range(50)), list(range(50, 100)), list(range(100, 120))]
    assert first[0] != list(range(50))
    assert first == orders((7, 80, 33), epoch=1)
    assert first != orders((120,), epoch=2)
    assert first != orders((120,), epoch=1, seed=2)
    assert [order - 50 for order in first[1]] != first[0]
