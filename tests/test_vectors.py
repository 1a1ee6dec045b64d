"""A night of which too many texts came out of the encoder without a vector is no night; what is told of the others."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.config import Config
from nightrank.deliveries import judge_of
from nightrank.errors import ContractError
from nightrank.nights import ordinary_night
from nightrank.storage import replace_night
from nightrank.vectors import refuse_neutral_vectors

TABLE = tables.QUERY_EMBEDDINGS
FIRST = date(2026, 1, 9)
GOOD, NEUTRAL = [0.6, 0.8, 0.0], [0.0, 0.0, 0.0]


def night(days: int) -> date:
    return FIRST + timedelta(days=days)


def test_vectors_of_a_night_are_judged_and_told_of(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config.model_validate({"lake": {"path": str(tmp_path / "lake")}, "deliveries": {"refuse_neutral": 0.1}})
    rows = [(night(0), f"a{n}", "v1", GOOD, 5, 1) for n in range(4)]
    rows += [(night(1), "b", "v1", NEUTRAL, 5, 0)]  # one of one: a small night is not held up by a single text
    rows += [(night(2), f"c{n}", "v1", NEUTRAL if n < 2 else GOOD, 5, 0) for n in range(20)]
    rows += [(night(3), f"d{n}", "v1", NEUTRAL if n < 3 else GOOD, 5, 0) for n in range(20)]
    rows += [(night(5), "a0", "v2", [1.0, 0.0], 4, 0)]
    replace_night(spark.createDataFrame(rows, TABLE.schema), config.lake, TABLE, night(0), night(5))

    def judge(days: int) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.INFO, "nightrank"):
            refuse_neutral_vectors(spark, config, TABLE, ordinary_night(night(days), ()))
        return [record.getMessage() for record in caplog.records]

    assert judge_of(TABLE) is judge_of(tables.ITEM_EMBEDDINGS) is refuse_neutral_vectors
    told = "table=query_embeddings night=2026-01-09 encoder_version=v1 dims=3"
    assert judge(0) == [f"{told} texts=4 tokens=20 unknown_tokens=0.2000 neutral=0"]
    assert judge(1)[0].endswith("texts=1 tokens=5 unknown_tokens=0.0000 neutral=1")
    assert judge(2)[0].endswith("texts=20 tokens=100 unknown_tokens=0.0000 neutral=2")
    with pytest.raises(ContractError, match=r"expected at most 10\.00% .* found 3 of 20"):
        judge(3)
    assert judge(4) == []
    assert judge(5)[1] == (
        "table=query_embeddings night=2026-01-14 encoder_version=v2 replaces=v1 dims=2 before=3: "
        "every text is encoded anew"
    )
