"""Events: every reason, duplicates, facets, pseudonyms."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import Night, bulk_night, ordinary_night
from nightrank.steps.events import build_events
from nightrank.tables import EVENTS, ITEMS, RAW_EVENTS

TONIGHT = date(2026, 1, 3)
NOON = datetime(2026, 1, 3, 12)


def raw(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    base = {
        **dict.fromkeys(RAW_EVENTS.names), "ts": NOON, "user_id": "u", "action": "click", "item_id": "i1",
        "arrived": TONIGHT, "problems": [],
    }  # fmt: skip
    return spark.createDataFrame([tuple({**base, **row}.values()) for row in rows], RAW_EVENTS)


def built(
    spark: SparkSession, arrivals: DataFrame, seen: tuple[str, ...] = (), night: Night | None = None
) -> DataFrame:
    item = {**dict.fromkeys(ITEMS.schema.names), "run_date": TONIGHT, "item_id": "i1", "facets": ["brand:a"]}
    items = spark.createDataFrame([tuple(item.values())], ITEMS.schema)
    base = {**dict.fromkeys(EVENTS.schema.names), "run_date": date(2026, 1, 2), "reasons": []}
    earlier = [tuple({**base, "event_id": one}.values()) for one in seen]
    events = spark.createDataFrame(earlier, EVENTS.schema)
    return build_events(arrivals, items, events, night or ordinary_night(TONIGHT, ()), Config())


def test_each_reason_once(spark: SparkSession) -> None:
    arrivals = raw(
        spark,
        {"event_id": "good", "user_id": None, "quantity": 2.0},
        {"event_id": "last moment", "ts": datetime(2026, 1, 3, 23, 59, 59, 999999)},
        {"event_id": "tomorrow", "ts": datetime(2026, 1, 4)},
        {"event_id": "ancient", "ts": datetime(1999, 12, 31)},
        {"event_id": "milliseconds", "ts": datetime(1970, 1, 21, 10, 57)},
        {"event_id": "timeless", "ts": None},
        {"event_id": None},
        {"event_id": "itemless", "item_id": ""},
        {"event_id": "idle", "action": None},
        {"event_id": "odd", "action": "sneeze"},
        {"event_id": "nan", "quantity": math.nan, "price": 1.0},
        {"event_id": "infinite", "price": -math.inf},
        {"event_id": "long", "session_id": "s" * 257},
        {"event_id": "strange", "item_id": "i2"},
        {"event_id": "broken", "problems": ["unparsable"], "action": "sneeze"},
        {"event_id": "seen"},
    )
    found = built(spark, arrivals, seen=("seen", "another")).select(
        "run_date", "event_id", "user_id", "quantity", "price", "facets", "reasons", "accepted"
    )

    def row(event_id: str | None, *reasons: str, **values: Any) -> tuple[Any, ...]:
        base = {"user_id": "u", "quantity": None, "price": None, "facets": ["brand:a"], **values}
        return (TONIGHT, event_id, *base.values(), list(reasons), not reasons)

    wanted = [
        row("good", user_id="anonymous", quantity=2.0),
        row("last moment"),
        row("tomorrow", "impossible_time"),
        row("ancient", "impossible_time"),
        row("milliseconds", "impossible_time", "wrong_time_unit"),
        row("timeless", "missing_key"),
        row(None, "missing_key"),
        row("itemless", "missing_key", facets=[]),
        row("idle", "missing_key"),
        row("odd", "unknown_action"),
        row("nan", "not_finite", price=1.0),
        row("infinite", "not_finite"),
        row("long", "overlong_id"),
        row("strange", "unknown_item", facets=[]),
        row("broken", "unknown_action", "unparsable"),
        row("seen", "duplicate"),
    ]
    assertDataFrameEqual(found, spark.createDataFrame(wanted, found.schema))


def test_the_first_good_row_of_an_event_stays(spark: SparkSession) -> None:
    first = date(2026, 1, 1)
    arrivals = raw(
        spark,
        {"event_id": "a", "price": 2.0},
        {"event_id": "a", "ts": datetime(2026, 1, 1), "arrived": first, "price": 1.0},
        {"event_id": "b", "item_id": "i2", "ts": datetime(2026, 1, 1), "arrived": first, "price": 3.0},
        {"event_id": "b", "price": 4.0},
        {"event_id": None},
        {"event_id": None, "price": 5.0},
    )
    frame = built(spark, arrivals, night=bulk_night(TONIGHT, 14, 1))
    assert EVENTS.conform(frame, with_run_date=True).columns == frame.columns
    found = frame.select("run_date", "event_id", "price", "reasons")
    wanted = [
        (first, "a", 1.0, []),
        (TONIGHT, "a", 2.0, ["duplicate"]),
        (first, "b", 3.0, ["duplicate", "unknown_item"]),
        (TONIGHT, "b", 4.0, []),
        (TONIGHT, None, None, ["missing_key"]),
        (TONIGHT, None, 5.0, ["missing_key"]),
    ]
    assertDataFrameEqual(found, spark.createDataFrame(wanted, found.schema))
