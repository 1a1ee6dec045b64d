"""Metarank's events: items, rankings and interactions, as its documentation shapes them, written out by hand."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from nightrank.config import Config
from nightrank.sources import read_raw
from nightrank.tables import RAW_EVENTS, RAW_ITEMS, RAW_SEARCHES

NIGHT = date(2026, 1, 3)
TEN = 1767434400000  # 3 January 2026, 10:00 UTC
RANKING = {
    "event": "ranking", "id": "r1", "timestamp": str(TEN), "user": "u1", "session": "s1",
    "fields": [{"name": "query", "value": "socks"}, {"name": "device", "value": "mobile"}],
    "items": [
        {"id": "i3", "relevancy": 2.5},
        {"id": "i1", "fields": [{"name": "relevancy", "value": 1.5}, {"name": "sponsored", "value": True}]},
        {"id": "i2"},
    ],
}  # fmt: skip
CLICK = {
    "event": "interaction", "id": "e1", "ranking": "r1", "timestamp": TEN + 5000, "user": "u1", "session": "s1",
    "type": "click", "item": "i1", "fields": [{"name": "price", "value": 9.5}, {"name": "count", "value": 1}],
}  # fmt: skip
ITEM = {
    "event": "item", "id": "m1", "timestamp": str(TEN), "item": "i1",
    "fields": [
        {"name": "title", "value": "Wool socks"}, {"name": "price", "value": 9.5}, {"name": "in_stock", "value": True},
        {"name": "category", "value": ["Clothes", "Socks"]}, {"name": "color", "value": "red"},
        {"name": "color", "value": "blue"}, {"name": "sizes", "value": ["s", "m"]}, {"value": "nameless"},
    ],
}  # fmt: skip
USER = {"event": "user", "id": "x", "timestamp": str(TEN), "user": "u1", "fields": [{"name": "age", "value": 30}]}


def read(spark: SparkSession, tmp_path: Path, kind: str, *lines: dict[str, Any] | str) -> list[Any]:
    path = tmp_path / "events.jsonl"
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    found = {"convention": "metarank", "events": str(path), "searches": None, "items": None}
    frame = read_raw(spark, kind, Config.model_validate({"source": found}), NIGHT, NIGHT, NIGHT)
    wanted = {"events": RAW_EVENTS, "searches": RAW_SEARCHES, "items": RAW_ITEMS}[kind]
    assert frame.schema.simpleString() == wanted.simpleString()
    return frame.collect()


def test_an_interaction_is_an_event_of_its_ranking(spark: SparkSession, tmp_path: Path) -> None:
    (event,) = read(spark, tmp_path, "events", USER, ITEM, RANKING, CLICK)
    assert (event.event_id, event.ts, event.user_id, event.session_id) == (
        "e1", datetime(2026, 1, 3, 10, 0, 5), "u1", "s1",
    )  # fmt: skip
    assert (event.action, event.item_id, event.query_id, event.price, event.quantity) == (
        "click",
        "i1",
        "r1",
        9.5,
        None,
    )
    assert (event.problems, event.arrived) == ([], NIGHT)


def test_actions_are_named_and_strange_ones_stay(spark: SparkSession, tmp_path: Path) -> None:
    kinds = ("purchase", "Add_To_Cart", "wished")
    lines = [{**CLICK, "id": kind, "type": kind, "user": None} for kind in kinds]
    events = {event.event_id: event for event in read(spark, tmp_path, "events", *lines)}
    assert [events[kind].action for kind in kinds] == ["buy", "cart", "wished"]
    assert {event.user_id for event in events.values()} == {"anonymous"}


def test_a_ranking_with_a_query_is_a_search(spark: SparkSession, tmp_path: Path) -> None:
    widget = {**RANKING, "id": "r2", "fields": [{"name": "place", "value": "home"}]}
    (search,) = read(spark, tmp_path, "searches", RANKING, widget, CLICK)
    assert (search.query_id, search.query, search.user_id, search.device) == ("r1", "socks", "u1", "mobile")
    assert [tuple(one) for one in search.slate] == [
        ("i3", 1, 2.5, False, None), ("i1", 2, 1.5, True, None), ("i2", 3, None, False, None),
    ]  # fmt: skip
    assert (search.problems, search.derived) == ([], False)


def test_an_item_event_is_a_whole_version_of_its_item(spark: SparkSession, tmp_path: Path) -> None:
    (item,) = read(spark, tmp_path, "items", RANKING, ITEM, CLICK)
    assert (item.item_id, item.title, item.price, item.in_stock) == ("i1", "Wool socks", 9.5, True)
    assert (item.category, item.updated_at) == ("Clothes > Socks", datetime(2026, 1, 3, 10))
    assert item.attributes == {"color": "red", "sizes": '["s","m"]'}


def test_lines_that_cannot_be_read_are_kept(spark: SparkSession, tmp_path: Path) -> None:
    kindless = {key: value for key, value in CLICK.items() if key != "event"}
    ill = {**CLICK, "timestamp": "noon"}
    events = read(spark, tmp_path, "events", "{broken", "[1]", kindless, ill, CLICK)
    assert sorted(tuple(event.problems) for event in events) == [
        (),
        (),
        ("unparsable",),
        ("unparsable",),
        ("unparsable", "array_line"),
    ]
    (search,) = read(spark, tmp_path, "searches", {**RANKING, "items": [{"id": "i1", "relevancy": "high"}]})
    assert search.problems == ["unparsable"]
    (item,) = read(spark, tmp_path, "items", {**ITEM, "fields": [{"name": "price", "value": "cheap"}]})
    assert (item.problems, item.title) == (["unparsable"], None)
