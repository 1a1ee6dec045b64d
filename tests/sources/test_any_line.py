"""Whatever a line says, every convention reads it: no crash, no row lost, every row accepted or with its reasons.

Sixty odd values by hand in each place of a good line, then lines that are generated from them: some hundreds, and ten
thousand where there is time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import test_ga4
import test_metarank
import test_snowplow
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import ordinary_night
from nightrank.sources import read_raw
from nightrank.steps.events import build_events
from nightrank.steps.items import build_items
from nightrank.steps.manifest import build_manifest
from nightrank.steps.searches import build_searches
from nightrank.tables import ENRICHMENTS, EVENTS, ITEMS, SEARCHES

NIGHT = date(2026, 1, 3)
KINDS = ("events", "event_lines", "searches", "search_lines", "items", "item_lines")
SOME, MANY = 500, 10_000
RAW = "\x01raw"  # marks what is written as it is, as JSON has no such value
ODD: tuple[Any, ...] = (
    None, "", " ", "\t", "null", "None", "NaN", "Infinity", "-1", "0", "1e400", "0x10", "1,5", "1_000", "true", "٣",
    "x" * 300, "x" * 7_000, "🦊", "\u202egpj", "e\u0301", "\u0000", "\ufffd", "a\nb", 'quo"te', "back\\slash", "';--",
    "../../etc/passwd", "{run_date}", "2026-01-03", "2026-02-30T00:00:00Z", "2026-01-03T25:00:00Z", "12:30", "today",
    "9999-12-31T23:59:59Z", "0000-01-01", "1767434400", "1767434400000", "1767434400000000", "99999999999999999999",
    True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 0.1, -0.0, 1e308, [], [[]], {}, {"a": {"b": 1}}, [None],
    [1, "a"], f"{RAW}NaN", f"{RAW}1e400", f"{RAW}-Infinity", f"{RAW}01",
)  # fmt: skip
BROKEN = (
    "{",
    "[1]",
    '"text"',
    "7",
    "null",
    "{}",
    "nonsense",
    '{"a": 1} {"b": 2}',
    '{"a": 1, "a": 2}',
    "\ufeff{}",
    "\u0000",
)
UBI = {
    "action_name": "click", "query_id": "q1", "client_id": "c1", "timestamp": "2026-01-03T10:00:01Z",
    "event_attributes": {"object": {"object_id": "i1"}, "position": {"ordinal": 1}, "price": 1.5},
}  # fmt: skip
UBI_QUERY = {
    "query_id": "q1", "client_id": "c1", "user_query": "shoes", "timestamp": "2026-01-03T10:00:00Z",
    "query_response_hit_ids": ["i1", "i2"], "query_attributes": {"base_scores": [2.5, 1.0], "sponsored": [True, False]},
}  # fmt: skip
CANONICAL = {
    "event_id": "e1", "ts": "2026-01-03T10:00:00Z", "user_id": "u", "action": "buy", "item_id": "i1", "price": 2.5,
    "quantity": 1, "query_id": "q1", "session_id": "s", "rating": 4, "device": "mobile",
}  # fmt: skip
# What an event looks like in each convention, and what else its log holds.
LINES: dict[str, list[dict[str, Any]]] = {
    "canonical": [CANONICAL],
    "ubi": [UBI, UBI_QUERY],
    "ga4": [test_ga4.CLICK, test_ga4.SEEN, test_ga4.FIRST_PAGE, test_ga4.BOUGHT],
    "metarank": [test_metarank.CLICK, test_metarank.RANKING, test_metarank.ITEM, test_metarank.USER],
    "snowplow": [test_snowplow.CLICK, test_snowplow.SEARCHED, test_snowplow.RESULTS, test_snowplow.BOUGHT],
}

# Of which inputs a row is a line. There is no search log beside the events', and a catalogue is one of JSON lines.
OF_LINES = {
    "canonical": {"events", "items"},
    "ubi": {"events", "searches", "items"},
    "ga4": {"events", "items"},
    "metarank": {"events", "searches", "items"},
    "snowplow": {"events", "items"},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value in a document, of the document's own values first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


def spoilt(document: dict[str, Any], path: tuple[Any, ...], odd: Any) -> dict[str, Any]:
    """The document with something else in that place."""
    copy = deepcopy(document)
    holder: Any = copy
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = odd
    return copy


def as_line(document: dict[str, Any]) -> str:
    text = json.dumps(document, ensure_ascii=False)
    for odd in ODD:
        if isinstance(odd, str) and odd.startswith(RAW):
            text = text.replace(json.dumps(odd, ensure_ascii=False), odd.removeprefix(RAW))
    return text


def generated(documents: list[dict[str, Any]], at: random.Random) -> str:
    """A line that was spoilt in some places, cut, doubled or mixed."""
    document = at.choice(documents)
    for _ in range(at.randint(1, 3)):
        document = spoilt(document, at.choice(list(places(document))), at.choice(ODD))
    line = as_line(document)
    turn: Callable[[], str] = at.choice((
        lambda: line, lambda: line, lambda: line, lambda: line[: at.randrange(len(line))], lambda: line + line,
        lambda: line.replace(":", at.choice(" :,"), 1), lambda: at.choice(BROKEN), lambda: line.replace("e", "\u00e9"),
    ))  # fmt: skip
    return turn().replace("\n", " ").replace("\r", " ")


def lines_of(convention: str, generated_lines: int) -> list[str]:
    """Each odd value in each place of the convention's event, what is no document, and what is generated."""
    at = random.Random(convention)
    documents = LINES[convention]
    by_hand = [as_line(spoilt(documents[0], path, odd)) for path in places(documents[0]) for odd in ODD]
    return [*by_hand, *BROKEN, *[generated(documents, at) for _ in range(generated_lines)]]


