"""gates: searches of the held-out nights, scored with rows that are older than they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pyspark.sql import functions as F
from rerank_rows import people, searches_of

from nightrank.steps.gates import build_gates

# u1, who loves brand x, takes its i1, which stands second; a crowd like u2 takes brand y's i3 from the fourth place.
TAKES = [("u1", "i1")] * 4 + [("u2", "i3")] * 3 + [("stranger", "i5")] * 2


def built(shop, item_tokens, searches, profiles, people=None, people_tonight=None):
    return build_gates(
        searches=searches, user_profiles=profiles, segments=shop.segments, item_neighbours=shop.item_neighbours,
        query_classes=shop.query_classes, item_tokens=item_tokens, propensities=shop.propensities,
        ranker_runs=shop.ranker_runs, promotions=shop.promotions, people=people or shop.nobody,
        people_tonight=people_tonight or shop.nobody, night=shop.night, config=shop.config,
    )  # fmt: skip


@pytest.fixture(scope="module")
def gates(spark, small_shop, item_tokens):
    searches = searches_of(spark, small_shop, TAKES, nights_ago=1)
    return built(small_shop, item_tokens, searches, small_shop.user_profiles)


def test_few_shoppers_have_one_row_a_class_and_bucket_of_evidence(gates, small_shop):
    rows = [(row.ranker_id, row.query_class, row.min_evidence, row.min_agreement) for row in gates.collect()]
    classes = ("navigational", "category", "exploratory")
    assert rows == [(small_shop.ranker_id, c, m, -1.0) for c in classes for m in (0, 1, 5)]


def test_searches_are_counted_by_the_evidence_of_their_shopper(gates):
    found = {r.min_evidence: (r.searches, r.users) for r in gates.where("query_class = 'category'").collect()}
    # A stranger has no profile, u2 has 3 events, u1 has 9.
    assert found == {0: (2, 1), 1: (3, 1), 5: (4, 1)}


def test_a_linked_id_is_its_person_and_the_forgotten_do_not_count(spark, small_shop, item_tokens):
    shop, searches = small_shop, searches_of(spark, small_shop, TAKES, nights_ago=1)
    links = people(spark, (shop.user_profiles.first().run_date, "stranger", "u1", False, None))
    tonight = shop.night.run_date
    out = people(spark, (tonight, "u2", "u2", True, tonight))
    gates = built(shop, item_tokens, searches, shop.user_profiles, links, out).where("query_class = 'category'")
    # The stranger has u1's evidence; the bucket from 1 on, which u2 alone was in, takes the gate of all.
    found = {row.min_evidence: (row.searches, row.users) for row in gates.collect()}
    assert found == {0: (0, 0), 1: (6, 2), 5: (6, 2)}


def test_one_shopper_alone_opens_no_gate(gates):
    assert {row.alpha for row in gates.collect()} == {0.0}


def test_many_shoppers_who_gain_open_it_with_alpha_in_units_of_the_base_score(spark, small_shop, item_tokens):
    users = [f"fan{n}" for n in range(12)]
    like_u2 = small_shop.user_profiles.where("user_id = 'u2'").drop("user_id")
    fans = like_u2.crossJoin(spark.createDataFrame([(u,) for u in users], "user_id string"))
    searches = searches_of(spark, small_shop, [(u, "i3") for u in users], nights_ago=1)
    frame = built(small_shop, item_tokens, searches, fans.select(*small_shop.user_profiles.columns))
    gate = frame.where("query_class = 'category' and min_evidence = 1").collect()[0]
    # The base coefficient is 2: the alphas tried are multiples of 1/2. Brand y lifts i2 and i3 over i0 and i1.
    assert gate.alpha * 2 in small_shop.config.gates.alphas
    assert gate.alpha > 0
    assert gate.gain_lower > 0
    # bound_spreads standard deviations of 3, 2.8 .. 2.0, whatever alpha is.
    assert gate.alpha * gate.bound == pytest.approx(6.0 * 0.2 * (35 / 12) ** 0.5, abs=1e-5)


def test_an_engine_that_adds_priors_has_gates_for_what_rows_gain_on_top_of_them(spark, small_shop, item_tokens):
    users = [f"fan{n}" for n in range(12)]
    like_u2 = small_shop.user_profiles.where("user_id = 'u2'").drop("user_id")
    fans = like_u2.crossJoin(spark.createDataFrame([(u,) for u in users], "user_id string"))
    fans = fans.select(*small_shop.user_profiles.columns)
    searches = searches_of(spark, small_shop, [(u, "i3") for u in users], nights_ago=1)
    told = small_shop.config.item_tokens.model_copy(update={"prior_added": True})
    adds = replace(small_shop, config=small_shop.config.model_copy(update={"item_tokens": told}))
    # Everybody's i3 stands first by its prior: nothing is left to gain.
    liked = F.when(F.col("item_id") == "i3", F.lit(10.0)).otherwise(F.lit(0.0))
    tokens = item_tokens.withColumn("prior", liked)
    without, with_them = (
        built(shop, tokens, searches, fans).where("query_class = 'category' and min_evidence = 1").collect()[0]
        for shop in (small_shop, adds)
    )
    assert without.alpha > 0
    assert (with_them.alpha, with_them.gain) == (0.0, 0.0)


def test_searches_from_before_the_rows_were_made_do_not_count(spark, small_shop, item_tokens):
    searches = searches_of(spark, small_shop, TAKES, nights_ago=1)

    def counted(days_earlier):
        shown = searches.withColumn("ts", F.expr(f"ts - interval {days_earlier} days"))
        found = built(small_shop, item_tokens, shown, small_shop.user_profiles)
        return sum(row.searches for row in found.where("query_class = 'category'").collect())

    # Three nights are held out: last night's searches and those of the two before it.
    assert [counted(days) for days in (0, 2, 3)] == [9, 9, 0]
