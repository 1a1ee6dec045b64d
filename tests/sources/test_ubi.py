"""User Behavior Insights logs: what is an event, a query, a slate, an item."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.sources import read_raw
from nightrank.tables import RAW_EVENTS, RAW_ITEMS, RAW_SEARCHES

NIGHT = date(2026, 1, 3)
SAMPLE = Path(__file__).parents[2].parent / "shared" / "data" / "ubi_sample" / "ubi_queries_events.ndjson"


def ubi(**source: Any) -> Config:
    return Config.model_validate({"source": {"convention": "ubi", "items": None, **source}})


def write(path: Path, *documents: dict[str, Any] | str) -> str:
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in documents))
    return str(path)


def act(name: str, item: str | None, ordinal: int | None = None, **values: Any) -> dict[str, Any]:
    attributes = {"object": {"object_id": item, "object_id_field": "sku"}, "position": {"ordinal": ordinal}}
    return {
        "action_name": name, "query_id": "q1", "client_id": "c1", "timestamp": "2026-01-03T10:00:01Z",
        "event_attributes": {**attributes, **values.pop("attributes", {})}, **values,
    }  # fmt: skip


def query(query_id: str, **values: Any) -> dict[str, Any]:
    return {
        "query_id": query_id,
        "client_id": "c1",
        "user_query": "shoes",
        "timestamp": "2026-01-03T10:00:00Z",
        **values,
    }


def read(spark: SparkSession, kind: str, config: Config) -> list[Any]:
    frame = read_raw(spark, kind, config, NIGHT, NIGHT, NIGHT)
    wanted = {"events": RAW_EVENTS, "searches": RAW_SEARCHES, "items": RAW_ITEMS}[kind]
    assert frame.schema.simpleString() == wanted.simpleString()
    return frame.collect()


def test_events_of_a_bulk_file(spark: SparkSession, tmp_path: Path) -> None:
    path = write(
        tmp_path / "bulk.ndjson",
        {"index": {"_index": "ubi_queries"}},
        query("q1"),
        {"create": {"_index": "ubi_events"}},
        act(
            "add_to_cart",
            "i1",
            event_id="e1",
            session_id="s1",
            attributes={"quantity": 2, "price": "9.5", "device": "m"},
        ),
        act("Purchase", "i2", event_id="e2", client_id=None, timestamp=1767434400000, attributes={"session_id": "s2"}),
        act("brand_filter", "f", event_id="e3", attributes={"object": {"object_id": "f", "object_id_field": "filter"}}),
        act("impression", "i1", 0),
        '{"action_name": "click", "event_id": "e4", "timestamp": "2026-01-03", "event_attributes": {"price": NaN}}',
        act("click", "i1", event_id="e5", attributes={"price": "cheap"}),
        '{"action_name": ',
    )
    rows = read(spark, "events", ubi(events=path, searches=path, object_id_field="sku"))
    columns = ("event_id", "user_id", "action", "item_id", "session_id", "quantity", "price", "device", "problems")
    found = {str(row.event_id): tuple(row[name] for name in columns[1:]) for row in rows if len(row.event_id) == 2}
    assert str(found.pop("e4")) == "('anonymous', 'click', None, None, None, nan, None, [])"
    assert found == {
        "e1": ("c1", "cart", "i1", "s1", 2.0, 9.5, "m", []),
        "e2": ("anonymous", "buy", "i2", "s2", None, None, None, []),
        "e3": ("c1", "brand_filter", None, None, None, None, None, []),
        "e5": ("c1", "click", "i1", None, None, None, None, ["unparsable"]),
    }
    assert [row.problems for row in rows if len(row.event_id) == 64] == [["unparsable"]]
    assert next(row.ts for row in rows if row.event_id == "e2") == datetime(2026, 1, 3, 10)


def test_slates_from_each_spelling_of_the_hit_ids(spark: SparkSession, tmp_path: Path) -> None:
    told = {"base_scores": [2.5, 1], "sponsored": [True], "propensities": ["x"], "device": "m", "policy_id": "p"}
    events = write(tmp_path / "events.ndjson", act("click", "i1", 1))
    queries = write(
        tmp_path / "queries.ndjson",
        query("q1", query_response_hit_ids=["i1", "i2"], query_attributes={**told, "propensities": [0.5, 0.25]}),
        query("q2", query_response_object_ids=["i2"], query_response_hit_ids=[], query_attributes=told),
        query("q3", query_response_objects_ids=["i3"], query_attributes={}),
        query("q4"),
    )
    rows = sorted(read(spark, "searches", ubi(events=events, searches=queries)), key=lambda row: row.query_id)
    assert [(row.query_id, row.slate and [tuple(one) for one in row.slate], row.problems) for row in rows] == [
        ("q1", [("i1", 1, 2.5, True, 0.5), ("i2", 2, 1.0, False, 0.25)], []),
        ("q2", [("i2", 1, 2.5, True, None)], ["unparsable"]),
        ("q3", [("i3", 1, None, False, None)], []),
        ("q4", None, []),
    ]
    assert (rows[0].query, rows[0].user_id, rows[0].device, rows[0].policy_id) == ("shoes", "c1", "m", "p")


@pytest.mark.parametrize(("base", "spelt"), [(0, "impression"), (1, r"\u0049mpression")])
def test_slates_from_impressions_find_the_ordinal_base(
    spark: SparkSession, tmp_path: Path, base: int, spelt: str
) -> None:
    """However JSON spells the word."""
    log = tmp_path / "log.ndjson"
    path = write(
        log,
        query("q1"),
        query("q2", query_response_hit_ids=["i9"]),
        act("impression", "i2", base + 2),
        act("impression", "i1", base),
        act("impression", "i2", base + 5),
        # Another application with another base does not disturb this one.
        act("impression", "i7", 1 - base, query_id="q7", application="other"),
        query("q7", application="other"),
    )
    log.write_text(log.read_text().replace('"impression"', f'"{spelt}"'))
    rows = read(spark, "searches", ubi(events=path, searches=None))
    slates = {row.query_id: [(one.item_id, one.position) for one in row.slate] for row in rows}
    assert slates == {"q1": [("i1", 1), ("i2", 3)], "q2": [("i9", 1)], "q7": [("i7", 1)]}


def test_lines_are_counted_as_they_become_rows(spark: SparkSession, tmp_path: Path) -> None:
    """A bulk file's action that is broken is a row, wherever it is broken."""
    lines: list[tuple[dict[str, Any] | str, int]] = [
        ({"index": {"_index": "ubi_events"}}, 0),
        ({"index": {}, "event_attributes": "none"}, 1),
        ({"create": None, "query_attributes": 7}, 1),
        ('{"delete": {}, "user_id": ', 1),
        ({"update": {}, "query_id": "q1", "event_attributes": []}, 0),
        (query("q1"), 0),
        (act("click", "i1"), 1),
        (act("impression", "i1"), 0),
        (act("click", "i1", attributes={"object": "i1"}), 1),
    ]
    paths = [write(tmp_path / f"{n}.ndjson", line) for n, (line, _) in enumerate(lines)]
    config = ubi(events=f"{tmp_path}/*.ndjson", searches=None)
    span = (NIGHT, NIGHT, NIGHT)
    counted = read_raw(spark, "event_lines", config, *span).groupBy("source_file").agg(F.sum("event_rows"))
    became = read_raw(spark, "events", config, *span).groupBy("source_file").count()
    found = {Path(file).name: rows for file, rows in counted.collect()}
    assert found == {Path(path).name: rows for path, (_, rows) in zip(paths, lines, strict=True)}
    assert {Path(file).name: rows for file, rows in became.collect()} == {name: n for name, n in found.items() if n}


