"""Google Analytics 4's BigQuery export: rows as the published schema shapes them, written out by hand."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from nightrank.config import Config
from nightrank.errors import ContractError, InputMissingError
from nightrank.sources import ga4, listing, read_raw
from nightrank.tables import RAW_EVENTS, RAW_ITEMS, RAW_SEARCHES

NIGHT = date(2026, 1, 3)
RESULTS = {"item_list_id": "results", "item_list_name": "Search results"}


def micros(clock: str, day: int = 3) -> str:
    """The export writes integers as text into JSON."""
    return str(int(datetime.fromisoformat(f"2026-01-{day:02}T{clock}+00:00").timestamp()) * 1_000_000)


def item(number: int, **values: Any) -> dict[str, Any]:
    return {"item_id": f"i{number}", "item_name": f"Shoe {number}", "item_brand": "Fjell", **values}


def row(name: str, clock: str, *items: dict[str, Any], term: str | None = None, **values: Any) -> dict[str, Any]:
    params = [{"key": "ga_session_id", "value": {"int_value": "77"}}]
    if term:
        params.append({"key": "search_term", "value": {"string_value": term}})
    return {
        "event_date": "20260103", "event_timestamp": micros(clock), "event_name": name, "event_params": params,
        "user_pseudo_id": "cookie", "device": {"category": "mobile"}, "items": list(items), "geo": {"city": "Bergen"},
        **values,
    }  # fmt: skip


SEEN = row("view_search_results", "10:00:00", term="red shoes")
FIRST_PAGE = row("view_item_list", "10:00:01", *[item(n, **RESULTS, item_list_index=str(n)) for n in (1, 2)])
SECOND_PAGE = row("view_item_list", "10:02:00", *[item(n, **RESULTS, item_list_index=str(n)) for n in (3, 4)])
OFFERS = row("view_item_list", "10:03:00", item(9, item_list_name="Often bought together"))
CLICK = row("select_item", "10:04:00", item(3, **RESULTS, price=49.5))
BOUGHT = row("purchase", "10:10:00", item(3, price=49.5, quantity="2"), item(8, price=5.0))


def source(**values: Any) -> Config:
    return Config.model_validate({"source": {"convention": "ga4", "searches": None, "items": None, **values}})


def written(folder: Path, *rows: dict[str, Any] | str, day: int = 3) -> Config:
    path = folder / f"2026-01-{day:02}" / "events.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in rows))
    return source(events=f"{folder}/{{run_date}}/events.json")


def read(spark: SparkSession, kind: str, config: Config, night: date = NIGHT) -> list[Any]:
    frame = read_raw(spark, kind, config, night, night, night)
    wanted = {"events": RAW_EVENTS, "searches": RAW_SEARCHES, "items": RAW_ITEMS}[kind]
    assert frame.schema.simpleString() == wanted.simpleString()
    return frame.drop("source_file").collect()


def test_pages_of_one_list_are_one_search_of_the_sessions_last_term(spark: SparkSession, tmp_path: Path) -> None:
    config = written(tmp_path, OFFERS, SECOND_PAGE, FIRST_PAGE, SEEN)
    (search,) = read(spark, "searches", config)
    assert (search.query, search.user_id, search.session_id) == ("red shoes", "cookie", "cookie.77")
    assert (search.ts, search.device, search.derived) == (datetime(2026, 1, 3, 10, 0, 1), "mobile", False)
    assert [(one.item_id, one.position) for one in search.slate] == [("i1", 1), ("i2", 2), ("i3", 3), ("i4", 4)]
    assert {one.base_score for one in search.slate} == {None}


@pytest.mark.parametrize(
    ("indexes", "positions"),
    [
        (("0", "1", "2"), [1, 2, 3]),
        (("5", "7", "6"), [5, 7, 6]),
        (("1", "1", "2"), [1, 2, 3]),
        (("1", "", "x"), [1, 2, 3]),
        (("-2147483648", "1", "2"), [1, 2, 3]),
    ],
)
def test_places_are_the_logs_or_the_order_shown(
    spark: SparkSession, tmp_path: Path, indexes: tuple[str, ...], positions: list[int]
) -> None:
    shown = [item(n, **RESULTS, item_list_index=index) for n, index in enumerate(indexes)]
    (search,) = read(spark, "searches", written(tmp_path, row("view_item_list", "10:00:00", *shown, term="x")))
    assert [one.position for one in search.slate] == positions


def test_a_term_that_is_too_old_or_another_sessions_makes_no_search(spark: SparkSession, tmp_path: Path) -> None:
    late = row("view_item_list", "10:31:00", item(1, **RESULTS))
    other = row("view_item_list", "10:01:00", item(2, **RESULTS), user_pseudo_id="another")
    nobody = row("view_item_list", "10:01:00", item(2, **RESULTS), user_pseudo_id=None)
    assert read(spark, "searches", written(tmp_path, SEEN, late, other, nobody)) == []
    own = row("view_item_list", "12:00:00", item(1), term="blue")
    (search,) = read(spark, "searches", written(tmp_path, SEEN, own))
    assert search.query == "blue"


def test_an_action_belongs_to_the_last_search_that_showed_its_item(spark: SparkSession, tmp_path: Path) -> None:
    again = row("view_item_list", "10:05:00", item(3, **RESULTS), term="boots")
    config = written(tmp_path, SEEN, FIRST_PAGE, SECOND_PAGE, OFFERS, CLICK, again, BOUGHT, row("scroll", "10:11:00"))
    ids = {search.query: search.query_id for search in read(spark, "searches", config)}
    events = sorted(read(spark, "events", config), key=lambda event: (event.ts, event.item_id))
    assert [(event.action, event.item_id, event.query_id, event.quantity, event.price) for event in events] == [
        ("click", "i3", ids["red shoes"], None, 49.5),
        ("buy", "i3", ids["boots"], 2.0, 49.5),
        ("buy", "i8", None, None, 5.0),
    ]
    assert len({event.event_id for event in events}) == 3
    assert {(event.user_id, event.device, event.arrived) for event in events} == {("cookie", "mobile", NIGHT)}


def test_a_click_in_another_list_is_of_no_search(spark: SparkSession, tmp_path: Path) -> None:
    elsewhere = row("select_item", "10:04:00", item(1, item_list_name="Often bought together"))
    (event,) = read(spark, "events", written(tmp_path, SEEN, FIRST_PAGE, elsewhere))
    assert (event.action, event.query_id) == ("click", None)


def test_day_tables_are_read_again_while_they_may_change(spark: SparkSession, tmp_path: Path) -> None:
    """What is new in an old table arrives tonight; what was seen has the id of before, so it is a duplicate."""
    before = row("add_to_cart", "10:00:00", item(1), event_timestamp=micros("10:00:00", 2))
    config = written(tmp_path, before, day=2)
    (seen,) = read(spark, "events", config, date(2026, 1, 2))
    written(tmp_path, before, row("share", "11:00:00", item(1), event_timestamp=micros("11:00:00", 2)), day=2)
    written(tmp_path, CLICK)
    events = {event.action: event for event in read(spark, "events", config)}
    assert events.keys() == {"cart", "share", "click"}
    assert events["cart"].event_id == seen.event_id
    assert {event.arrived for event in events.values()} == {NIGHT}
    fixed = config.model_copy(update={"source": config.source.model_copy(update={"rewritten_days": 0})})
    assert [event.action for event in read(spark, "events", fixed)] == ["click"]


def test_a_day_table_that_is_rewritten_is_another_input_of_the_nights_that_read_it(
    spark: SparkSession, tmp_path: Path
) -> None:
    config = written(tmp_path, CLICK)
    for day in (1, 2):
        written(tmp_path, CLICK, day=day)
    before = listing(spark, config, NIGHT, NIGHT)
    assert listing(spark, config, NIGHT, NIGHT) == before
    written(tmp_path, CLICK, BOUGHT, day=1)
    assert listing(spark, config, NIGHT, NIGHT) != before
    shorter = config.model_copy(update={"source": config.source.model_copy(update={"rewritten_days": 0})})
    before = listing(spark, shorter, NIGHT, NIGHT)
    written(tmp_path, CLICK, day=1)
    assert listing(spark, shorter, NIGHT, NIGHT) == before


def test_the_last_hours_of_a_shops_day_arrive_with_the_next_one(spark: SparkSession, tmp_path: Path) -> None:
    evening = row("select_item", "02:00:00", item(1))
    config = written(tmp_path, evening, day=2)
    written(tmp_path, CLICK)
    assert {(event.ts.hour, event.arrived) for event in read(spark, "events", config)} == {(2, NIGHT), (10, NIGHT)}


def test_rows_that_cannot_be_read_are_kept(spark: SparkSession, tmp_path: Path) -> None:
    no_name = {key: value for key, value in CLICK.items() if key != "event_name"}
    ill = row("select_item", "10:00:00", item(1, price="cheap"))
    events = read(spark, "events", written(tmp_path, "{broken", no_name, ill, row("select_item", "10:00:00")))
    told = sorted((event.action or "", event.item_id or "", tuple(event.problems)) for event in events)
    assert told == [("", "", ("unparsable",)), ("", "i3", ()), ("click", "", ()), ("click", "i1", ("unparsable",))]


def test_items_are_what_the_events_last_said(spark: SparkSession, tmp_path: Path) -> None:
    path = {"item_category": "Shoes", "item_category2": "Trail"}
    newer = row("view_item", "11:00:00", item(1, item_name="Trail shoe", price=60.0, **path))
    rows = {one.item_id: one for one in read(spark, "items", written(tmp_path, newer, FIRST_PAGE))}
    assert (rows["i1"].title, rows["i1"].category, rows["i1"].price) == ("Trail shoe", "Shoes > Trail", 60.0)
    assert (rows["i2"].title, rows["i2"].brand, rows["i2"].category) == ("Shoe 2", "Fjell", None)


def with_numbers(one: dict[str, Any]) -> dict[str, Any]:
    """A JSON object of the export with its integers as numbers, as Parquet has them."""
    counts = ("event_timestamp", "int_value", "quantity")
    return {key: int(value) if key in counts else value for key, value in one.items()}


def test_day_tables_are_named_as_bigquery_names_them(spark: SparkSession, tmp_path: Path) -> None:
    for day, one in ((2, SEEN), (3, CLICK)):
        (tmp_path / f"events_202601{day:02}").write_text(json.dumps(one) + "\n")
    config = source(events=f"{tmp_path}/events_{{run_day}}")
    (event,) = read(spark, "events", config)
    assert (event.action, event.arrived) == ("click", NIGHT)
    with pytest.raises(InputMissingError, match="events_20260104' cannot be read"):
        read(spark, "events", config, date(2026, 1, 4))


def test_parquet_says_the_same(spark: SparkSession, tmp_path: Path) -> None:
    lines = [SEEN, FIRST_PAGE, SECOND_PAGE, CLICK, BOUGHT]
    as_json = written(tmp_path, *lines)
    typed = [json.dumps(json.loads(json.dumps(one), object_hook=with_numbers)) for one in lines]
    frame = spark.read.json(spark.sparkContext.parallelize(typed), ga4.EXPORT.columns)
    frame.write.parquet(str(tmp_path / "parquet" / str(NIGHT)))
    as_parquet = source(format="parquet", events=f"{tmp_path}/parquet/{{run_date}}")
    for kind in ("events", "searches", "items"):
        assert sorted(map(str, read(spark, kind, as_parquet))) == sorted(map(str, read(spark, kind, as_json)))
    frame.drop("items").write.parquet(str(tmp_path / "parquet" / "2026-01-04"))
    with pytest.raises(ContractError, match="expected columns items"):
        read(spark, "events", as_parquet.model_copy(
            update={"source": as_parquet.source.model_copy(update={"events": f"{tmp_path}/parquet/2026-01-04"})}
        ))  # fmt: skip
