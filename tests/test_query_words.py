"""The words of a query leave the tables only if enough shoppers have used them."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.config import Config
from nightrank.report import query_in_words
from nightrank.storage import replace_night


def test_a_query_is_quoted_only_if_enough_shoppers_have_used_it(spark: SparkSession, tmp_path: Path) -> None:
    night = date(2026, 1, 3)
    # The rare one is asked more often, by the same shopper and by some who are not known.
    asked = [("lamp", "u1"), ("lamp", "u2"), *[("rare", user) for user in ("u1", "u1", "anonymous", "anonymous")]]
    known = {"run_date": night, "ts": datetime(2026, 1, 3), "accepted": True, "reasons": []}
    rows = [
        {**known, "query_id": str(n), "user_id": user, "query": query, "normalised_query": query}
        for n, (query, user) in enumerate(asked)
    ]
    names = tables.SEARCHES.schema.names
    frame = spark.createDataFrame([tuple(row.get(name) for name in names) for row in rows], tables.SEARCHES.schema)
    config = Config.model_validate({"lake": {"path": str(tmp_path)}, "run": {"query_text_shoppers": 2}})
    replace_night(frame, config.lake, tables.SEARCHES, night, night)
    assert query_in_words(spark, config, "lamp", "category") == "'lamp'"
    assert query_in_words(spark, config, "rare", "category") == "a query of class category"
