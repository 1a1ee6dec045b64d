"""evaluations: every method on the same searches."""

from __future__ import annotations

import math

import pytest
from pyspark.sql import functions as F
from rerank_rows import OPEN, people, searches_of

from nightrank import tables
from nightrank.steps.evaluations import build_evaluations

TAKES = [("u1", "i1"), ("u2", "i2"), ("stranger", "i5")]
WITHOUT_VECTORS = {"popularity", "repeats", "cooccurrence", "als", "ease"}
BY_VECTORS = {"interest_cosine", "interest_cosine_relu", "attributes"}


@pytest.fixture(scope="module")
def build(spark, small_shop, item_tokens):
    shop = small_shop
    opened = spark.createDataFrame([(shop.night.run_date, shop.ranker_id, *g) for g in OPEN], tables.GATES.schema)
    # i1 is taken after i0.
    after = spark.createDataFrame(
        [(shop.night.previous, "i0", "i1", 1.0, shop.night.previous, 0.25, 2)], tables.ITEM_NEIGHBOURS.schema
    )
    neighbours = shop.item_neighbours.unionByName(after)

    def built(gates=opened, config=shop.config, **changes):
        frames = {
            "searches": searches_of(spark, shop, TAKES, nights_ago=0), "user_profiles": shop.user_profiles,
            "segments": shop.segments,
            "item_neighbours": neighbours, "query_classes": shop.query_classes, "item_tokens": item_tokens,
            "propensities": shop.propensities, "gates": gates, "ranker_runs": shop.ranker_runs,
            "promotions": shop.promotions,
            "rerank_weights": spark.createDataFrame([], tables.RERANK_WEIGHTS.schema),
            "people": shop.nobody, "people_tonight": shop.nobody,
        }  # fmt: skip
        return build_evaluations(**{**frames, **changes}, night=shop.night, config=config)

    return built


@pytest.fixture(scope="module")
def rows(build):
    return {(row.user_id, row.method): row for row in tables.EVALUATIONS.conform(build()).collect()}


def test_every_method_judges_every_search(rows):
    methods = {"shop", "shown", *WITHOUT_VECTORS, *BY_VECTORS, "challenger", "full", "prior", "with_prior"}
    assert set(rows) == {(user, method) for user, _ in TAKES for method in methods}


def test_a_linked_id_is_judged_as_its_person_and_the_forgotten_are_not(spark, small_shop, build):
    links = people(spark, (small_shop.user_profiles.first().run_date, "stranger", "u1", False, None))
    tonight = small_shop.night.run_date
    found = build(people=links, people_tonight=people(spark, (tonight, "u2", "u2", True, tonight))).collect()
    assert {(row.user_id, row.returning) for row in found} == {("u1", True), ("stranger", True)}


def test_the_shops_order_is_that_of_base_scores(rows):
    # i1 stands second, i2 third, i5 sixth.
    assert rows[("u1", "shop")].ndcg == pytest.approx(1 / math.log2(3))
    assert rows[("u2", "shop")].ndcg == pytest.approx(1 / math.log2(4))
    assert rows[("stranger", "shop")].mrr == pytest.approx(1 / 6)


def test_popularity_ranks_by_decayed_takes_and_repeats_put_own_items_first(rows):
    # Popularity falls from i0 to i3; i4 and i5 were never taken.
    assert rows[("u2", "popularity")].mrr == pytest.approx(1 / 3)
    assert rows[("u2", "repeats")].mrr == 1.0  # u2 took i2 before
    assert rows[("u1", "repeats")].mrr == pytest.approx(1 / 2)  # u1 took i0 before, i1 is the next popular


@pytest.mark.parametrize(
    ("method", "u1", "u2"),
    [
        ("cooccurrence", 1, 3),  # i1 goes with u1's i0; nothing with u2's i2, so the popular i0 and i1 come first
        ("interest_cosine", 4, 1),  # i4 and i5 point halfway to i0, i1 not at all
        ("interest_cosine_relu", 4, 1),
        ("attributes", 2, 1),  # i0 and i1 are of u1's brand, i2 and i3 of u2's; the more popular come first
        ("als", None, 1),
        ("ease", 2, 3),  # nobody took two items, so they say nothing of each other
    ],
)
def test_every_baseline_ranks_by_what_it_knows(rows, method, u1, u2):
    assert u1 is None or rows[("u1", method)].mrr == pytest.approx(1 / u1)
    assert rows[("u2", method)].mrr == pytest.approx(1 / u2)
    # Of a stranger nothing is known: the popular first, i4 and i5, never taken, by id.
    assert rows[("stranger", method)].mrr == pytest.approx(1 / 6)


