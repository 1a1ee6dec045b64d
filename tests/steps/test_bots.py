"""Bots and super-users: each rule just reached and just not, what is counted, the cap's order, searches of bots."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import bulk_night, ordinary_night
from nightrank.sections import ShopConfig
from nightrank.shop.behaviour import simulate_day
from nightrank.shop.logs import ACTIONS, BUY, CART
from nightrank.shop.planted import KINDS
from nightrank.shop.world import make_world
from nightrank.steps.bots import quarantine_bots
from nightrank.steps.events import build_events
from nightrank.steps.searches import build_searches
from nightrank.tables import EVENTS, ITEMS, RAW_EVENTS, RAW_SEARCHES

TONIGHT = date(2026, 1, 3)
BEFORE = TONIGHT - timedelta(days=1)
NOON = datetime(2026, 1, 3, 12)
JUDGED = T.StructType([*RAW_EVENTS.fields, T.StructField("reasons", T.ArrayType(T.StringType()))])
Rows = list[dict[str, Any]]


def rules(**changed: Any) -> Config:
    """Small numbers, so that a few rows reach them."""
    small = {
        "most_per_minute": 5,
        "entropy_events": 8,
        "lowest_entropy": 0.15,
        "highest_entropy": 0.95,
        "shortest_gap_seconds": 10,
        "gap_events": 4,
        "most_events_per_night": 20,
    }
    return Config.model_validate({"bots": {**small, **changed}})


def visit(user_id: str | None, seconds: Sequence[float], said: str = "", items: str = "", **values: Any) -> Rows:
    """A view of a shopper at each of these seconds after noon, of item i or of these, and the reason wanted of each."""
    reasons = values.pop("reasons", [])
    return [
        {"user_id": user_id, "ts": NOON + timedelta(seconds=at), "item_id": items[n] if items else "i",
         "reasons": reasons, "wanted": sorted([*reasons, *said.split()]), **values}
        for n, at in enumerate(seconds)
    ]  # fmt: skip


def every(seconds: float, times: int, start: float = 0) -> list[float]:
    return [start + seconds * n for n in range(times)]


def frame(spark: SparkSession, rows: Rows) -> DataFrame:
    """The rows as quarantine_bots gets them; event_id, where they have none, is their number."""
    base = {**dict.fromkeys(JUDGED.names), "action": "view", "arrived": TONIGHT}
    numbered = [{**base, "event_id": f"{n:03}", **row} for n, row in enumerate(rows)]
    return spark.createDataFrame([tuple(row[name] for name in JUDGED.names) for row in numbered], JUDGED)


def catalogue(spark: SparkSession) -> DataFrame:
    """A catalogue of item i."""
    item = {**dict.fromkeys(ITEMS.schema.names), "run_date": TONIGHT, "item_id": "i", "facets": []}
    return spark.createDataFrame([tuple(item.values())], ITEMS.schema)


def check(spark: SparkSession, rows: Rows, config: Config) -> None:
    """Each row gets the reasons that it wants, whatever the partitions."""
    events = frame(spark, rows)
    names = [row.get("event_id", f"{n:03}") for n, row in enumerate(rows)]
    for partitions in (1, 3):
        found = quarantine_bots(events.repartition(partitions), config)
        assert found.columns == events.columns
        got = {row.event_id: row.reasons for row in found.collect()}
        assert [(name, row["user_id"], got[name]) for name, row in zip(names, rows, strict=True)] == [
            (name, row["user_id"], row["wanted"]) for name, row in zip(names, rows, strict=True)
        ]


def test_each_rule_just_reached_and_just_not(spark: SparkSession) -> None:
    rows = [
        # More than five looks within a minute.
        *visit("five a minute", every(12, 5)),
        *visit("six a minute", every(11, 6), "bot"),
        *visit("six in two minutes", every(11, 6, start=30)),
        # Four looks or more with a mean gap below ten seconds.
        *visit("every ten seconds", every(10, 4)),
        *visit("nearly every ten", [0, 10, 20, 29.999999], "bot"),
        *visit("three at once", every(0, 3)),
        # Each session has gaps of its own; without one they are the night's. One hasty session makes a bot.
        *visit("two sessions", [30, 45, 60, 65], items="aabb", session_id="s1"),
        *visit("two sessions", [31, 46, 61, 66], items="aabb", session_id="s2"),
        *visit("no session", [30, 45, 60, 65], "bot", items="aabb"),
        *visit("no session", [31, 46, 61, 66], "bot", items="aabb", session_id=" "),
        *visit("one hasty session", every(60, 4), "bot", items="aabb", session_id="s1"),
        *visit("one hasty session", every(3, 4, start=600), "bot", items="aabb", session_id="s2"),
        # Entropy of eight looks or more above .95, each at another item, or below .15, all at one. One item twice:
        # 1 - 2 ln 2 / (8 ln 8) = .917; one item seven times: 1 - 7 ln 7 / (8 ln 8) = .181.
        *visit("all different", every(60, 8), "bot", items="abcdefgh"),
        *visit("seven different", every(60, 7), items="abcdefg"),
        *visit("one twice", every(60, 8), items="abcdefga"),
        *visit("always one", every(60, 8), "bot"),
        *visit("one but once", every(60, 8), items="aaaaaaab"),
        *visit("always one of seven", every(60, 7)),
    ]
    check(spark, rows, rules())


def test_good_events_of_a_night_are_counted_and_all_of_a_bot_are_marked(spark: SparkSession) -> None:
    rows = [
        # Neither what is wrong nor what is no look counts; of a bot both are marked.
        *visit("sent twice", every(12, 5)),
        *visit("sent twice", [0, 12], reasons=["duplicate"]),
        *visit("a large order", every(0, 19), action="buy"),
        *visit("bot that buys", every(0, 6), "bot"),
        *visit("bot that buys", [90], "bot", action="buy"),
        *visit("bot that buys", [0], "bot", reasons=["unknown_item"]),
        # Nights are judged one by one, by arrival.
        *visit("over two nights", every(12, 5)),
        *visit("over two nights", [1], arrived=BEFORE),
        *visit("bot of one night", every(11, 6), "bot", arrived=BEFORE),
        *visit("bot of one night", every(12, 5)),
        # Anonymous sessions are visitors of their own; without a session nobody is judged.
        *visit(None, every(12, 5), session_id="s1"),
        *visit("anonymous", every(12, 5), session_id="s2"),
        *visit(" ", every(11, 6), "bot", session_id="s3"),
        *visit("s1", [1], session_id="s1"),
        *visit(None, every(1, 50)),
    ]
    check(spark, rows, rules())


def test_the_first_events_of_a_super_user_count(spark: SparkSession) -> None:
    rows = [
        # Three count, by time and then by id, whatever the action, the session and the item.
        *visit("over", [0], action="buy", event_id="z"),
        *visit("over", [60], event_id="b"),
        *visit("over", [60], "over_cap", items="x", event_id="d"),
        *visit("over", [90], "over_cap", event_id="a"),
        *visit("over", [60], session_id="s", event_id="c"),
    ]
    rows += visit("over", [0, 1, 2], arrived=BEFORE)
    rows += visit("over", [120], reasons=["not_finite"])
    rows += [*visit("three", every(60, 3)), *visit("three", [0], reasons=["duplicate"])]
    # Of a bot nothing counts: it has no cap. Of anonymous sessions each has one.
    rows += visit("bot", every(0, 5), "bot")
    rows += [*visit(None, every(60, 3), session_id="s1"), *visit(None, every(60, 3), session_id="s2")]
    rows += [*visit(None, every(60, 3), session_id="s3"), *visit(None, [180], "over_cap", session_id="s3")]
    rows += visit(None, every(60, 5))
    check(spark, rows, rules(most_events_per_night=3))


def test_a_rule_that_is_null_is_switched_off(spark: SparkSession) -> None:
    limits = ("most_per_minute", "lowest_entropy", "highest_entropy", "shortest_gap_seconds", "most_events_per_night")
    off = dict.fromkeys(limits)
    rows = [*visit("hasty", every(1, 30)), *visit("patient", every(60, 30))]
    events = frame(spark, rows)
    assert quarantine_bots(events, rules(**off)) is events
    # Each rule alone: who breaks it.
    alone = {
        "most_per_minute": ({"most_per_minute": 5}, {"hasty": "bot"}),
        "lowest_entropy": ({"lowest_entropy": 0.15}, {"hasty": "bot", "patient": "bot"}),
        "highest_entropy": ({"highest_entropy": 0.95}, {}),
        "shortest_gap_seconds": ({"shortest_gap_seconds": 10}, {"hasty": "bot"}),
        "most_events_per_night": ({"most_events_per_night": 29}, {"hasty": "over_cap", "patient": "over_cap"}),
    }
    found = [
        quarantine_bots(events, rules(**{**off, **limit})).select(F.lit(name).alias("rule"), "user_id", "reasons")
        for name, (limit, _) in alone.items()
    ]
    together = found[0].unionByName(found[1]).unionByName(found[2]).unionByName(found[3]).unionByName(found[4])
    marked = together.select("rule", "user_id", F.explode("reasons").alias("reason")).distinct().collect()
    wanted = {(name, user, reason) for name, (_, said) in alone.items() for user, reason in said.items()}
    assert {tuple(row) for row in marked} == wanted


def test_what_was_too_much_is_a_duplicate_when_it_is_sent_again(spark: SparkSession) -> None:
    """As of day tables that are rewritten; and a bulk load decides as the nights did."""
    config = rules(most_events_per_night=2)
    first = [{**row, "arrived": BEFORE, "ts": row["ts"] - timedelta(days=1)} for row in visit("u", every(60, 3))]
    first += [{**row, "arrived": BEFORE, "ts": row["ts"] - timedelta(days=1)} for row in visit("bot", every(0, 4))]
    again = [{**row, "arrived": TONIGHT} for row in first]
    raw = frame(spark, [*first, *again]).withColumn("event_id", F.lpad(F.expr("CAST(event_id AS INT) % 7"), 3, "0"))
    raw = raw.withColumn("problems", F.array().cast("array<string>")).select(*RAW_EVENTS.names)
    items = catalogue(spark)
    none = spark.createDataFrame([], EVENTS.schema)
    one = build_events(raw, items, none, ordinary_night(BEFORE, ()), config).localCheckpoint()
    two = build_events(raw, items, one, ordinary_night(TONIGHT, (BEFORE,)), config)
    bulk = build_events(raw, items, none, bulk_night(TONIGHT, 14, 1), config)
    known = [("000", []), ("001", []), ("002", ["over_cap"]), *[(f"{n:03}", ["bot"]) for n in range(3, 7)]]
    wanted = [(BEFORE, *row, not row[1]) for row in known]
    wanted += [(TONIGHT, event_id, ["duplicate"], False) for event_id, _ in known]
    shown = ("run_date", "event_id", "reasons", "accepted")
    expected = spark.createDataFrame(wanted, one.select(*shown).schema)
    assertDataFrameEqual(one.unionByName(two).select(*shown), expected)
    assertDataFrameEqual(bulk.select(*shown), expected)


def test_counting_and_marking_read_the_log_once(spark: SparkSession, tmp_path: Path) -> None:
    raw = frame(spark, [*visit("bot", every(0, 9)), *visit("over", every(60, 4))]).drop("reasons")
    raw.withColumn("problems", F.array().cast("array<string>")).write.parquet(f"{tmp_path}/raw")
    items = catalogue(spark)
    raw, none = spark.read.parquet(f"{tmp_path}/raw"), spark.createDataFrame([], EVENTS.schema)
    built = build_events(raw, items, none, ordinary_night(TONIGHT, ()), rules(most_events_per_night=3))
    said = {row.event_id: row.reasons for row in built.collect()}
    assert said == {f"{n:03}": ["bot"] if n < 9 else ["over_cap"] if n == 12 else [] for n in range(13)}
    # The plan as it was run: what is reused is not shown again.
    plan = built._jdf.queryExecution().executedPlan().toString().split("== Initial Plan ==")[0]
    assert (plan.count("FileScan parquet"), "ReusedExchange" in plan) == (1, True)
    # No task orders all rows of a super-user.
    assert "WindowGroupLimit" in plan


def test_searches_of_bots(spark: SparkSession) -> None:
    """A bot in any night from a search's arrival to its closing night; of the anonymous, the session's."""
    shown = [("i1", 1, 1.0, None, None)]
    base = {**dict.fromkeys(RAW_SEARCHES.names), "ts": NOON, "query": "red", "slate": shown, "arrived": TONIGHT}
    evening = datetime(2026, 1, 2, 23)
    searches: Rows = [
        {"query_id": "shopper", "user_id": "u"},
        {"query_id": "bot", "user_id": "b", "query": " "},
        {"query_id": "bot before", "user_id": "b1"},
        {"query_id": "bot at arrival", "user_id": "b1", "ts": evening, "arrived": BEFORE},
        {"query_id": "anonymous bot", "session_id": "s1"},
        {"query_id": "anonymous", "session_id": "s2"},
        {"query_id": "nobody"},
    ]
    rows = [tuple({**base, "problems": [], **row}.values()) for row in searches]
    kinds = [
        ("b", None, TONIGHT, ["bot", "duplicate"]), ("b1", "s2", BEFORE, ["bot"]), ("u", None, TONIGHT, ["over_cap"]),
        ("anonymous", "s1", TONIGHT, ["bot"]), ("u", "s2", TONIGHT, []), ("anonymous", None, TONIGHT, ["duplicate"]),
    ]  # fmt: skip
    acts = [
        {**dict.fromkeys(EVENTS.schema.names), "user_id": user, "session_id": session, "run_date": night, "ts": NOON,
         "query_id": "shopper", "item_id": "i1", "action": "buy" if reasons else "click", "reasons": reasons,
         "accepted": not reasons}
        for user, session, night, reasons in kinds
    ]  # fmt: skip
    events = spark.createDataFrame([tuple(row.values()) for row in acts], EVENTS.schema)
    got = build_searches(spark.createDataFrame(rows, RAW_SEARCHES), events, ordinary_night(TONIGHT, ()), Config())
    assert {row.query_id: row.reasons for row in got.collect()} == {
        "shopper": [], "bot": ["bot", "missing_key"], "bot before": [], "bot at arrival": ["bot"],
        "anonymous bot": ["bot"], "anonymous": [], "nobody": [],
    }  # fmt: skip
    # What was a bot's, a repeat or too much is no gain.
    gains = {row.query_id: row.slate[0].gain for row in got.filter("query_id = 'shopper'").collect()}
    assert gains == {"shopper": 1.0}


def test_planted_bots_are_found_and_people_are_not(spark: SparkSession) -> None:
    """500 people and 2 bots over 20 nights, by the defaults.

    People here make at most some thirty events a night, far below every threshold: none may be marked. A bot's night
    has 300 views at a mean gap of .6 seconds, which breaks two rules: each must be found.
    """
    shop = make_world(ShopConfig(seed=3, shoppers=500, items=300, days=20))
    names = {CART: "cart", BUY: "buy"}
    rows: Rows = []
    for day in range(20):
        events = simulate_day(shop, day).events
        night = TONIGHT + timedelta(days=day)
        for who, ms, action, item in zip(events.shopper, events.ms, events.action, events.item, strict=True):
            at = datetime.combine(night, datetime.min.time()) + timedelta(milliseconds=int(ms))
            rows.append({"user_id": f"{who}", "ts": at, "action": names.get(action, ACTIONS[action]), "reasons": [],
                         "item_id": f"{item}", "session_id": f"{who} {day}", "arrived": night})  # fmt: skip
    judged = quarantine_bots(frame(spark, rows), Config()).groupBy("user_id", "arrived")
    nights = judged.agg(F.max(F.size("reasons")).alias("marked")).collect()
    is_bot = {str(n): kind == KINDS.index("bot") for n, kind in enumerate(shop.shoppers.kind)}
    bots = [row.marked for row in nights if is_bot[row.user_id]]
    people = [row.marked for row in nights if not is_bot[row.user_id]]
    assert len(bots) >= 5
    assert len(people) > 3000
    assert sum(bots) / len(bots) >= 0.95
    assert sum(people) == 0
