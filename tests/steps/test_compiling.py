"""Rows from profiles: batches are cut from buckets alone."""

from __future__ import annotations

import pandas
import pytest

from nightrank.steps.compiling import fixed_batches

ROWS = pandas.DataFrame({"bucket": [2, 2, 2, 2, 2, 5, 5, 9], "user_id": list("abcdefgh")})


@pytest.mark.parametrize("ends", [[8], [1, 2, 3, 4, 5, 6, 7, 8], [3, 8], [0, 5, 5, 7, 8], [7, 8, 8]])
def test_batches_are_the_same_however_the_rows_arrive(ends: list[int]) -> None:
    frames = [ROWS.iloc[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    found = ["".join(batch["user_id"]) for batch in fixed_batches(frames, 2)]
    assert found == ["ab", "cd", "e", "fg", "h"]


def test_no_rows_are_no_batch() -> None:
    assert list(fixed_batches([], 2)) == []
    assert list(fixed_batches([ROWS.iloc[:0]], 2)) == []
