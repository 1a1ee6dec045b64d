"""User ids become HMACs under a key that no plan holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.errors import ConfigError
from nightrank.steps.pseudonyms import shopper

# RFC 4231, test case 2: key "Jefe", message "what do ya want for nothing?".
KEY, SAYING = "Jefe", "what do ya want for nothing?"
DIGEST = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def config(key_file: Path | None) -> Config:
    return Config.model_validate({"source": {"pseudonym_key_file": str(key_file) if key_file else None}})


def test_ids_become_pseudonyms_and_anonymous_stays(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    frame = spark.createDataFrame([(SAYING,), ("anonymous",), ("",), (None,)], "user_id string")
    got = frame.select(shopper(F.col("user_id"), config(tmp_path / "key")).alias("user_id"))
    wanted = [(DIGEST,), ("anonymous",), ("anonymous",), ("anonymous",)]
    assertDataFrameEqual(got, spark.createDataFrame(wanted, "user_id string"))
    assert KEY not in got._jdf.queryExecution().toString()


def test_without_a_key_file_ids_stay(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("u",), (None,)], "user_id string")
    got = frame.select(shopper(F.col("user_id"), config(None)).alias("user_id"))
    assertDataFrameEqual(got, spark.createDataFrame([("u",), ("anonymous",)], "user_id string"))


@pytest.mark.parametrize("text", [None, " \n"])
def test_a_missing_or_empty_key_is_refused(spark: SparkSession, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "key").write_text(text)
    with pytest.raises(ConfigError, match="pseudonym_key_file: expected a file with a key"):
        shopper(F.col("user_id"), config(tmp_path / "key"))