def test_the_challenger_serves_the_row_and_the_gate_that_it_would_have_served(rows, small_shop):
    # u2's row lifts brand y (i2, i3) by 0.25 * 2.4 = .6 over i0's lead of .4.
    assert rows[("u2", "challenger")].ndcg == 1.0
    assert rows[("u2", "challenger")].ranker_id == small_shop.ranker_id
    assert (rows[("u2", "challenger")].alpha, rows[("u2", "challenger")].expected_gain) == (0.25, 0.1)
    assert (rows[("u2", "shop")].alpha, rows[("u2", "shop")].expected_gain) == (None, None)
    # A stranger gets the row `anonymous`, whose gate is closed: the shop's order.
    assert rows[("stranger", "challenger")].expected_gain == 0.0
    assert rows[("stranger", "challenger")].mrr == rows[("stranger", "shop")].mrr


def test_an_engine_that_adds_priors_is_judged_with_those_that_the_index_has(build, rows, item_tokens, small_shop):
    # Everybody's i5, the last by base score, in place of what the ranker thinks of it.
    liked = F.when(F.col("item_id") == "i5", F.lit(10.0)).otherwise(F.lit(0.0))
    found = build(item_tokens=item_tokens.withColumn("prior", liked)).collect()
    mrr = {(row.user_id, row.method): row.mrr for row in found}
    assert mrr[("u1", "prior")] == pytest.approx(1 / 3)  # i1 was second
    assert mrr[("stranger", "prior")] == mrr[("stranger", "with_prior")] == 1.0
    assert mrr[("u2", "prior")] == pytest.approx(1 / 4)  # i2 was third; with u2's row first, and second to i5
    assert mrr[("u2", "with_prior")] == pytest.approx(1 / 2)
    assert {row.ranker_id for row in found if row.method in {"prior", "with_prior"}} == {small_shop.ranker_id}
    assert mrr[("u2", "shop")] == rows[("u2", "shop")].mrr
    told = small_shop.config.item_tokens.model_copy(update={"prior_added": True})
    config = small_shop.config.model_copy(update={"item_tokens": told})
    adds = build(config=config, item_tokens=item_tokens.withColumn("prior", liked)).collect()
    mrr_added = {(row.user_id, row.method): row.mrr for row in adds}
    # The rankers are on top of the priors; what the shop had, and the baselines, are as they were.
    assert mrr_added[("u2", "challenger")] == mrr[("u2", "with_prior")] != mrr[("u2", "challenger")]
    assert {key for key in mrr if mrr[key] != mrr_added[key]} <= {
        (u, m) for u, _ in mrr for m in ("challenger", "full")
    }


def test_the_whole_ranker_is_judged_with_the_challengers_gate_however_little_its_rows_may_hold(build, small_shop):
    sizes = small_shop.config.rerank_weights.model_copy(update={"codes": 0, "facets": 0, "boosts": 0})
    config = small_shop.config.model_copy(update={"rerank_weights": sizes})
    found = {(row.user_id, row.method): row for row in build(config=config).collect()}
    for user, _ in TAKES:
        assert found[(user, "challenger")].mrr == found[(user, "shop")].mrr  # their rows are empty
    # u2's brand y (i2, i3) is .25 * 2.4 above others, and i2, taken before, more: above i0's lead of .4.
    assert found[("u2", "full")].ndcg == 1.0
    assert found[("u2", "full")].ranker_id == small_shop.ranker_id
    # u1's gate is .5: brand x and the own item lift i0 most, then i1.
    assert found[("u1", "full")].mrr == pytest.approx(1 / 2)
    # A stranger is served by the gate of those without evidence, which is closed.
    assert found[("stranger", "full")].mrr == found[("stranger", "shop")].mrr


