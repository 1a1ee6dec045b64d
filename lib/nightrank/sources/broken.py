"""Files that break before their end: a truncated archive, a spoilt page. Looked for only after a read has failed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped] # py4j has no type hints
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from nightrank.sources.reading import LOOKS_AT_ONCE, without_scheme

NAMED = re.compile(r"\[FAILED_READ_FILE[A-Z_.]*\] Encountered error while reading file (\S+?)\.?\s")
# Where the last cause of a Java error arose: the first line of its trace.
AROSE = re.compile(r"Caused by: [^\n]*(?:\n(?!\s+at )[^\n]*)*\n\s+at (?:[\w.@]+/+)?([\w.$]+)")
# What takes bytes apart. A store that does not answer, or an executor that dies, fails elsewhere: such a file is whole.
DECODERS = (
    "org.apache.hadoop.io.compress.", "java.util.zip.", "org.apache.parquet.", "shaded.parquet.",
    "org.apache.spark.sql.execution.datasources.parquet.", "org.xerial.snappy.", "com.github.luben.zstd.",
    "io.airlift.compress.", "net.jpountz.", "org.apache.hadoop.fs.FSInputChecker", "org.apache.hadoop.fs.Checksum",
)  # fmt: skip


def file_named(error: BaseException) -> str | None:
    """The path, without its scheme, of the file that could not be read; None where the error is of something else."""
    found = NAMED.search(f"{error} {error.__cause__ or ''} ")
    return unquote(without_scheme(found.group(1))) if found else None


def broken_among(spark: SparkSession, files: Mapping[str, bool]) -> tuple[str, ...]:
    """The files that break before their end, sorted. files: whether each is Parquet, by its path.

    Each is a Spark job of its own, some at a time, so that one that breaks says nothing of another, and executors read
    them, not the driver.
    """
    paths = sorted(files)
    with ThreadPoolExecutor(LOOKS_AT_ONCE) as looks:
        found = looks.map(lambda path: breaks(spark, path, files[path]), paths)
    return tuple(path for path, broken in zip(paths, found, strict=True) if broken)


def breaks(spark: SparkSession, path: str, parquet: bool) -> bool:
    """Whether the file cannot be read to its end. Raises what Spark raises where that is not the file's fault."""
    try:
        rows = spark.read.parquet(path) if parquet else spark.read.text(path)
        rows.write.format("noop").mode("overwrite").save()
    except (PySparkException, Py4JJavaError) as error:
        arose = AROSE.findall(str(error))
        if arose and arose[-1].startswith(DECODERS):
            return True
        raise
    return False
