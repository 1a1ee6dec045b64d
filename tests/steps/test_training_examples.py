"""training_examples: padded slates whose features are those of the night before; the leakage canaries."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from pyspark.sql import functions as F
from rerank_rows import ITEMS, people, searches_of

from nightrank import tables
from nightrank.models.feature_names import ENGINE_FEATURES, PROFILE_FEATURES
from nightrank.models.features import SMOOTHING
from nightrank.steps import training_examples as step
from nightrank.steps.shoppers import flat_shoppers
from nightrank.steps.user_profiles import profiles_as_of

VERSION = "e1"  # the encoder version of the small shop's vectors


@pytest.fixture(scope="module")
def build(spark, small_shop, monkeypatch_module):
    shop = small_shop
    monkeypatch_module.setattr("nightrank.models.encoder.encoder_version", lambda _: VERSION)
    queries = spark.createDataFrame(
        [(shop.night.run_date, "thing", VERSION, [1.0, 0.0, 0.0, 0.0], 3, 0)], tables.QUERY_EMBEDDINGS.schema
    )
    yesterday = searches_of(spark, shop, [("u1", "i1"), ("u2", "i5")], nights_ago=1)
    tonight = searches_of(spark, shop, [("u1", "i0")], nights_ago=0).withColumn("query_id", F.lit("tonight"))

    def built(events, people=shop.nobody, people_tonight=shop.nobody, shown="slate", run_date="run_date", share=1.0):
        return step.build_training_examples(
            searches=yesterday.withColumn("run_date", F.expr(run_date).cast("date"))
            .unionByName(tonight).withColumn("slate", F.expr(shown)),
            events=spark.createDataFrame(events, tables.EVENTS.schema),
            user_profiles=shop.user_profiles.where("false"), item_neighbours=shop.item_neighbours,
            query_classes=shop.query_classes, items=shop.items, item_embeddings=shop.item_embeddings,
            query_embeddings=queries, propensities=shop.propensities, people=people,
            people_tonight=people_tonight, encoder_runs=spark.createDataFrame([], tables.ENCODER_RUNS.schema),
            night=shop.night, config=with_share(shop.config, share),
        )  # fmt: skip

    return built


def with_share(config, share):
    examples = config.training_examples.model_copy(update={"share_of_searches": share})
    return config.model_copy(update={"training_examples": examples})


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def event(night: date, hour: int, user: str, item: str, brand: str, action: str = "click"):
    at = datetime(night.year, night.month, night.day, hour)
    values = {"run_date": night, "event_id": f"{user}{item}{at}", "ts": at, "user_id": user, "action": action}
    values |= {"item_id": item, "facets": [f"brand:{brand}"], "reasons": [], "accepted": True}
    return tuple(values.get(name) for name in tables.EVENTS.schema.names)


def nights(shop):
    tonight = shop.night.run_date
    return tonight - timedelta(days=2), tonight - timedelta(days=1), tonight


@pytest.fixture(scope="module")
def known(small_shop):
    """What was known before yesterday: u1 clicked i0 (brand x) and i2 (brand y)."""
    before, _, _ = nights(small_shop)
    return [event(before, 8, "u1", "i0", "x"), event(before, 9, "u1", "i2", "y")]


@pytest.fixture(scope="module")
def examples(build, known):
    return {row.query_id: row for row in tables.TRAINING_EXAMPLES.conform(build(known)).collect()}


def test_tonights_searches_are_left_for_judging(examples):
    assert set(examples) == {"q0", "q1"}
    assert {row.fold for row in examples.values()} == {"valid"}


def test_the_last_nights_before_tonight_are_held_out_of_training(build, known):
    def fold(days_earlier):
        found = build(known, run_date=f"run_date - interval {days_earlier} days").where("query_id = 'q0'")
        return found.collect()[0].fold

    assert [fold(days) for days in (0, 2, 3)] == ["valid", "valid", "train"]


def test_a_share_of_searches_is_drawn_by_their_ids(spark, build, known, examples):
    ids = spark.createDataFrame([(q,) for q in examples], "query_id string")
    places = dict(ids.select("query_id", F.expr("pmod(xxhash64(query_id), 1000000)")).collect())
    first, second = sorted(places, key=places.get)
    kept = build(known, share=(places[second] + 0.5) / 1_000_000).collect()
    assert [row.query_id for row in kept] == [first]


def test_slates_are_cut_to_the_padded_size_and_keep_what_was_taken(examples):
    # Four of six items fit: what was taken, then those shown first.
    assert examples["q0"].item_index == [0, 1, 2, 3]
    assert examples["q0"].gains == [0.0, 1.0, 0.0, 0.0]
    assert examples["q1"].item_index == [0, 1, 2, 5]
    assert examples["q1"].gains == [0.0, 0.0, 0.0, 1.0]


def test_a_search_has_the_mean_inverse_propensity_of_what_was_taken(build, known, examples):
    assert {row.inverse_propensity for row in examples.values()} == {1.0}
    fields = "s.item_id, s.position, s.base_score, s.sponsored, 1D / s.position propensity, s.gain"
    rarer = f"transform(slate, s -> struct({fields}))"
    found = {row.query_id: row for row in build(known, shown=rarer).collect()}
    # i1 stands second, i5 sixth.
    assert [found[q].inverse_propensity for q in ("q0", "q1")] == pytest.approx([2.0, 6.0])
    assert [max(found[q].gains) for q in ("q0", "q1")] == pytest.approx([2.0, 6.0])
    assert [max(found[q].logged_gains) for q in ("q0", "q1")] == [1.0, 1.0]
    # The first four stood where they are; of q1 the sixth was taken, and stands fourth here.
    expected = [[-math.log(place) for place in places] for places in ((1, 2, 3, 4), (1, 2, 3, 6))]
    np.testing.assert_allclose([found[q].log_propensity for q in ("q0", "q1")], expected, rtol=1e-6)


def test_engine_features_are_base_popularity_and_cosine_and_room_for_the_towers(examples, small_shop):
    found = np.array(examples["q0"].engine_features).reshape(4, len(ENGINE_FEATURES))
    # i0 to i3 were taken 5, 4, 3 and 2 times; the query's vector is that of i0.
    expected = [[3.0 - n * 0.2, math.log1p(5.0 - n), 1.0 if n == 0 else 0.0, 0.0] for n in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_shopper_features_are_those_of_the_night_before(examples):
    found = np.array(examples["q0"].shopper_features).reshape(4, len(PROFILE_FEATURES))
    # One take of each brand, where everybody takes 9 of 14 of brand x (i0 i1) and 5 of 14 of brand y (i2 i3).
    x, y = ((1 - 2 * expected) / (2 + SMOOTHING) for expected in (9 / 14, 5 / 14))
    np.testing.assert_allclose(found[:, 0], [x, x, y, y], rtol=1e-6)
    np.testing.assert_allclose(
        found[:, PROFILE_FEATURES.index("own_item")], [math.log1p(1.0), 0, math.log1p(1.0), 0], rtol=1e-6
    )
    assert examples["q0"].recent_index == [2, 0, -1]  # newest first
    np.testing.assert_allclose(examples["q0"].recent_weight, [1.0, 0.9, 0.0], rtol=1e-6)
    assert examples["q1"].recent_index == [-1, -1, -1]


def test_takes_stand_in_their_order_with_action_and_gap_as_of_the_night_before(examples):
    taken = [(row.taken_index, row.taken_action, row.taken_gap) for row in (examples["q0"], examples["q1"])]
    # i0 at eight, i2 at nine: an hour later, bucket 1; both clicks, the second action of the list.
    assert taken == [([0, 2, -1], [2, 2, 0], [0, 1, 0]), ([-1, -1, -1], [0, 0, 0], [0, 0, 0])]


def test_a_linked_id_has_its_persons_profile_and_the_forgotten_teach_nothing(spark, build, known, examples, small_shop):
    before, _, tonight = nights(small_shop)
    links = people(spark, (before, "u2", "u1", False, None), (tonight, "u1", "u3", False, None))
    found = {row.query_id: row for row in build(known, links).collect()}
    assert found["q0"].shopper_features == examples["q0"].shopper_features
    assert found["q1"].recent_index == found["q0"].recent_index == [2, 0, -1]
    out = people(spark, (tonight, "u1", "u1", True, tonight))
    found = {row.query_id: row for row in build(known, links, out).collect()}
    assert set(found) == {"q1"}
    assert found["q1"].recent_index == [-1, -1, -1]


def test_canary_nothing_of_a_searchs_own_day_or_later_is_in_its_features(build, known, examples, small_shop):
    _, yesterday, tonight = nights(small_shop)
    # Before the search, on its own day; after it; and tonight.
    leaks = [event(yesterday, 1, "u1", "i1", "x", "buy"), event(yesterday, 23, "u1", "i1", "x", "buy")]
    leaks += [event(tonight, 1, "u1", "i1", "x", "buy")]
    again = {row.query_id: row for row in tables.TRAINING_EXAMPLES.conform(build(known + leaks)).collect()}
    assert again == examples


def test_canary_an_event_of_the_night_before_does_change_them(build, known, examples, small_shop):
    before, _, _ = nights(small_shop)
    more = [event(before, 23, "u1", "i1", "x", "buy")]
    again = {row.query_id: row for row in tables.TRAINING_EXAMPLES.conform(build(known + more)).collect()}
    assert again["q0"].shopper_features != examples["q0"].shopper_features


def test_training_reads_the_profile_that_the_compiler_reads(spark, known, small_shop):
    """Folded for the night of an example, or as the snapshot of that night: the same flat shopper."""
    before, _, _ = nights(small_shop)
    config, nothing = small_shop.config, small_shop.user_profiles.where("false")
    events = spark.createDataFrame(known, tables.EVENTS.schema)
    asked = spark.createDataFrame([("u1", before)], "user_id string, as_of date")
    trained = flat_shoppers(profiles_as_of(nothing, events, asked, config), config)
    snapshot = profiles_as_of(nothing, events, [before], config).withColumnRenamed("as_of", "run_date")
    compiled = flat_shoppers(snapshot.withColumn("as_of", F.col("run_date")), config)
    assert trained.collect() == compiled.collect()
    assert len(trained.collect()[0].own_item_ids) == 2
    assert set(ITEMS) >= set(trained.collect()[0].own_item_ids)
