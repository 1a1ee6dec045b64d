"""make bench-pseudonyms: ids a second through the pandas UDF that makes pseudonyms, on two cores, start-up taken out.

Every id is another one, the dearest case; and then a log in which each id comes ten times in a row. IDS=n: so many.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from figures import say_figures
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.sections import SparkConfig
from nightrank.session import build_session
from nightrank.steps.pseudonyms import shopper

IDS = int(os.environ.get("IDS", "2000000"))
REPEATS = 10
RUNS = 3


def seconds(spark: SparkSession, ids: int, user_id: Column) -> float:
    """The time that so many rows of the column take to be made and thrown away."""
    started = time.monotonic()
    spark.range(0, ids, numPartitions=2).select(user_id.alias("user_id")).write.format("noop").mode("overwrite").save()
    return time.monotonic() - started


def per_second(spark: SparkSession, user_id: Column, config: Config) -> float:
    """Ids a second: the best of RUNS, less what the same rows take without pseudonyms."""
    pseudonym = shopper(user_id, config)
    for column in (user_id, pseudonym):
        seconds(spark, 1000, column)  # Python workers start, plans are compiled
    plain = min(seconds(spark, IDS, user_id) for _ in range(RUNS))
    return IDS / (min(seconds(spark, IDS, pseudonym) for _ in range(RUNS)) - plain)


def main() -> None:
    """ids_per_second: all different; ids_per_second_repeated: each REPEATS times in a row."""
    spark = build_session(SparkConfig(master="local[2]", local_settings=True))
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        key.write_text("0123456789abcdef" * 4)
        config = Config.model_validate({"source": {"pseudonym_key_file": str(key)}})
        different = F.concat(F.lit("shopper-"), F.col("id").cast("string"))
        repeated = F.concat(F.lit("shopper-"), F.floor(F.col("id") / REPEATS).cast("string"))
        figures = {
            "ids": IDS,
            "ids_per_second": per_second(spark, different, config),
            "ids_per_second_repeated": per_second(spark, repeated, config),
        }
    spark.stop()
    say_figures("pseudonyms", figures)


if __name__ == "__main__":
    main()