def test_a_stranger_is_judged_as_the_mean_shopper(spark, build, small_shop):
    open_to_all = ("category", 0, -1.0, 4.0, 8.0, 0.1, 0.05, 0.2, 40, 40, 0.1)
    gates = [(small_shop.night.run_date, small_shop.ranker_id, *open_to_all)]
    found = build(gates=spark.createDataFrame(gates, tables.GATES.schema)).where("user_id = 'stranger'").collect()
    mrr = {row.method: row.mrr for row in found}
    # The mean shopper took i0 and i2, so u = (1, 0, .9, 0) / 1.345: i5's cosine is .7061, i0's .7433, less .3117 for
    # its brand, which everybody takes more. 2.0 + 4 × .7061 is above 3.0 + 4 × .4316; i4 and i2 are above both.
    assert mrr["full"] == mrr["challenger"] == pytest.approx(1 / 3)


def test_the_diversity_of_a_list_is_that_of_its_vectors(rows):
    # Of 15 pairs of all six items eight have cosine .5 (i0 to i3 with i4 and i5), one has 1 (i4 with i5).
    assert rows[("u1", "shop")].diversity == pytest.approx(1 - (8 * 0.5 + 1) / 15)


def test_with_diverse_boosts_the_rows_without_are_judged_beside_them(build, small_shop):
    sizes = small_shop.config.rerank_weights.model_copy(update={"boosts_per_brand": 1, "boosts": 3})
    config = small_shop.config.model_copy(update={"rerank_weights": sizes})
    found = build(config=config).where("method in ('challenger', 'undiversified')").collect()
    assert sorted((row.user_id, row.method, row.ranker_id) for row in found) == sorted(
        (user, method, small_shop.ranker_id) for user, _ in TAKES for method in ("challenger", "undiversified")
    )


def test_slices_are_told_by_evidence_and_popularity(rows):
    assert rows[("u1", "shop")].returning
    assert (rows[("u1", "shop")].segment, rows[("stranger", "shop")].segment) == ("segment:t", None)
    assert not rows[("stranger", "shop")].returning
    assert not rows[("stranger", "shop")].head


def test_a_ranker_without_gates_was_judged_on_nothing_and_what_a_baseline_lacks_is_said(
    spark, small_shop, build, caplog
):
    closed = spark.createDataFrame([], tables.GATES.schema)
    limited = small_shop.config.evaluations.model_copy(update={"ease_items": 1})
    with caplog.at_level("INFO", "nightrank"):
        frame = build(gates=closed, config=small_shop.config.model_copy(update={"evaluations": limited}))
    assert {row.method for row in frame.collect()} == {"shop", "shown", *WITHOUT_VECTORS} - {"ease"}
    assert [record.getMessage() for record in caplog.records] == [
        "baseline=ease without rows: items=2 evaluations.ease_items=1",
        "baseline=interest_*,attributes without rows: no ranker to take vectors from",
    ]


def test_a_champion_that_cannot_be_scored_is_judged_by_its_published_rows(spark, build, small_shop):
    night = small_shop.night
    gone = "f" * 64
    ledger = [(night.previous, gone, None, gone, "c1", True, "", 1, [])]
    published = [
        (
            night.previous,
            "anonymous",
            {"category": 0.0},
            {"category": 0.0},
            {},
            {},
            None,
            0,
            None,
            "c1",
            gone,
            "",
            None,
        ),
        (
            night.previous,
            "u2",
            {"category": 1.0},
            {"category": 9.0},
            {"brand:z": 5.0},
            {},
            None,
            3,
            None,
            "c1",
            gone,
            "",
            None,
        ),
    ]
    frame = build(
        promotions=spark.createDataFrame(ledger, tables.PROMOTIONS.schema),
        rerank_weights=spark.createDataFrame(published, tables.RERANK_WEIGHTS.schema),
    )
    champion = frame.where("method = 'champion' and user_id = 'u2'").collect()[0]
    assert champion.ranker_id == gone
    assert champion.expected_gain is None  # no published row holds it
    assert champion.mrr == pytest.approx(1 / 5)  # brand z's i4 and i5 come first, then i0, i1, i2
