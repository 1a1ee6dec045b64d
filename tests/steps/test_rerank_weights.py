"""rerank_weights: the rows that serve, their limits, gates and groups."""

from __future__ import annotations

from datetime import datetime

import pytest
from pyspark.sql import functions as F
from rerank_rows import OPEN, ledger_row, people

from nightrank import tables
from nightrank.steps.rerank_weights import build_rerank_weights


@pytest.fixture(scope="module")
def build(spark, small_shop, item_tokens):
    shop, today = small_shop, F.lit(small_shop.night.run_date)
    neighbours = shop.item_neighbours.withColumn("run_date", today)
    opened = [(shop.night.run_date, shop.ranker_id, *g) for g in OPEN]
    gates = spark.createDataFrame(opened, tables.GATES.schema)

    def built(
        promoted: bool = True,
        champion: str | None = None,
        live: str | None = None,
        people=shop.nobody,
        profiles=shop.user_profiles,
    ):
        row = ledger_row(shop, promoted, champion, live or shop.ranker_id)
        return build_rerank_weights(
            user_profiles=profiles, item_neighbours=neighbours, item_tokens=item_tokens,
            segments=shop.segments, gates=gates, ranker_runs=shop.ranker_runs,
            promotions=spark.createDataFrame([row], tables.PROMOTIONS.schema), people=people, night=shop.night,
            config=shop.config,
        )  # fmt: skip

    return built


@pytest.fixture(scope="module")
def rows(build):
    frame = tables.RERANK_WEIGHTS.conform(build())
    return {row.user_id: row for row in frame.collect()}


def test_there_is_a_row_for_every_shopper_large_segment_and_anonymous(rows):
    assert sorted(rows) == ["anonymous", "segment:t", "u1", "u2", "u3"]


def test_each_id_of_a_person_is_served_by_the_same_row(spark, build, rows, small_shop):
    night = small_shop.user_profiles.first().run_date
    links = people(
        spark,
        (night, "cookie", "u1", False, None),
        (night, "quiet", "u1", True, night),
    )
    found = {row.user_id: row for row in tables.RERANK_WEIGHTS.conform(build(people=links)).collect()}
    assert found == {**rows, "cookie": found["cookie"]}
    assert found["cookie"][1:] == rows["u1"][1:]


def test_a_row_says_what_its_shopper_loves(rows):
    # 20 of 20 + 5 smoothing, times the coefficient 3 of brand, beyond what everybody takes: x 9 of 14, y 5 of 14.
    assert rows["u1"].facet_weights["brand:x"] == pytest.approx(3 * 20 * (1 - 9 / 14) / 25, abs=1e-6)
    assert "brand:y" not in rows["u1"].facet_weights
    assert rows["u2"].facet_weights["brand:y"] == pytest.approx(3 * 20 * (1 - 5 / 14) / 25, abs=1e-6)


def test_codes_lean_to_what_was_taken(rows):
    # u1 took i0 = e0, whose code at level 0 is 0: (1 - 0) centred over the two codes of the level.
    assert rows["u1"].facet_weights["code:c1:0:0"] == pytest.approx(0.5, abs=1e-6)
    assert rows["u1"].facet_weights["code:c1:0:1"] == pytest.approx(-0.5, abs=1e-6)
    assert rows["u1"].interest == [127, 0, 0, 0]


def test_alpha_and_bound_come_from_the_gate_that_the_evidence_reaches(rows):
    # u1 has 9 events (gate from 5), u2 has 3 (gate from 1), groups have none (gate from 0: closed).
    assert (rows["u1"].alpha["category"], rows["u1"].bound["category"]) == (0.5, 4.0)
    assert (rows["u2"].alpha["category"], rows["u2"].bound["category"]) == (0.25, 8.0)
    assert rows["anonymous"].alpha["category"] == 0.0
    assert rows["u1"].alpha["navigational"] == 0.0


def test_of_one_take_no_agreement_is_known(rows):
    # Nothing would be left to know u1 by.
    assert {row.agreement for row in rows.values()} == {None}


def test_agreement_is_where_the_last_take_stands_for_a_ranker_that_does_not_know_of_it(build, small_shop):
    # Both then took i3, of brand y; half of two takes is held out. Best sellers of its category are i0 and i1, of x.
    took_i3 = {
        "recent": "concat(transform(recent, r -> "
        "named_struct('ts', r.ts, 'item_id', 'i3', 'action', r.action)), recent)",
        "own_items": "concat(own_items, transform(own_items, o -> "
        "named_struct('item_id', 'i3', 'value', o.value, 'touched', o.touched)))",
    }
    profiles = small_shop.user_profiles.withColumns({name: F.expr(value) for name, value in took_i3.items()})
    found = {row.user_id: row.agreement for row in build(profiles=profiles).collect()}
    # u2 loves brand y and u1 brand x; u3 took nothing, groups are nobody.
    assert found == {"u1": 0.0, "u2": 1.0, "u3": None, "anonymous": None, "segment:t": None}


def test_a_row_names_what_it_speaks_of_and_when_it_ends(rows, small_shop):
    row = rows["u1"]
    assert (row.code_version, row.ranker_id, row.policy_id) == ("c1", small_shop.ranker_id, "nightrank")
    assert row.valid_until == datetime(2026, 1, 18)
    assert row.evidence == 9


def test_a_group_is_the_mean_of_its_shoppers(rows):
    # brand:x: mean 20 / 3 of all brands 40 / 3, of which 9 of 14 were to be expected; plus the smoothing of 5.
    mean = 20 / 3
    beyond = mean - 2 * mean * 9 / 14
    assert rows["anonymous"].facet_weights["brand:x"] == pytest.approx(3 * beyond / (2 * mean + 5), abs=1e-6)


def test_gates_stay_closed_while_nothing_was_ever_promoted(build):
    alphas = {a for row in build(promoted=False).select("alpha").collect() for a in row.alpha.values()}
    assert alphas == {0.0}


def test_a_champion_keeps_its_gates_when_the_challenger_is_refused(build, small_shop):
    row = build(promoted=False, champion=small_shop.ranker_id).where("user_id = 'u1'").collect()[0]
    assert row.alpha["category"] == 0.5


def test_without_any_ranker_there_is_one_row_of_no_weights(build):
    rows = build(promoted=False, live="none").collect()
    assert [(row.user_id, row.facet_weights, row.item_boosts) for row in rows] == [("anonymous", {}, {})]
    assert set(rows[0].alpha.values()) == {0.0}
