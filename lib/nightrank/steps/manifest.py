"""manifest: each file of behaviour events as it was delivered, its lines, and what became of each row."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.tables import MANIFEST

FILE = ("run_date", "source_file")


def build_manifest(
    raw_event_lines: DataFrame,
    events: DataFrame,
    night: Night,
    config: Config,  # noqa: ARG001  # the contract of builders
) -> DataFrame:
    """The table `manifest` with run_date, the night in which each file arrived.

    raw_event_lines: RAW_EVENT_LINES, counted apart from the rows that were made of them. events: what stands of the
    night, accepted or not. lines = other_lines + those that hold rows; rows: how many they hold. Where nothing was
    lost and nothing came twice, rows = good + quarantined + duplicates: deliveries.py refuses a night where it is not.
    """
    delivered = (
        raw_event_lines.where(F.col("arrived").between(F.lit(night.first_arrival), F.lit(night.run_date)))
        .groupBy(F.col("arrived").alias("run_date"), "source_file")
        .agg(
            (F.count("event_rows") > 0).alias("readable"),
            F.count("event_rows").alias("lines"),
            F.count_if(F.col("event_rows") == 0).alias("other_lines"),
            F.coalesce(F.sum("event_rows"), F.lit(0)).alias("rows"),
        )
    )
    only_repeated = F.col("reasons") == F.array(F.lit("duplicate"))
    stored = events.groupBy(*FILE).agg(
        F.count_if("accepted").alias("good"),
        F.count_if(~F.col("accepted") & ~only_repeated).alias("quarantined"),
        F.count_if(only_repeated).alias("duplicates"),
    )
    # Rows of a file that no line was counted of would be as wrong as lines without rows.
    joined = delivered.join(stored, on=list(FILE), how="full")
    counts = [field.name for field in MANIFEST.columns.fields if field.dataType.typeName() == "long"]
    return joined.fillna(0, subset=counts).fillna(False, subset=["readable"]).select(*MANIFEST.schema.names)
