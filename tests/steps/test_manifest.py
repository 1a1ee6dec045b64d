"""The manifest: lines, rows and what became of them, by file and input; a night that lost some is refused, one whose
events name searches that never arrived is told of."""

from __future__ import annotations

import json
import logging
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.contract import Table
from nightrank.deliveries import judge_of, refuse_lost_rows
from nightrank.errors import ContractError
from nightrank.nights import Night, bulk_night, ordinary_night
from nightrank.sources import read_raw
from nightrank.spans import attributed_arrivals, closed_by_then, closing_arrivals
from nightrank.steps.events import build_events
from nightrank.steps.manifest import build_manifest
from nightrank.storage import replace_night
from nightrank.tables import EVENTS, ITEMS, MANIFEST, RAW_EVENT_LINES, RAW_ITEM_LINES, RAW_SEARCH_LINES, SEARCHES

FIRST, NIGHT = date(2026, 1, 2), date(2026, 1, 3)
A_DAY = Config.model_validate({"searches": {"attribution_hours": 24}})


def stored(spark: SparkSession, table: Table, *rows: dict[str, Any]) -> DataFrame:
    """Rows of a table with quarantine: accepted where there are no reasons."""
    base = {**dict.fromkeys(table.schema.names), "run_date": NIGHT, "reasons": []}
    filled = [{**base, **row, "accepted": not row.get("reasons")} for row in rows]
    return spark.createDataFrame([tuple(row[name] for name in table.schema.names) for row in filled], table.schema)


def built(spark: SparkSession, night: Night, config: Config | None = None, **frames: DataFrame) -> DataFrame:
    """The manifest made of these frames, and of empty ones for the others."""
    nothing = {
        "raw_event_lines": RAW_EVENT_LINES, "raw_search_lines": RAW_SEARCH_LINES, "raw_item_lines": RAW_ITEM_LINES,
        "events": EVENTS.schema, "searches": SEARCHES.schema, "items": ITEMS.schema,
        "attributed_events": EVENTS.schema, "closed_searches": SEARCHES.schema,
    }  # fmt: skip
    empty = {name: spark.createDataFrame([], schema) for name, schema in nothing.items()}
    return build_manifest(**{**empty, **frames}, night=night, config=config or Config())


