"""Snowplow's enriched e-commerce events, as its published schemas shape them, written out by hand."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from nightrank.config import Config
from nightrank.sources import read_raw
from nightrank.sources.snowplow import ACTION, ENRICHED, PRODUCTS, SITE_SEARCH
from nightrank.tables import RAW_EVENTS, RAW_ITEMS, RAW_SEARCHES

NIGHT = date(2026, 1, 3)


def product(number: int, **values: Any) -> dict[str, Any]:
    return {"id": f"P{number}", "name": f"Shoe {number}", "category": "Mens/Shoes", "currency": "NOK", **values}


def act(
    number: int, clock: str, kind: str | None, *products: dict[str, Any], name: str | None = None, **values: Any
) -> dict[str, Any]:
    action = {ACTION: {"type": kind, "name": name}} if kind else {}
    return {
        "app_id": "shop", "event_id": f"e{number}", "event_name": "snowplow_ecommerce_action",
        "collector_tstamp": "2026-01-03T23:59:59.000Z", "derived_tstamp": f"2026-01-03T{clock}.000Z",
        "domain_userid": "cookie", "domain_sessionid": "s1", "dvce_type": "Mobile",
        PRODUCTS: list(products), **action, **values,
    }  # fmt: skip


SEARCHED = act(1, "10:00:00", None, **{SITE_SEARCH: {"terms": ["red", "shoes"], "total_results": 2}})
RESULTS = act(2, "10:00:01", "list_view", product(1, position=1), product(2, position=2), name="Search results")
QUOTED = act(3, "11:00:00", "list_view", product(2), product(3), name="Search results: \u201cboots\u201d")
OTHERS = act(4, "10:01:00", "list_view", product(9), name="Shop the look")
CLICK = act(5, "10:02:00", "list_click", product(2, price=10.0), name="Search results")
BOUGHT = act(6, "11:05:00", "transaction", product(2, price=10, quantity=2), product(1, price=5.0), user_id="ann")


def read(spark: SparkSession, tmp_path: Path, kind: str, *lines: dict[str, Any] | str, **values: Any) -> list[Any]:
    path = tmp_path / "enriched.json"
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    found = {"convention": "snowplow", "events": str(path), "searches": None, "items": None, **values}
    frame = read_raw(spark, kind, Config.model_validate({"source": found}), NIGHT, NIGHT, NIGHT)
    wanted = {"events": RAW_EVENTS, "searches": RAW_SEARCHES, "items": RAW_ITEMS}[kind]
    assert frame.schema.simpleString() == wanted.simpleString()
    return frame.drop("source_file").collect()


def test_a_list_of_search_results_is_a_search_of_the_last_term_or_of_the_one_it_names(
    spark: SparkSession, tmp_path: Path
) -> None:
    searches = {one.query: one for one in read(spark, tmp_path, "searches", QUOTED, OTHERS, RESULTS, SEARCHED)}
    assert searches.keys() == {"red shoes", "boots"}
    found = searches["red shoes"]
    assert (found.user_id, found.session_id, found.device, found.ts) == (
        "cookie", "s1", "mobile", datetime(2026, 1, 3, 10, 0, 1),
    )  # fmt: skip
    assert [(one.item_id, one.position) for one in found.slate] == [("P1", 1), ("P2", 2)]
    assert [(one.item_id, one.position) for one in searches["boots"].slate] == [("P2", 1), ("P3", 2)]


def test_a_row_a_product_of_the_last_search_that_showed_it(spark: SparkSession, tmp_path: Path) -> None:
    lines = (SEARCHED, RESULTS, QUOTED, OTHERS, CLICK, BOUGHT, act(7, "11:06:00", "promo_view", product(1)))
    ids = {one.query: one.query_id for one in read(spark, tmp_path, "searches", *lines)}
    events = {event.event_id: event for event in read(spark, tmp_path, "events", *lines)}
    assert {key: (e.action, e.item_id, e.query_id, e.quantity, e.price, e.user_id) for key, e in events.items()} == {
        "e5": ("click", "P2", ids["red shoes"], None, 10.0, "cookie"),
        "e6": ("buy", "P2", ids["boots"], 2.0, 10.0, "ann"),
        "e6:1": ("buy", "P1", ids["red shoes"], None, 5.0, "ann"),
    }


def test_lines_that_cannot_be_read_are_kept(spark: SparkSession, tmp_path: Path) -> None:
    ill = act(8, "10:00:00", "product_view", product(1, price="cheap"))
    empty = act(9, "10:00:00", "add_to_cart")
    events = read(spark, tmp_path, "events", "{broken", ill, empty, CLICK)
    told = {(event.event_id, event.action, event.item_id, tuple(event.problems)) for event in events}
    assert told == {
        (None, None, None, ("unparsable",)), ("e8", "view", "P1", ("unparsable",)), ("e9", "cart", None, ()),
        ("e5", "click", "P2", ()),
    }  # fmt: skip


def test_items_are_what_the_products_last_said(spark: SparkSession, tmp_path: Path) -> None:
    newer = act(8, "12:00:00", "product_view", product(1, name="Trail shoe", brand="Fjell", price=60.0))
    items = {one.item_id: one for one in read(spark, tmp_path, "items", newer, RESULTS)}
    found = items["P1"]
    assert (found.title, found.brand, found.category, found.price) == ("Trail shoe", "Fjell", "Mens > Shoes", 60.0)
    assert items["P2"].title == "Shoe 2"


def test_parquet_says_the_same(spark: SparkSession, tmp_path: Path) -> None:
    lines = [SEARCHED, RESULTS, QUOTED, CLICK, BOUGHT]
    frame = spark.read.json(spark.sparkContext.parallelize([json.dumps(one) for one in lines]), ENRICHED.columns)
    frame.write.parquet(str(tmp_path / "parquet"))
    at = {"format": "parquet", "events": str(tmp_path / "parquet")}
    for kind in ("events", "searches", "items"):
        as_json = sorted(map(str, read(spark, tmp_path, kind, *lines)))
        assert sorted(map(str, read(spark, tmp_path, kind, **at))) == as_json