def test_items_from_what_events_say(spark: SparkSession, tmp_path: Path) -> None:
    named = {"object": {"object_id": "i1", "description": "Red shoe"}}
    path = write(
        tmp_path / "log.ndjson",
        act("click", "i1", attributes=named),
        act("impression", "i1", timestamp="2026-01-03T11:00:00Z"),
        act("impression", "i2"),
        act("brand_filter", "no item"),
    )
    rows = read(spark, "items", ubi(events=path))
    assert sorted((row.item_id, row.title, row.updated_at) for row in rows) == [
        ("i1", "Red shoe", datetime(2026, 1, 3, 10, 0, 1)),
        ("i2", "i2", None),
    ]


@pytest.mark.real_data
def test_every_row_of_the_sample_is_accounted_for(spark: SparkSession) -> None:
    if not SAMPLE.exists():
        pytest.skip(f"REAL DATA ABSENT: {SAMPLE} is not there, the UBI sample was not read")
    source = ubi(events=str(SAMPLE), searches=str(SAMPLE), ignored_actions=[])
    span = (date(1970, 1, 1), date(2026, 1, 1), date(2026, 1, 1))
    events = read_raw(spark, "events", source, *span).collect()
    searches = read_raw(spark, "searches", source, *span).collect()
    items = read_raw(spark, "items", source, *span).collect()
    assert (len(events), len(searches)) == (3448, 473)
    impressions = [row for row in events if row.action == "impression"]
    behaviour = [row for row in events if row.action in {"click", "cart", "buy"}]
    assert (len(impressions), len(behaviour)) == (1999, 287 + 11 + 234 + 6)
    assert all(row.problems == [] and row.ts for row in (*events, *searches))
    assert {row.item_id for row in behaviour if row.item_id} <= {row.item_id for row in items}
    assert sum(bool(row.slate) for row in searches) > 273


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu"])
def test_a_moment_is_the_same_however_it_is_written_and_wherever_the_machine_stands(
    spark: SparkSession, tmp_path: Path, zone: str
) -> None:
    """In the night in which Berlin's clocks went from 2 to 3, as text, seconds, milliseconds and microseconds."""
    written = ["2026-03-29T01:30:00Z", "2026-03-29T03:30:00+02:00", 1774747800, 1774747800000, 1774747800000000]
    lines = [act("click", "i1", event_id=f"e{n}", timestamp=ts) for n, ts in enumerate(written)]
    path = write(
        tmp_path / "events.ndjson", *lines, act("click", "i1", event_id="e9", timestamp="2026-03-29T23:59:59Z")
    )
    zones = spark._jvm.java.util.TimeZone
    before = zones.getDefault()
    zones.setDefault(zones.getTimeZone(zone))
    try:
        night = date(2026, 3, 29)
        frame = read_raw(spark, "events", ubi(events=path, searches=path, object_id_field="sku"), night, night, night)
        found = {row.event_id: row for row in frame.selectExpr("event_id", "unix_seconds(ts) ts", "arrived").collect()}
    finally:
        zones.setDefault(before)
    assert {name: row.ts for name, row in found.items()} == {
        **{f"e{n}": 1774747800 for n in range(5)},
        "e9": 1774828799,
    }
    assert {row.arrived for row in found.values()} == {night}
