"""Whether a night's vectors may stand, and what is told of them."""

from __future__ import annotations

import logging
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.contract import Table
from nightrank.errors import ContractError
from nightrank.nights import BEGINNING, ONE_DAY, Night
from nightrank.storage import read_table

log = logging.getLogger("nightrank")


def refuse_neutral_vectors(spark: SparkSession, config: Config, table: Table, night: Night) -> None:
    """Raises ContractError where the encoder gave too many texts of the night no vector; tells of the others.

    One such text is let through whatever its share: else it would hold up every small night.
    """
    written = read_table(spark, config.lake, table, night.first_arrival, night.run_date)
    told = _told(written)
    if not told["texts"]:
        return
    neutral = told["neutral"]
    if neutral > max(1.0, config.deliveries.refuse_neutral * told["texts"]):
        raise ContractError(
            f"Night {night.run_date} of table '{table.name}' is refused: expected at most "
            f"{config.deliveries.refuse_neutral:.2%} of its texts without a vector, found {neutral} of "
            f"{told['texts']}: the encoder came to numbers that are not finite. What stood before stands. Take "
            f"{table.name}.precision fp32 or bf16, or another model, or raise deliveries.refuse_neutral."
        )
    log.info(
        "table=%s night=%s encoder_version=%s dims=%d texts=%d tokens=%d unknown_tokens=%.4f neutral=%d",
        table.name, night.run_date, told["version"], told["dims"], told["texts"], told["tokens"],
        told["unknown"] / max(told["tokens"], 1), neutral,
    )  # fmt: skip
    earlier = read_table(spark, config.lake, table, BEGINNING, night.first_arrival - ONE_DAY)
    _tell_new_version(earlier, told, table, night)


def _told(written: DataFrame) -> Any:
    """Of a night's rows: texts, those without a vector, tokens, unknown tokens, version and dims."""
    stands = F.exists("vector", lambda number: number != 0)
    return written.agg(
        F.count(F.lit(1)).alias("texts"),
        F.count(F.when(~stands, 1)).alias("neutral"),
        F.sum("tokens").alias("tokens"),
        F.sum("unknown_tokens").alias("unknown"),
        F.max("encoder_version").alias("version"),
        F.max(F.size("vector")).alias("dims"),
    ).collect()[0]


def _tell_new_version(earlier: DataFrame, told: Any, table: Table, night: Night) -> None:
    """Says so where no earlier night has a vector of tonight's version but one of another."""
    same = F.col("encoder_version") == F.lit(told["version"])
    seen = earlier.agg(F.max(same).alias("same"), F.max_by("encoder_version", "run_date").alias("last")).collect()[0]
    if seen["same"] is False:
        before = earlier.where(F.col("encoder_version") == F.lit(seen["last"])).select(F.size("vector").alias("dims"))
        log.warning(
            "table=%s night=%s encoder_version=%s replaces=%s dims=%d before=%d: every text is encoded anew",
            table.name, night.run_date, told["version"], seen["last"], told["dims"], before.take(1)[0]["dims"],
        )  # fmt: skip
