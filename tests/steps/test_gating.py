"""Gates of rows: the last cell of evidence and agreement that a row reaches."""

from __future__ import annotations

import pytest

from nightrank import tables
from nightrank.steps.gating import gated_rows

# query_class, min_evidence, min_agreement, alpha, bound, gain, lower, upper, searches, users, own_gain
GATES = [
    ("category", 0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9, 9, 0.0),
    ("category", 1, -1.0, 0.1, 9.0, 0.01, 0.001, 0.02, 9, 9, 0.0),
    ("category", 1, 0.5, 0.2, 8.0, 0.02, 0.001, 0.02, 9, 9, 0.0),
    ("category", 5, -1.0, 0.3, 7.0, 0.03, 0.001, 0.02, 9, 9, 0.0),
    ("category", 5, 0.7, 0.4, 6.0, 0.04, 0.001, 0.02, 9, 9, 0.0),
    ("exploratory", 0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9, 9, 0.0),
    ("exploratory", 1, -1.0, 0.0, 0.0, 0.05, -0.001, 0.06, 9, 9, 0.0),
    ("exploratory", 1, 0.7, 0.9, 5.0, 0.09, 0.001, 0.10, 9, 9, 0.0),
]
# user_id, evidence, agreement, alpha of category, alpha of exploratory
ROWS = [
    ("stranger", 0, None, 0.0, 0.0),
    ("one take", 1, None, 0.1, 0.0),
    ("at odds", 2, 0.49, 0.1, 0.0),
    ("half known", 2, 0.5, 0.2, 0.0),
    ("well known", 2, 0.9, 0.2, 0.9),
    ("old, at odds", 9, 0.6, 0.3, 0.0),
    ("old", 9, 0.7, 0.4, 0.9),
]


@pytest.fixture(scope="module")
def rows(spark, small_shop):
    frame = spark.createDataFrame([row[:3] for row in ROWS], "user_id string, evidence bigint, agreement double")
    of_ranker = [(small_shop.night.run_date, "r", *gate) for gate in GATES]
    gates = spark.createDataFrame(of_ranker, tables.GATES.schema)
    return {row.user_id: row for row in gated_rows(frame, gates, "r").collect()}


@pytest.mark.parametrize(("user", "category", "exploratory"), [(u, c, e) for u, _, _, c, e in ROWS])
def test_a_row_has_the_gate_of_its_last_cell(rows, user, category, exploratory):
    found = {"navigational": 0.0, "category": category, "exploratory": exploratory}
    assert rows[user].alpha == found


def test_bound_and_expected_gain_are_the_cells_and_a_closed_gate_expects_nothing(rows):
    assert (rows["old"].bound["category"], rows["old"].expected_gain["category"]) == (6.0, 0.04)
    assert rows["at odds"].expected_gain == {"navigational": 0.0, "category": 0.01, "exploratory": 0.0}
