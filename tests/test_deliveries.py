"""A delivery of which too much is quarantined, or that has far fewer or more rows than other weeks, is no night."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from nightrank import tables
from nightrank.config import Config
from nightrank.deliveries import refuse_odd_delivery
from nightrank.errors import ContractError
from nightrank.nights import bulk_night, ordinary_night
from nightrank.storage import read_table, replace_night

SATURDAY = date(2026, 1, 31)
TABLE = tables.EVENTS
GOOD: list[str] = []
Kinds = list[tuple[int, list[str]]]


def events(spark: SparkSession, nights: dict[date, Kinds]) -> DataFrame:
    """Of each night so many events with these reasons each."""
    row = dict.fromkeys(TABLE.schema.names)
    rows = [
        {**row, "run_date": night, "event_id": f"{reasons}{n}", "ts": datetime(2026, 1, 1), "facets": [],
         "reasons": reasons, "accepted": not reasons}
        for night, kinds in nights.items() for count, reasons in kinds for n in range(count)
    ]  # fmt: skip
    return spark.createDataFrame([tuple(one[name] for name in TABLE.schema.names) for one in rows], TABLE.schema)


def stood(spark: SparkSession, config: Config, nights: dict[date, Kinds]) -> None:
    """The nights as they stand, not judged."""
    replace_night(events(spark, nights), config.lake, TABLE, min(nights), max(nights))


def settings(folder: Path, **deliveries: float) -> Config:
    return Config.model_validate({"lake": {"path": str(folder / "lake")}, "deliveries": deliveries})


def day(weeks: int, days: int = 0) -> date:
    return SATURDAY - timedelta(weeks=weeks) + timedelta(days=days)


def test_too_much_quarantine_is_refused_a_little_is_told_and_repeats_are_nothing(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fine, warned, refused = day(0, 1), day(0, 2), day(0, 3)
    config = settings(tmp_path)
    nights: dict[date, Kinds] = {
        fine: [(99, GOOD), (1, ["not_finite"]), (900, ["duplicate"])],
        warned: [(95, GOOD), (5, ["missing_key", "unknown_item"])],
        refused: [(94, GOOD), (6, ["duplicate", "missing_key"])],
    }
    stood(spark, config, nights)
    refuse_odd_delivery(spark, config, TABLE, ordinary_night(fine, ()))
    assert "quarantined" not in caplog.text
    refuse_odd_delivery(spark, config, TABLE, ordinary_night(warned, ()))
    assert f"table=events night={warned} quarantined=0.0500" in caplog.text
    with pytest.raises(ContractError, match=r"at most 5.0% of its rows in quarantine, found 6.0% \(6 of 100\)"):
        refuse_odd_delivery(spark, config, TABLE, ordinary_night(refused, ()))
    refuse_odd_delivery(spark, settings(tmp_path, refuse_quarantined=0.06), TABLE, ordinary_night(refused, ()))
    # The events of a bulk load are judged together.
    refuse_odd_delivery(spark, config, TABLE, bulk_night(refused, 3, 1))


def test_far_fewer_or_more_rows_than_on_the_last_four_same_weekdays_are_refused(
    spark: SparkSession, tmp_path: Path
) -> None:
    config = settings(tmp_path)
    others = {day(weeks, 1): [(500, GOOD)] for weeks in (2, 3)}
    stood(spark, config, {SATURDAY: [(9, GOOD)], **{day(n): [(10 * n, GOOD)] for n in (1, 2, 3)}, **others})
    night = ordinary_night(SATURDAY, ())
    refuse_odd_delivery(spark, config, TABLE, night)  # three weeks are too few to judge by
    stood(spark, config, {day(4): [(40, GOOD)]})
    with pytest.raises(ContractError, match=r"10 to 100 rows \(the last 4 Saturdays have 25\), found 9\."):
        refuse_odd_delivery(spark, config, TABLE, night)
    refuse_odd_delivery(spark, settings(tmp_path, fewer=0.64), TABLE, night)
    refuse_odd_delivery(spark, config, TABLE, bulk_night(SATURDAY, 3, 1))
    stood(spark, config, {SATURDAY: [(101, GOOD)]})
    with pytest.raises(ContractError, match=r"found 101\. .* raise deliveries\.fewer or deliveries\.more"):
        refuse_odd_delivery(spark, config, TABLE, night)
    refuse_odd_delivery(spark, settings(tmp_path, more=3.04), TABLE, night)


def test_what_stood_before_a_refused_delivery_stands_after_it(spark: SparkSession, tmp_path: Path) -> None:
    config = settings(tmp_path)
    stood(spark, config, {SATURDAY: [(3, GOOD)]})
    judge = partial(refuse_odd_delivery, spark, config, TABLE, ordinary_night(SATURDAY, ()))
    spoilt = events(spark, {SATURDAY: [(1, GOOD), (1, ["missing_key"])]})
    with pytest.raises(ContractError, match="in quarantine"):
        replace_night(spoilt, config.lake, TABLE, SATURDAY, SATURDAY, judge=judge)
    assert read_table(spark, config.lake, TABLE, SATURDAY, SATURDAY, accepted_only=False).count() == 3