def test_each_file_s_lines_and_rows_are_accounted_for(spark: SparkSession) -> None:
    event_lines = [
        *[("a", FIRST, rows) for rows in (1, 1, 0, 3)],
        ("a", NIGHT, 1),  # the same file read again, as a day table that is rewritten
        ("impressions", NIGHT, 0),
        ("spoilt", NIGHT, None),
        ("lost", NIGHT, 2),
        ("of another night", date(2026, 1, 4), 1),
    ]
    repeated = ["duplicate"]
    events = stored(
        spark, EVENTS,
        *[{"run_date": FIRST, "source_file": "a", "reasons": why} for why in ([], [], repeated, ["unparsable"])],
        {"run_date": FIRST, "source_file": "a", "reasons": ["duplicate", "unknown_item"]},
        {"source_file": "a", "reasons": repeated}, {"source_file": "lost"}, {"source_file": "from nowhere"},
    )  # fmt: skip
    noon, tomorrow = datetime(2026, 1, 2, 12), datetime(2026, 1, 3, 12)
    search_lines = [
        ("a", FIRST, noon, 1),  # its window closes on the day after
        ("a", FIRST, noon, 1),
        ("a", FIRST, noon, 0),
        ("a", FIRST, datetime(1970, 1, 1), 1),  # a time that is none closes nothing
        ("a", FIRST, None, 1),
        ("q", NIGHT, datetime(2026, 1, 1), 1),  # a late one is closed when it arrives
        ("q", NIGHT, tomorrow, 1),  # not by tonight
        ("no queries", NIGHT, None, None),
    ]
    searches = stored(
        spark, SEARCHES, {"source_file": "a"}, {"source_file": "a", "reasons": repeated},
        *[{"run_date": FIRST, "source_file": "a", "reasons": [why]} for why in ("impossible_time", "missing_key")],
        {"source_file": "q"}, {"source_file": None},
    )  # fmt: skip
    item_lines = [*[("i", FIRST, 1)] * 3, ("j", NIGHT, 1), ("j", NIGHT, 1), ("j", NIGHT, 0), ("static", NIGHT, 1)]
    items = stored(
        spark, ITEMS,
        {"item_id": "new in j", "source_file": "j", "delivered_in": ["i", "i", "j"]},
        {"item_id": "kept", "delivered_in": ["static"]},
        {"item_id": "kept", "delivered_in": []},
        *[{"item_id": "bad", "source_file": file, "reasons": ["impossible_price"]} for file in ("i", "j")],
    )  # fmt: skip
    found = built(
        spark, bulk_night(NIGHT, 14, 1), A_DAY, events=events, searches=searches, items=items,
        raw_event_lines=spark.createDataFrame(event_lines, RAW_EVENT_LINES),
        raw_search_lines=spark.createDataFrame(search_lines, RAW_SEARCH_LINES),
        raw_item_lines=spark.createDataFrame(item_lines, RAW_ITEM_LINES),
    )  # fmt: skip
    wanted = [
        (FIRST, "events", "a", True, 4, 1, 5, 2, 2, 1),
        (NIGHT, "events", "a", True, 1, 0, 1, 0, 0, 1),
        (NIGHT, "events", "impressions", True, 1, 1, 0, 0, 0, 0),
        (NIGHT, "events", "spoilt", False, 0, 0, 0, 0, 0, 0),
        (NIGHT, "events", "lost", True, 1, 0, 2, 1, 0, 0),
        (NIGHT, "events", "from nowhere", False, 0, 0, 0, 1, 0, 0),
        (FIRST, "searches", "a", True, 2, 0, 2, 0, 2, 0),
        (NIGHT, "searches", "a", True, 3, 1, 2, 1, 0, 1),
        (NIGHT, "searches", "q", True, 1, 0, 1, 1, 0, 0),
        (NIGHT, "searches", "no queries", False, 0, 0, 0, 0, 0, 0),
        (NIGHT, "items", "i", True, 3, 0, 3, 0, 1, 2),
        (NIGHT, "items", "j", True, 3, 1, 2, 1, 1, 0),
        (NIGHT, "items", "static", True, 1, 0, 1, 0, 0, 1),
    ]
    assertDataFrameEqual(found, spark.createDataFrame([(*row, 0, 0) for row in wanted], MANIFEST.schema))


def test_an_event_whose_search_never_arrives_is_counted_when_the_search_s_window_has_closed(
    spark: SparkSession,
) -> None:
    night, config = ordinary_night(NIGHT, (FIRST,)), A_DAY
    assert attributed_arrivals(night, config).first == attributed_arrivals(night, config).last == FIRST
    assert closed_by_then(night, config).first == FIRST - timedelta(days=1)
    assert closing_arrivals(night, config).first == FIRST
    bulk = bulk_night(NIGHT, 14, 1)
    assert (attributed_arrivals(bulk, config).first, attributed_arrivals(bulk, config).last) == (
        date(1970, 1, 1),
        FIRST,
    )
    for nameless in ({"convention": "orders"}, {"convention": "ga4"}, {"convention": "canonical", "searches": None}):
        span = attributed_arrivals(night, Config.model_validate({"source": nameless}))
        assert span.first > span.last
    named = [
        ("a", "q1"),
        ("a", "q1"),
        ("a", "late"),
        ("a", "lost"),
        ("a", "lost"),
        ("b", "bad"),
        ("b", None),
        ("b", ""),
    ]
    events = [{"run_date": FIRST, "source_file": file, "query_id": query_id} for file, query_id in named]
    found = built(
        spark, night, config, raw_event_lines=spark.createDataFrame([("c", NIGHT, 0)], RAW_EVENT_LINES),
        attributed_events=stored(spark, EVENTS, *events),
        closed_searches=stored(
            spark, SEARCHES, {"run_date": FIRST, "query_id": "q1"}, {"query_id": "late"}, {"query_id": "late"},
            {"query_id": "bad", "reasons": ["empty_slate"]}, {"query_id": None},
        ),
    )  # fmt: skip
    nothing = [0] * 6
    wanted = [
        (NIGHT, "events", "a", True, *nothing, 5, 2),
        (NIGHT, "events", "b", True, *nothing, 1, 0),
        (NIGHT, "events", "c", True, 1, 1, 0, 0, 0, 0, 0, 0),
    ]
    assertDataFrameEqual(found, spark.createDataFrame(wanted, MANIFEST.schema))


