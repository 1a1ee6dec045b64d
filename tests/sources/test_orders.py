"""Purchase lines: events, items and derived searches."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from nightrank.config import Config
from nightrank.errors import ConfigError
from nightrank.sources import read_raw
from nightrank.tables import RAW_EVENTS, RAW_ITEMS, RAW_SEARCHES

NIGHT = date(2026, 1, 20)
COLUMNS = {
    "order_id": "No", "item_id": "Code", "user_id": "Customer", "ts": "Date", "quantity": "Quantity", "price": "Price",
    "title": "Description",
}  # fmt: skip
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "online_retail" / "online_retail.parquet"


def orders(path: Path, **source: Any) -> Config:
    base = {"convention": "orders", "format": "parquet", "events": str(path), "order_columns": COLUMNS}
    return Config.model_validate({"source": {**base, "time_format": "d/M/yyyy H:mm", "drop_user_ids": ["0"], **source}})


def line(
    order: int, code: str, customer: float, day: date, title: str | None = "RED MUG", **values: Any
) -> dict[str, Any]:
    when = f"{day.day}/{day.month}/{day.year} 9:05"
    return {
        "No": order, "Code": code, "Customer": customer, "Date": when, "Quantity": 2, "Price": 1.5,
        "Description": title, **values,
    }  # fmt: skip


def write(tmp_path: Path, *lines: dict[str, Any]) -> Path:
    pd.DataFrame(list(lines)).to_parquet(tmp_path / "orders.parquet")
    return tmp_path / "orders.parquet"


def test_lines_become_events_and_items(spark: SparkSession, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        line(1, "A", 12345678.0, NIGHT, "OLD NAME"),
        line(2, "A", 17.0, NIGHT, "SET OF RED MUGS IN BOX", Date="20/1/2026 10:00"),
        line(3, "A", 17.0, NIGHT, None, Date="20/1/2026 11:00", Price=math.inf),
        line(4, "B", 17.0, NIGHT, None, Date="soon"),
        line(5, "A", 0.0, NIGHT),
        line(6, "A", 17.0, NIGHT, Quantity=-1),
        line(7, "A", 17.0, NIGHT, Price=0.0),
        line(8, "A", 17.0, NIGHT - timedelta(days=1)),
    )
    frame = read_raw(spark, "events", orders(path), NIGHT, NIGHT, NIGHT)
    assert frame.schema.simpleString() == RAW_EVENTS.simpleString()
    found = sorted(frame.collect(), key=lambda row: row.session_id)
    assert [(row.session_id, row.user_id, row.action, row.item_id, row.problems) for row in found] == [
        ("1", "12345678", "buy", "A", []),
        ("2", "17", "buy", "A", []),
        ("3", "17", "buy", "A", []),
        ("4", "17", "buy", "B", ["unparsable"]),
    ]
    assert (found[0].ts, found[0].quantity, found[0].price, found[0].query_id) == (
        datetime(2026, 1, 20, 9, 5), 2.0, 1.5, "order:1:A",
    )  # fmt: skip
    assert math.isinf(found[2].price)
    items = read_raw(spark, "items", orders(path), NIGHT, NIGHT, NIGHT)
    assert items.schema.simpleString() == RAW_ITEMS.simpleString()
    assert sorted((row.item_id, row.title, row.category, row.updated_at) for row in items.collect()) == [
        ("A", "SET OF RED MUGS IN BOX", "box", datetime(2026, 1, 20, 10)),
        ("B", "B", None, None),
    ]


def test_searches_are_derived_from_purchases(spark: SparkSession, tmp_path: Path) -> None:
    days = [NIGHT - timedelta(days=back) for back in (14, 3, 1)]
    path = write(
        tmp_path,
        line(1, "A", 17.0, NIGHT - timedelta(days=15)),
        *[line(10 + at, code, 18.0, day) for at, day in enumerate(days) for code in ("A", "B")],
        line(20, "B", 18.0, days[1]),
        line(21, "C", 18.0, days[1]),
        line(22, "D", 18.0, days[1], "BLUE BAG"),
        line(30, "A", 17.0, NIGHT),
        line(30, "C", 17.0, NIGHT),
        # Not sold before: nothing is derived from it; nor from the only bag.
        line(31, "E", 19.0, NIGHT),
        line(32, "D", 19.0, NIGHT, "BLUE BAG"),
    )
    frame = read_raw(spark, "searches", orders(path), NIGHT, NIGHT, NIGHT)
    assert frame.schema.simpleString() == RAW_SEARCHES.simpleString()
    rows = {row.query_id: row for row in frame.collect()}
    # A and C were bought together: neither is a refusal in the other's slate.
    shown = {name: [(one.item_id, one.position, one.base_score) for one in row.slate] for name, row in rows.items()}
    assert shown == {
        "order:30:A": [("B", 1, math.log1p(4)), ("A", 2, math.log1p(3))],
        "order:30:C": [("B", 1, math.log1p(4)), ("C", 2, math.log1p(1))],
    }
    one = rows["order:30:A"]
    assert (one.query, one.user_id, one.ts, one.derived) == ("mug", "17", datetime(2026, 1, 20, 9, 5), True)
    assert one.slate[0].propensity is None


def test_a_column_map_that_lacks_a_name_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    wrong = {**{name: COLUMNS[name] for name in ("order_id", "item_id", "user_id")}, "when": "Date"}
    config = orders(tmp_path, order_columns=wrong)
    with pytest.raises(ConfigError, match="lacking: ts, unknown: when"):
        read_raw(spark, "events", config, NIGHT, NIGHT, NIGHT)


@pytest.mark.long
@pytest.mark.real_data
def test_online_retail_has_the_lines_that_its_readme_counts(spark: SparkSession) -> None:
    if not REAL.exists():
        pytest.skip(f"REAL DATA ABSENT: {REAL} is not there, the orders convention was not tried on it")
    names = {
        "order_id": "InvoiceNo", "item_id": "StockCode", "user_id": "CustomerID", "ts": "InvoiceDate",
        "quantity": "Quantity", "price": "UnitPrice", "title": "Description",
    }  # fmt: skip
    source = orders(REAL, order_columns=names, time_format="yyyy-MM-dd HH:mm:ss")
    last = date(2011, 12, 9)
    events = read_raw(spark, "events", source, date(1970, 1, 1), last, last)
    counted = events.selectExpr(
        "count(*) AS lines", "count(DISTINCT session_id) AS orders", "count(DISTINCT user_id) AS users",
        "count(DISTINCT item_id) AS items", "count_if(size(problems) > 0) AS broken",
    ).collect()[0]  # fmt: skip
    # 40 of the 397,924 lines of known customers are gifts at price 0.
    assert tuple(counted) == (397_884, 18_532, 4_338, 3_665, 0)
