"""Which nights a stage reads: nothing that is learned from has seen what it is judged on."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from nightrank.config import Config
from nightrank.nights import Night, bulk_night, ordinary_night
from nightrank.spans import NOTHING, Span, held_out, last_nights_snapshot, snapshot_before_held_out, training_window

TONIGHT = date(2026, 3, 20)
WINDOW, HELD_OUT = 8, 3
CONFIG = Config.model_validate({"training_examples": {"window_nights": WINDOW, "held_out_nights": HELD_OUT}})


def ago(nights: int) -> date:
    return TONIGHT - timedelta(days=nights)


@pytest.mark.parametrize(
    "night",
    [bulk_night(TONIGHT, WINDOW, HELD_OUT), ordinary_night(TONIGHT, tuple(ago(n) for n in range(1, 30)))],
    ids=["bulk", "ordinary"],
)
def test_rows_that_gate_and_judge_searches_are_of_the_night_before_them(night: Night) -> None:
    assert training_window(night, CONFIG) == Span(ago(7), TONIGHT)
    assert held_out(night, CONFIG) == Span(ago(3), ago(1))
    assert snapshot_before_held_out(night, CONFIG) == Span(ago(4), ago(4))
    assert last_nights_snapshot(night, CONFIG) == Span(ago(1), ago(1))


def test_a_lake_that_is_younger_than_the_held_out_nights_has_no_rows_to_fit_a_gate_with() -> None:
    assert snapshot_before_held_out(ordinary_night(TONIGHT, (ago(2), ago(1))), CONFIG) == NOTHING


def test_the_first_nights_after_a_bulk_load_read_the_snapshot_that_stood() -> None:
    bulk = bulk_night(ago(1), WINDOW, HELD_OUT)
    assert bulk.snapshots == (ago(9), ago(5), ago(2), ago(1))
    night = ordinary_night(TONIGHT, bulk.snapshots)
    assert snapshot_before_held_out(night, CONFIG) == Span(ago(5), ago(5))