def test_a_night_that_is_delivered_twice_counts_once(spark: SparkSession, tmp_path: Path) -> None:
    row = {"ts": "2026-01-03T10:00:00Z", "user_id": "u", "action": "buy", "item_id": "i"}
    lines = [json.dumps({**row, "event_id": f"e{n}"}) for n in range(3)] + [json.dumps({**row, "item_id": ""}), "{"]
    folder = tmp_path / str(NIGHT)
    folder.mkdir()
    for name in ("first.jsonl", "again.jsonl"):
        (folder / name).write_text("\n".join(lines))
    source = {"convention": "canonical", "events": f"{tmp_path}/{{run_date}}"}
    config, night = Config.model_validate({"source": source}), ordinary_night(NIGHT, ())
    raw = {kind: read_raw(spark, kind, config, NIGHT, NIGHT, NIGHT) for kind in ("events", "event_lines")}
    items = stored(spark, ITEMS, {"item_id": "i", "facets": []})
    events = build_events(raw["events"], items, spark.createDataFrame([], EVENTS.schema), night, config)
    files = built(spark, night, config, raw_event_lines=raw["event_lines"], events=events).collect()
    counts = {Path(f.source_file).stem: (f.lines, f.rows, f.good, f.quarantined, f.duplicates) for f in files}
    # What is not accepted is nobody's first row: its repetition is quarantined for both.
    assert counts == {"again": (5, 5, 3, 2, 0), "first": (5, 5, 0, 2, 3)}


def test_a_night_that_lost_rows_or_many_files_is_refused(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert judge_of(MANIFEST) is refuse_lost_rows
    settings = {"lake": {"path": str(tmp_path)}, "manifest": {"refuse_unreadable": 0.5, "warn_without_search": 0.1}}
    config = Config.model_validate(settings)
    nights = [date(2026, 1, day) for day in (1, 2, 3)]
    whole, spoilt = ("b", True, 9, 1, 8, 5, 2, 1), ("a", False, *[0] * 6)
    named = {"few": ("x", True, *[0] * 6, 10, 1), "many": ("x", True, *[0] * 6, 10, 2)}
    rows = [
        *[(nights[0], "events", *one, 0, 0) for one in (whole, spoilt)],
        (nights[0], "events", *named["few"]),
        # Of many files of events one of searches would be few.
        *[(nights[1], "events", *one, 0, 0) for one in (whole, ("c", *whole[1:]))],
        (nights[1], "events", *named["many"]),
        *[(nights[1], "searches", *one, 0, 0) for one in (whole, spoilt, ("c", *spoilt[1:]))],
        (nights[2], "items", "lost", True, 9, 1, 8, 5, 1, 1, 0, 0),
    ]
    replace_night(spark.createDataFrame(rows, MANIFEST.schema), config.lake, MANIFEST, nights[0], nights[2])
    with caplog.at_level(logging.WARNING, logger="nightrank"):
        refuse_lost_rows(spark, config, MANIFEST, ordinary_night(nights[0], ()))
    assert "night=2026-01-01 input=events unreadable_files=1 first=a" in caplog.text
    assert "without_search" not in caplog.text
    with pytest.raises(ContractError, match="files of searches that can be read, found 2 that cannot, first 'a'"):
        refuse_lost_rows(spark, config, MANIFEST, ordinary_night(nights[1], ()))
    assert "night=2026-01-02 events_without_search=0.2000 of=10" in caplog.text
    with pytest.raises(ContractError, match=r"expected the 8 rows of file 'lost' in table 'items', found 7"):
        refuse_lost_rows(spark, config, MANIFEST, ordinary_night(nights[2], ()))
