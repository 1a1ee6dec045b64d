"""Neighbours: pairs in sequence by hand; three nights == one rebuild; no pair before its night."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import Night, ordinary_night
from nightrank.steps.item_neighbours import build_item_neighbours
from nightrank.tables import ITEM_NEIGHBOURS

CONFIG = Config.model_validate(
    {
        "item_neighbours": {
            "half_life_nights": 2.0, "forget_nights": 30, "pair_window_nights": 2, "pair_distance": 2,
            "backward": 0.5, "popularity_power": 0.5, "max_takes_per_night": 3, "pairs_per_night": 4,
            "forget_below": 0.1,
        }
    }
)  # fmt: skip
D = 0.5**0.5
EVENT = "run_date date, ts timestamp, event_id string, user_id string, action string, item_id string, session_id string"


LATE = ((10, "x"), (12, "y"))


def jan(day):
    return date(2026, 1, day)


def event(day, hour, user, item, action="click", session=None):
    return (jan(day), datetime(2026, 1, day, hour), f"{user}-{day}-{hour}", user, action, item, session)


def built(spark, rows, night, previous=None):
    events = rows if hasattr(rows, "columns") else spark.createDataFrame(rows, EVENT)
    before = previous if previous is not None else spark.createDataFrame([], ITEM_NEIGHBOURS.schema)
    frame = build_item_neighbours(item_neighbours=before, events=events, night=night, config=CONFIG)
    return ITEM_NEIGHBOURS.conform(frame, with_run_date=True)


def bulk(*snapshots):
    return Night(snapshots[-1], date(1970, 1, 1), (), snapshots)


def test_pairs_and_popularity_by_hand(spark):
    rows = [
        event(1, 9, "u", "a"),
        event(1, 10, "u", "x", "view"),
        event(1, 11, "u", "a"),
        event(2, 9, "u", "b", "buy"),
        # A cart counts half; c came three nights later, beyond two.
        event(2, 10, "v", "h"),
        event(2, 11, "v", "i", "cart"),
        event(5, 9, "u", "c"),
        # One session is a shopper of its own; what has no session counts for popularity only.
        event(2, 9, "anonymous", "d", session="s"),
        event(2, 10, "anonymous", "e", session="t"),
        event(2, 11, "anonymous", "f"),
        event(2, 12, "anonymous", "g"),
    ]
    # a is before b at distance 1 and 2: 1 + 1/2 forward, half of it back.
    pop_a, pop_b = 2.0 * D**4, 1.0 * D**3
    forward, back = 1.5 * D**3, 0.75 * D**3
    discount = ((pop_a + 1.0) * (pop_b + 1.0)) ** 0.5
    night = jan(5)
    single = [(night, x, x, 1.0, jan(2), 1.0 * D**3, 0) for x in "defghi"]
    expected = [
        (night, "a", "a", 2.0, jan(1), pop_a, 0),
        (night, "b", "b", 1.0, jan(2), pop_b, 0),
        (night, "c", "c", 1.0, jan(5), 1.0, 0),
        (night, "a", "b", 1.5, jan(2), forward / discount, 1),
        (night, "b", "a", 0.75, jan(2), back / discount, 1),
        (night, "h", "i", 0.5, jan(2), 0.5 * D**3 / (pop_b + 1.0), 1),
        *single,
    ]
    result = built(spark, rows, bulk(night))
    assertDataFrameEqual(result, spark.createDataFrame(expected, ITEM_NEIGHBOURS.schema), rtol=0, atol=1e-15)


def test_a_late_event_pairs_at_its_own_time(spark):
    # Taken at 9, 11 and 13 on the 1st; what was taken at 10 and 12 arrives on the 2nd, as does b's own second take.
    on_time = [event(1, hour, "u", item) for hour, item in ((9, "a"), (11, "b"), (13, "c"))]
    late = [(jan(2), datetime(2026, 1, 1, hour), f"late {hour}", "u", "click", item, None) for hour, item in LATE]
    frame = built(spark, [*on_time, *late], ordinary_night(jan(2), (jan(1),)))
    # One night late: d each. Sequence a x b y c; pairs with x or y at distance 1 or 2, those of a, b and c stand.
    near = {
        ("a", "x"): 1,
        ("x", "b"): 1,
        ("x", "y"): 2,
        ("b", "y"): 1,
        ("y", "c"): 1,
        ("a", "y"): None,
        ("x", "c"): None,
    }
    units = {pair: round(D * 1e6 / k) / 1e6 for pair, k in near.items() if k}
    back = {(j, i): round(D * 1e6 / near[i, j] / 2) / 1e6 for i, j in units}
    got = frame.where("rank > 0").select("item_id", "neighbour_id", "value")
    expected = [(*pair, value) for pair, value in {**units, **back}.items()]
    assertDataFrameEqual(got, spark.createDataFrame(expected, got.schema), rtol=0, atol=1e-9)


def test_pairs_worth_little_are_forgotten_and_a_night_adds_only_so_many(spark):
    # s is taken after five others, twice after e: of equal pairs the first ids stay, and single ones go after 7 nights.
    rows = [
        event(day, hour, user, item)
        for user, first, day in (
            ("u", "a", 1),
            ("v", "b", 1),
            ("w", "c", 1),
            ("x", "d", 1),
            ("y", "e", 1),
            ("z", "e", 1),
        )
        for hour, item in ((1, first), (2, "s"))
    ]
    frame = built(spark, rows, bulk(jan(1), jan(5), jan(7), jan(8))).where("item_id = 's' or neighbour_id = 's'")
    got = (
        frame.where("rank > 0")
        .groupBy("run_date", (F.col("item_id") == "s").alias("back"))
        .agg(F.concat_ws(" ", F.array_sort(F.collect_list(F.concat("item_id", "neighbour_id")))).alias("pairs"))
    )
    # Forward 1 (e: 2), back half of it: at two nights a half-life 1/2 is 0.125 after 4 and 0.1 is fallen below after 5.
    forward = "as bs cs ds es"
    expected = [
        (jan(1), False, forward), (jan(1), True, "sa sb sc se"), (jan(5), False, forward),
        (jan(5), True, "sa sb sc se"), (jan(7), False, forward), (jan(7), True, "se"), (jan(8), False, "es"),
    ]  # fmt: skip
    assertDataFrameEqual(got, spark.createDataFrame(expected, got.schema))


def test_ranks_are_by_weight_then_id_and_a_night_of_one_shopper_is_capped(spark):
    rows = [
        *[event(1, hour, "u", item) for hour, item in ((1, "a"), (2, "c"), (3, "b"), (4, "over the cap"))],
        *[event(1, hour, "v", item) for hour, item in ((1, "a"), (2, "b"))],
        *[event(1, hour, "w", item) for hour, item in ((1, "a"), (2, "d"))],
        *[event(1, hour, "x", item) for hour, item in ((1, "a"), (2, "e"))],
    ]
    frame = built(spark, rows, bulk(jan(1))).where("item_id = 'a'").orderBy("rank")
    # b: 1/2 + 1 over popularity 2; c, d, e: 1 over popularity 1, so ties by id; the diagonal is rank 0.
    weights = [1.5 / (5 * 3) ** 0.5, *[1 / (5 * 2) ** 0.5] * 3]
    expected = [("a", 4.0, 0), *zip("bcde", weights, (1, 2, 3, 4), strict=True)]
    ranks = spark.createDataFrame(expected, "neighbour_id string, weight double, rank int")
    assertDataFrameEqual(frame.select("neighbour_id", "weight", "rank"), ranks, rtol=0, atol=1e-15, checkRowOrder=True)


@pytest.fixture(scope="module")
def log(spark):
    def pick(salt, many):
        return F.pmod(F.xxhash64("id", F.lit(salt)), F.lit(many)).cast("int")

    day = F.date_add(F.lit(jan(1)), pick(1, 12))
    return spark.range(300).select(
        day.alias("run_date"),
        # Some arrive late: their own time is up to two days earlier.
        F.timestamp_seconds(F.unix_seconds(day.cast("timestamp")) + pick(2, 86_400) - 86_400 * pick(3, 3)).alias("ts"),
        F.col("id").cast("string").alias("event_id"),
        F.concat(F.lit("u"), pick(4, 8)).alias("user_id"),
        F.element_at(F.array(F.lit("click"), F.lit("cart"), F.lit("buy")), pick(6, 3) + 1).alias("action"),
        F.concat(F.lit("i"), pick(5, 9)).alias("item_id"),
        F.lit(None).cast("string").alias("session_id"),
    )


def test_three_nights_equal_one_rebuild_to_the_bit(spark, log):
    nights = (jan(6), jan(8), jan(12))
    rebuilt = built(spark, log, bulk(*nights))
    previous, stepwise, held = None, [], ()
    for run_date in nights:
        first = (held[-1] + timedelta(days=1 - 2)) if held else date(1970, 1, 1)
        arrived = log.where(F.col("run_date").between(F.lit(first), F.lit(run_date))).repartition(3)
        previous = built(spark, arrived, ordinary_night(run_date, held), previous).localCheckpoint()
        stepwise, held = [*stepwise, previous], (*held, run_date)
    assertDataFrameEqual(stepwise[0].union(stepwise[1]).union(stepwise[2]), rebuilt, rtol=0, atol=0)


def test_a_purchases_own_transition_is_in_no_snapshot_before_its_night(spark):
    rows = [event(1, 9, "u", "a"), event(2, 9, "u", "b", "buy")]
    frame = built(spark, rows, bulk(jan(1), jan(2))).select("run_date", "item_id", "neighbour_id")
    first = [(jan(1), "a", "a")]
    second = [(jan(2), *pair) for pair in (("a", "a"), ("b", "b"), ("a", "b"), ("b", "a"))]
    assertDataFrameEqual(
        frame, spark.createDataFrame(first + second, "run_date date, item_id string, neighbour_id string")
    )
