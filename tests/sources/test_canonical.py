"""The canonical convention, and what every convention does with paths, nights and bad input."""

from __future__ import annotations

import gzip
import json
import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import Row, SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.errors import ContractError, InputMissingError
from nightrank.sources import read_raw
from nightrank.tables import RAW_EVENTS, RAW_ITEMS, RAW_SEARCHES

NIGHT = date(2026, 1, 3)
NOTHING = dict.fromkeys(RAW_EVENTS.names)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def config(**source: Any) -> Config:
    return Config.model_validate({"source": {"convention": "canonical", **source}})


def write_lines(path: Path, *rows: dict[str, Any] | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def event(**values: Any) -> dict[str, Any]:
    return {**NOTHING, "problems": [], "arrived": NIGHT, **values}


def test_json_events_of_the_nights_asked_for(spark: SparkSession, tmp_path: Path) -> None:
    for day in ("2026-01-01", "2026-01-02"):
        write_lines(tmp_path / day / "events.jsonl", {"event_id": day, "ts": f"{day}T10:00:00Z", "price": 1})
    write_lines(
        tmp_path / "2026-01-03" / "events.jsonl",
        {"event_id": "a", "ts": "2026-01-02T23:59:59.5Z", "user_id": "u", "action": "buy", "item_id": 7, "price": 2.5},
        {"event_id": "b", "ts": 1767434400000, "quantity": "two"},
        '{"event_id": "c", "price": 1e400, "quantity": NaN}',
        '{"event_id": "d", ',
        "",
    )
    source = config(events=f"{tmp_path}/{{run_date}}/events.jsonl")
    got = read_raw(spark, "events", source, date(2026, 1, 2), NIGHT, NIGHT)
    assert got.schema.simpleString() == RAW_EVENTS.simpleString()
    wanted = [
        event(event_id="2026-01-02", ts=at("2026-01-02T10:00:00"), price=1.0, arrived=date(2026, 1, 2)),
        event(event_id="a", ts=at("2026-01-02T23:59:59.5"), user_id="u", action="buy", item_id="7", price=2.5),
        event(event_id="b", ts=at("2026-01-03T10:00:00"), problems=["unparsable"]),
        event(event_id="c", price=math.inf, quantity=math.nan),
        event(problems=["unparsable"]),
    ]
    rows = [row for row in got.collect() if row.event_id and len(row.event_id) < 64]
    assertDataFrameEqual(
        spark.createDataFrame(rows, RAW_EVENTS).drop("source_file"),
        spark.createDataFrame([Row(**row) for row in wanted[:4]], RAW_EVENTS).drop("source_file"),
    )
    broken = [row for row in got.collect() if not row.event_id or len(row.event_id) == 64]
    assert [row.problems for row in broken] == [["unparsable"]]


def test_lines_that_are_not_to_be_believed(spark: SparkSession, tmp_path: Path) -> None:
    told = '{"event_id": "%s", "ts": "2026-01-03T10:00:00Z", "item_id": "7"}'
    lines = [
        told % "good",
        f"[{told % 'first'}, {told % 'second'}]",
        '{"event_id": "twice", "ts": "2026-01-03T10:00:00Z", "price": 1, "price": 2}',
        '{"event_id": "cut", "item_id"',
    ]
    bytes_of = [line.encode() for line in lines] + [(told % "odd").encode().replace(b"7", b"\xff\xfe")]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(bytes_of))
    got = read_raw(spark, "events", config(events=f"{tmp_path}/events.jsonl"), NIGHT, NIGHT, NIGHT).collect()
    problems = {row.event_id: row.problems for row in got if len(row.event_id) < 10}
    assert problems == {"good": [], "twice": ["duplicate_keys"], "odd": ["bad_utf8"]}
    broken = sorted(row.problems for row in got if len(row.event_id) == 64)
    assert broken == [["unparsable"], ["unparsable", "array_line"]]
    assert {row.source_file for row in got} == {f"file:{tmp_path}/events.jsonl"}


