"""What `make bench-prepare` measures: its log, and that both profile cores find the same, or it says so."""

from __future__ import annotations

from pathlib import Path

import bench_prepare
import duckdb
import pytest
from parsed_log import LAST_DAY, Log, log_events, with_facets
from prepare_runs import Prepared
from profile_core import core_by_duckdb, core_by_nightrank, refuse_other_results
from pyspark.sql import SparkSession

from nightrank.config import Config

EVENTS = 4_000


def test_both_cores_find_the_same_in_a_skewed_log_and_a_difference_is_found(
    spark: SparkSession, tmp_path: Path
) -> None:
    log, ours, theirs = (str(tmp_path / name) for name in ("events", "nightrank", "duckdb.parquet"))
    skewed = Log(EVENTS, super_user=0.1, hot_item=0.5)
    with_facets(log_events(spark, skewed)).write.parquet(log)
    core_by_nightrank(spark, log, ours, LAST_DAY, Config())
    core_by_duckdb(log, theirs, LAST_DAY, Config(), "1GB")
    events = f"read_parquet('{log}/*.parquet')"
    assert refuse_other_results(ours, theirs) == value(f"SELECT count(DISTINCT user_id) FROM {events}")

    share = "SELECT count(*) FILTER ({}) / count(*) FROM " + events
    assert value(share.format("user_id = 'c0'")) == pytest.approx(0.15, abs=0.05)  # the busiest of 66 without it: .06
    assert value(share.format("item_id = 'i0'")) == pytest.approx(0.52, abs=0.05)
    assert value(f"SELECT count(DISTINCT ts) FROM {events}") == EVENTS

    for change in ("recent[2:] AS recent, facets", "recent, facets[2:] AS facets"):
        other = str(tmp_path / "other.parquet")
        duckdb.sql(f"COPY (SELECT user_id, {change} FROM '{theirs}') TO '{other}' (FORMAT parquet)")
        with pytest.raises(AssertionError, match=r"recent items|facets"):
            refuse_other_results(ours, other)


def test_a_log_has_shoppers_and_items_by_its_events() -> None:
    assert (Log(6_000_000).shoppers, Log(6_000_000).items, Log(10).shoppers, Log(10).items) == (100_000, 6_000, 1, 40)


def test_start_up_is_taken_out_of_the_cost_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    # 10 seconds of start-up; then 1, 1.1 and 1.21 milliseconds an event.
    seconds = {bench_prepare.FEW: 10.0, 1_000: 11.0, 3_000: 13.3, 9_000: 20.89}
    monkeypatch.setattr(bench_prepare, "_bulk", lambda _, __, log: prepared(seconds[log.events]))
    found = bench_prepare.growth_part(None, 9_000)
    assert found["cost_growth"] == pytest.approx(0.1)
    assert (found["microseconds_an_event_1000"], found["seconds_startup"]) == (pytest.approx(1_000), 10)
    assert found["share_user_profiles"] == pytest.approx(20.89 / 23.89)


@pytest.mark.parametrize(("events", "of_one", "ratio"), [(40, 10, 1.5), (10_000_000, 1_000_000, 1.2)])
def test_skew_is_told_against_the_same_log_without_it(
    monkeypatch: pytest.MonkeyPatch, events: int, of_one: int, ratio: float
) -> None:
    def bulk(_: object, __: str, log: Log) -> Prepared:
        return prepared(7.0 + 20 * log.super_user + 20 * log.hot_item)

    monkeypatch.setattr(bench_prepare, "_bulk", bulk)
    found = bench_prepare.skew_part(None, events)
    assert (found["super_user_ratio"], found["hot_item_ratio"], found["super_user_events"]) == (ratio, 2.0, of_one)


def prepared(after_parsing: float) -> Prepared:
    """A job whose catalogue takes three seconds and the rest so many."""
    return Prepared({"items": 3.0, "user_profiles": after_parsing}, {"items": 40})


def test_the_seconds_of_a_job_are_those_of_its_stages() -> None:
    assert Prepared({"items": 1.5, "events": 2.0}, {"items": 3}).total == 3.5


def value(query: str) -> float:
    """The one figure that the query asks for."""
    row = duckdb.sql(query).fetchone()
    assert row is not None
    return float(row[0])
