"""The shop that Spark writes holds the lines of the one that Python writes, whoever wrote which."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank.errors import UsageError
from nightrank.sections import ShopConfig
from nightrank.shop.spark_log import sized_for, write_shop_in_spark
from nightrank.shop.ubi_log import write_shop

# More than one block of buckets: 2100 people and 8 bots are 17 of them.
SMALL = ShopConfig(seed=5, shoppers=2100, items=60, days=2)


def lines(folder: Path) -> dict[str, list[str]]:
    """The sorted lines of each day's files, be they files or folders of part files."""
    found = {}
    for place in sorted(folder.glob("logs/*/*")):
        files = sorted(place.glob("part-*")) if place.is_dir() else [place]
        texts = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
        found[f"{place.parent.name}/{place.name}"] = sorted(texts)
    return found


def test_spark_writes_the_same_lines_whatever_its_partitions(spark: SparkSession, tmp_path: Path) -> None:
    write_shop(SMALL, tmp_path / "python")
    expected = lines(tmp_path / "python")
    for partitions in (1, 3):
        folder = tmp_path / str(partitions)
        write_shop_in_spark(spark, SMALL.model_copy(update={"path": str(folder)}), partitions)
        assert lines(folder) == expected
        assert [path.name for path in folder.iterdir()] == ["logs"]
    assert len(expected) == 3 * SMALL.days
    assert all(expected.values())
    with pytest.raises(UsageError, match="is there already"):
        write_shop_in_spark(spark, SMALL.model_copy(update={"path": str(tmp_path / "python")}))


@pytest.mark.parametrize(
    ("events", "shoppers", "items", "days"),
    [
        (1, 1, 800, 30),
        (6_000_000, 100_000, 6_000, 30),
        (60_000_000, 1_000_000, 60_000, 30),
        (600_000_000, 1_000_000, 100_000, 300),
    ],
)
def test_more_events_are_more_shoppers_until_a_worker_is_full_and_then_more_days(
    events: int, shoppers: int, items: int, days: int
) -> None:
    sized = sized_for(ShopConfig(items=800, days=30), events)
    assert (sized.shoppers, sized.items, sized.days) == (shoppers, items, days)