@pytest.mark.parametrize("generated_lines", [SOME, pytest.param(MANY, marks=pytest.mark.long)])
@pytest.mark.parametrize("convention", list(LINES))
def test_every_line_is_read_and_every_row_judged(
    spark: SparkSession, tmp_path: Path, convention: str, generated_lines: int
) -> None:
    assert len(ODD) >= 60
    lines = lines_of(convention, generated_lines)
    # Some lines are no text at all.
    spoilt_bytes = [line.encode()[:40] + b"\xff\xfe\x80" for line in lines[:20]]
    written = [line.encode() for line in lines if line.strip()] + spoilt_bytes
    (tmp_path / str(NIGHT)).write_bytes(b"\n".join(written))
    log = f"{tmp_path}/{{run_date}}"
    source = {"convention": convention, "format": "json", "events": log, "searches": None, "items": log}
    # Windows close on the day of the search.
    config = Config.model_validate({"source": source, "searches": {"attribution_hours": 0.01}})
    night = ordinary_night(NIGHT, ())
    raw = {kind: read_raw(spark, kind, config, NIGHT, NIGHT, NIGHT) for kind in KINDS}
    nothing = [spark.createDataFrame([], table.schema) for table in (ITEMS, ENRICHMENTS)]
    items = build_items(raw["items"], *nothing, night, config)
    seen = spark.createDataFrame([], EVENTS.schema)
    items = items.withColumn("run_date", F.lit(NIGHT)).localCheckpoint()
    events = build_events(raw["events"], items.where("accepted"), seen, night, config).localCheckpoint()
    searches = build_searches(raw["searches"], events.where("accepted"), night, config).localCheckpoint()
    for judged_name, judged in (("items", items), ("events", events), ("searches", searches)):
        good = judged.where("accepted")
        key = {"items": "item_id", "events": "event_id", "searches": "query_id"}[judged_name]
        assert good.groupBy(key).count().where("count > 1").isEmpty()
    counted = {f"raw_{kind}": raw[kind] for kind in KINDS if kind.endswith("_lines")}
    stood = {"events": events, "searches": searches, "items": items}
    asked = {"attributed_events": seen, "closed_searches": spark.createDataFrame([], SEARCHES.schema)}
    files = build_manifest(**counted, **stood, **asked, night=night, config=config).collect()
    # Lines counted without Spark. Of searches: those that no line names are joined and of none, and others of no file.
    assert {file.input for file in files} == OF_LINES[convention]
    for file in files:
        assert (file.run_date, file.readable) == (NIGHT, True)
        assert file.lines == len(written)
        assert file.rows == file.good + file.quarantined + file.duplicates > 0
    others = {file.input: file.other_lines for file in files}
    assert (others["events"] > 0) == (convention != "canonical")
