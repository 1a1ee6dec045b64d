"""Arrow batches: groups stay whole whatever the batches, and texts are numbered in byte order."""

from __future__ import annotations

import numpy as np
import pyarrow
import pytest

from nightrank.steps.batches import GROUP, dates, flat, lists_of, longs, sorted_codes, whole_groups


def cut(sizes, groups, rows):
    """The groups of each chunk, from batches of these sizes."""
    ends = np.cumsum(sizes)
    parts = [groups[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    batches = (pyarrow.record_batch({GROUP: pyarrow.array(part, pyarrow.int64())}) for part in parts)
    return [chunk.column(GROUP).to_pylist() for chunk in whole_groups(batches, rows)]


@pytest.mark.parametrize(
    ("sizes", "chunks"),
    [
        ([7], [[1, 1, 2, 3, 3, 3], [4]]),
        # Two rows of one group are looked into again when they have doubled: at the first 3.
        ([1] * 7, [[1, 1, 2], [3, 3, 3], [4]]),
        ([4, 3], [[1, 1, 2], [3, 3, 3], [4]]),
    ],
)
def test_chunks_end_between_groups(sizes, chunks):
    groups = [1, 1, 2, 3, 3, 3, 4]
    found = cut(sizes, groups, 2)
    assert [group for chunk in found for group in chunk] == groups
    assert found == chunks


def test_a_group_larger_than_a_chunk_is_one_and_nothing_is_nothing():
    assert cut([2, 2, 2, 1, 3], [5] * 6 + [6] * 4, 3) == [[5] * 6, [6] * 4]
    assert list(whole_groups(iter([]), 3)) == []


def test_texts_are_numbered_in_byte_order_over_all_columns():
    (one, other), names = sorted_codes(pyarrow.array(["é", "a"]), pyarrow.array(["a > b", "Z", "a"]))
    assert names.to_pylist() == ["Z", "a", "a > b", "é"]
    assert (one.tolist(), other.tolist()) == ([3, 1], [2, 0, 1])


def test_lists_are_flattened_and_made_again():
    kind = pyarrow.list_(pyarrow.struct([("n", pyarrow.int64()), ("on", pyarrow.date32())]))
    rows = [[(1, 10), (2, 20)], None, [], [(3, 30)]]
    column = pyarrow.array([r and [{"n": n, "on": on} for n, on in r] for r in rows], kind)
    elements, sizes = flat(column)
    assert sizes.tolist() == [2, 0, 0, 1]
    made = lists_of({"n": elements.field("n"), "on": dates(longs(elements.field("on")))}, sizes)
    assert made.cast(kind).to_pylist() == [column[0].as_py(), [], [], column[3].as_py()]