def test_files_of_events_that_cannot_be_read_are_left_out_and_named(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / str(NIGHT)
    folder.mkdir()
    said = {"event_id": ["a"], "ts": [at("2026-01-03T10:00:00Z")], "user_id": ["u"], "action": ["buy"], "item_id": "1"}
    for name in ("cut", "refused", "whole"):
        pd.DataFrame({**said, "event_id": [name]}).to_parquet(folder / f"{name}.parquet", coerce_timestamps="us")
    (folder / "cut.parquet").write_bytes((folder / "whole.parquet").read_bytes()[:-20])
    (folder / "empty.parquet").touch()
    log = f"{tmp_path}/{{run_date}}"
    source = config(format="parquet", events=log, left_out_files=["/refused.parquet"])
    events = read_raw(spark, "events", source, NIGHT, NIGHT, NIGHT).collect()
    assert [(row.event_id, row.source_file) for row in events] == [("whole", f"file:{folder}/whole.parquet")]
    lines = read_raw(spark, "event_lines", source, NIGHT, NIGHT, NIGHT).collect()
    assert sorted((Path(row.source_file).stem, row.arrived, row.event_rows) for row in lines) == [
        ("cut", NIGHT, None), ("empty", NIGHT, None), ("refused", NIGHT, None), ("whole", NIGHT, 1),
    ]  # fmt: skip
    (folder / "whole.parquet").touch()
    (folder / "whole.parquet").write_bytes(b"")
    with pytest.raises(ContractError, match="expected rows, found none"):
        read_raw(spark, "events", source, NIGHT, NIGHT, NIGHT)


def test_a_static_log_arrives_by_its_own_time(spark: SparkSession, tmp_path: Path) -> None:
    stamps = ["2026-01-01T12:00:00Z", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z", "yesterday", "12:30"]
    write_lines(tmp_path / "events.jsonl.gz", *[{"event_id": str(i), "ts": ts} for i, ts in enumerate(stamps)])
    got = read_raw(spark, "events", config(events=f"{tmp_path}/events.jsonl.gz"), NIGHT, NIGHT, NIGHT)
    found = {(row.event_id, row.arrived, tuple(row.problems)) for row in got.collect()}
    assert found == {("1", NIGHT, ()), ("3", NIGHT, ("unparsable",)), ("4", NIGHT, ("unparsable",))}


def test_csv_slates_are_json_text(spark: SparkSession, tmp_path: Path) -> None:
    slate = [{"item_id": "i1", "position": 1, "base_score": 0.5}, {"item_id": "i2", "position": 2}]
    frame = pd.DataFrame(
        {
            "query_id": ["q1", "q2"], "ts": ["2026-01-03 10:00:00"] * 2, "user_id": ["u", None],
            "query": ['red, "big"\nshoes', "x"], "slate": [json.dumps(slate), "not json"],
        }
    )  # fmt: skip
    (tmp_path / "2026-01-03").mkdir()
    frame.to_csv(tmp_path / "2026-01-03" / "searches.csv", index=False)
    source = config(format="csv", searches=f"{tmp_path}/{{run_date}}/searches.csv")
    got = read_raw(spark, "searches", source, NIGHT, NIGHT, NIGHT)
    assert got.schema.simpleString() == RAW_SEARCHES.simpleString()
    one, two = sorted(got.collect(), key=lambda row: row.query_id)
    assert (one.query, one.derived, one.problems) == ('red, "big"\nshoes', False, [])
    assert [tuple(shown) for shown in one.slate] == [("i1", 1, 0.5, None, None), ("i2", 2, None, None, None)]
    assert (two.user_id, two.problems) == (None, ["unparsable"])


def test_parquet_numbers_widen_and_absent_columns_are_null(spark: SparkSession, tmp_path: Path) -> None:
    frame = pd.DataFrame({"item_id": ["i"], "title": ["Shoe"], "price": [3], "updated_at": [datetime(2026, 1, 1)]})
    frame.to_parquet(tmp_path / "items.parquet", coerce_timestamps="us")
    source = config(format="parquet", items=f"{tmp_path}/items.parquet")
    got = read_raw(spark, "items", source, NIGHT, NIGHT, NIGHT)
    assert got.schema.simpleString() == RAW_ITEMS.simpleString()
    row = got.collect()[0]
    assert (row.item_id, row.price, row.updated_at, row.brand) == ("i", 3.0, datetime(2026, 1, 1), None)
    assert (row.arrived, row.problems) == (NIGHT, [])


def test_parquet_of_the_wrong_type_names_the_column(spark: SparkSession, tmp_path: Path) -> None:
    pd.DataFrame({"item_id": [1], "title": ["Shoe"], "price": ["3"]}).to_parquet(tmp_path / "items.parquet")
    source = config(format="parquet", items=f"{tmp_path}/items.parquet")
    with pytest.raises(ContractError, match="item_id: expected string, found bigint; price: expected double, found s"):
        read_raw(spark, "items", source, NIGHT, NIGHT, NIGHT)
    pd.DataFrame({"item_id": ["1"]}).to_parquet(tmp_path / "items.parquet")
    with pytest.raises(ContractError, match="expected columns title, found only item_id"):
        read_raw(spark, "items", source, NIGHT, NIGHT, NIGHT)


def test_a_parquet_file_without_bytes_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    pd.DataFrame({"item_id": ["1"], "title": ["x"]}).to_parquet(tmp_path / "one.parquet")
    (tmp_path / "two.parquet").touch()
    with pytest.raises(ContractError, match=r"two.parquet is not a Parquet file \(length is too low: 0\)"):
        read_raw(spark, "items", config(format="parquet", items=str(tmp_path)), NIGHT, NIGHT, NIGHT)


@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
def test_a_missing_path_and_an_empty_folder(spark: SparkSession, tmp_path: Path, form: str) -> None:
    source = config(format=form, events=f"{tmp_path}/{{run_date}}", searches=f"{tmp_path}/gone")
    (tmp_path / "2026-01-02").mkdir()
    for kind in ("events", "searches"):
        with pytest.raises(InputMissingError, match="no such path") as missing:
            read_raw(spark, kind, source, NIGHT, NIGHT, NIGHT)
        assert missing.value.exit_code == 66
    (tmp_path / "2026-01-03").mkdir()
    (tmp_path / "2026-01-03" / "_SUCCESS").write_text("x")
    with pytest.raises(ContractError, match="expected rows, found none") as empty:
        read_raw(spark, "events", source, NIGHT, NIGHT, NIGHT)
    assert empty.value.exit_code == 65
    allowed = source.model_copy(update={"source": source.source.model_copy(update={"allow_empty": True})})
    got = read_raw(spark, "events", allowed, date(2026, 1, 2), NIGHT, NIGHT)
    assert got.schema.simpleString() == RAW_EVENTS.simpleString()
    assert got.isEmpty()


def test_files_without_rows_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    write_lines(tmp_path / "events.csv", "ts,user_id,action,item_id")
    write_lines(tmp_path / "events.jsonl.gz")
    for name, form in (("events.csv", "csv"), ("events.jsonl.gz", "json")):
        with pytest.raises(ContractError, match="expected rows, found none"):
            read_raw(spark, "events", config(format=form, events=f"{tmp_path}/{name}"), NIGHT, NIGHT, NIGHT)


def test_events_without_an_id_get_one_from_what_they_say(spark: SparkSession, tmp_path: Path) -> None:
    same = {"ts": "2026-01-03T10:00:00Z", "user_id": "u", "action": "buy", "item_id": "i"}
    write_lines(tmp_path / "events.jsonl", same, same, {**same, "item_id": "j"})
    got = read_raw(spark, "events", config(events=f"{tmp_path}/events.jsonl"), NIGHT, NIGHT, NIGHT).collect()
    ids = [row.event_id for row in sorted(got, key=lambda row: row.item_id)]
    assert ids[0] == ids[1] != ids[2]
    assert got[0].ts.replace(tzinfo=UTC) == at("2026-01-03T10:00:00Z")
