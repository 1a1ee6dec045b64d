"""The Spark session and the settings that it must have."""

from __future__ import annotations

import os
import sys

from pyspark.sql import SparkSession

from nightrank.errors import ConfigError
from nightrank.sections import SparkConfig

# Results would be wrong without these; they are set everywhere.
REQUIRED = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    # Without it one flipped bit in a page gives wrong sums, silently.
    "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
    "spark.sql.sources.partitionOverwriteMode": "static",
    # One row here is a batch of texts or a bucket of shoppers, so a record batch of the default 10,000 would not fit.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "500",
}
# A laptop's settings: Delta's and Spark's defaults are for clusters and cost minutes on small tables.
LOCAL = {
    # A night runs some hundred different small queries once each: the optimising compiler takes more CPU than it gives
    # back (118 against 56 CPU seconds for a small shop's `prepare`). Its code cache has to grow for the other one. And
    # nobody waits for a single answer: the collector of least work, not of shortest pauses.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseParallelGC",
    "spark.databricks.delta.snapshotPartitions": "1",
    # Statistics of columns, check sums of a version's state and a checkpoint every ten commits pay on long logs and
    # large files, which a laptop's lake has not.
    "spark.databricks.delta.stats.collect": "false",
    "spark.databricks.delta.writeChecksumFile.enabled": "false",
    "spark.databricks.delta.properties.defaults.checkpointInterval": "50",
    # Nights are replaced by run_date, a partition: no row has to be read to know which files go.
    "spark.databricks.delta.replaceWhere.dataColumns.enabled": "false",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # Spark remembers a thousand queries with their plans for a page that is not shown.
    "spark.ui.retainedJobs": "20",
    "spark.ui.retainedStages": "20",
    "spark.sql.ui.retainedExecutions": "20",
    "spark.executorEnv.OMP_NUM_THREADS": "1",
    "spark.executorEnv.TOKENIZERS_PARALLELISM": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # One task for a small shuffle, as tasks cost more than its rows; all cores for one of more than some megabytes.
    "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "4m",
}
REFUSED_WHEN_TRUE = ("spark.sql.files.ignoreCorruptFiles", "spark.sql.files.ignoreMissingFiles")


def build_session(config: SparkConfig) -> SparkSession:
    """A Spark session with Delta and the required settings.

    Raises ConfigError for settings under which rows could be lost silently, or the job would hang.
    """
    refuse_dangerous(config)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if config.local_settings:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    builder = SparkSession.builder.appName(config.app_name)
    if config.master:
        builder = builder.master(config.master)
    for key, value in settings(config).items():
        builder = builder.config(key, value)
    if config.local_settings:
        from delta import configure_spark_with_delta_pip

        builder = configure_spark_with_delta_pip(builder)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def settings(config: SparkConfig) -> dict[str, str]:
    """What the session is given: the config's own settings first, the required ones last."""
    local = {**LOCAL, "spark.driver.memory": config.driver_memory} if config.local_settings else {}
    asked = {"spark.sql.shuffle.partitions": str(config.shuffle_partitions)}
    if config.gpu_amount_per_task:
        # 1 and not 1.0: TorchDistributor reads an integer.
        asked["spark.task.resource.gpu.amount"] = f"{config.gpu_amount_per_task:g}"
    return {**local, **asked, **config.settings, **REQUIRED}


def refuse_dangerous(config: SparkConfig) -> None:
    """Raises ConfigError for settings that lose rows without a word, or that hang."""
    for key in REFUSED_WHEN_TRUE:
        if config.settings.get(key, "false").lower() == "true":
            raise ConfigError(f"spark.settings.{key}: expected false, found true: it loses rows silently. Remove it.")
    for key, needed in REQUIRED.items():
        if config.settings.get(key, needed) != needed:
            raise ConfigError(f"spark.settings.{key}: expected {needed}, found {config.settings[key]}. Remove it.")
    if config.gpu_amount_per_task and (config.master or "").startswith("local["):
        raise ConfigError(
            f"spark.gpu_amount_per_task: expected 0 on master {config.master}, found {config.gpu_amount_per_task}: "
            "Spark's local mode never grants a GPU and the job would hang. Set it to 0, or use a cluster."
        )
