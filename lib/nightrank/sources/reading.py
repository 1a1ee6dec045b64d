"""What the conventions share: from a path template to rows with the night in which they arrived."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.errors import ContractError, InputMissingError
from nightrank.nights import ONE_DAY

# How a template names its night: what stands there in a path, as 2026-01-03, or as 20260103 in BigQuery's day tables,
# as a glob, and as a pattern.
FORMS = {
    "{run_date}": ("%Y-%m-%d", "[0-9]" * 4 + ("-" + "[0-9]" * 2) * 2, "([0-9]{4})-([0-9]{2})-([0-9]{2})"),
    "{run_day}": ("%Y%m%d", "[0-9]" * 8, "([0-9]{4})([0-9]{2})([0-9]{2})"),
}
# A Parquet file begins and ends with this word; between them is the length of its footer.
PARQUET, SMALLEST_PARQUET = b"PAR1", 12
LOOKS_AT_ONCE = 16
SCHEME = "^[A-Za-z][A-Za-z0-9+.-]*:/*"
# The night of each file that cannot be read, by its path.
Spoilt = dict[str, date]


@dataclass(frozen=True)
class Arrivals:
    """The nights asked for, first..last, seen from `tonight`; files that are not read, by path."""

    first: date
    last: date
    tonight: date
    left_out: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Naming:
    """Which part of a path names its night, and the pattern of year, month and day in it."""

    part: int
    pattern: str


@dataclass(frozen=True)
class Found:
    """Paths that hold bytes, and where a path names its night (None: a static log)."""

    paths: tuple[str, ...]
    naming: Naming | None


def find(spark: SparkSession, template: str, asked: Arrivals, allow_empty: bool) -> Found:
    """The paths of the nights asked for, on any file system that Spark reads.

    Raises InputMissingError where tonight's path (or the static one) is not there, ContractError where it is empty.
    Earlier nights may be missing: a shop that was closed has no log.
    """
    paths, naming = _matching(spark, template)
    if naming is not None:
        nights = {path: _night_of(path, naming) for path in paths}
        paths = [path for path in paths if (day := nights[path]) and asked.first <= day <= asked.last]
        needed = [path for path in paths if nights[path] == asked.tonight]
    else:
        needed = paths
    wanted_now = naming is None or asked.first <= asked.tonight <= asked.last
    if wanted_now and not needed:
        raise InputMissingError(
            f"Source '{_of_night(template, asked.tonight)}' cannot be read: no such path. "
            "Deliver the log, or change the path in section source of the config."
        )
    filled = [path for path in paths if _holds_bytes(spark, path, asked.left_out)]
    if wanted_now and not set(needed) & set(filled):
        refuse_empty(template, asked, allow_empty)
    return Found(tuple(_less(spark, filled, asked.left_out)), naming)


def spoilt_files(spark: SparkSession, template: str, parquet: bool, named: Collection[str], asked: Arrivals) -> Spoilt:
    """The files that cannot be read, with the night of each, or tonight's in a static log: empty ones, Parquet files
    without their last bytes, and those whose path ends with one that is `named`."""
    paths, naming = _matching(spark, template)
    nights = {path: asked.tonight if naming is None else _night_of(path, naming) for path in paths}
    files = [
        (file.getPath().toString(), int(file.getLen()), night)
        for path, night in nights.items()
        if night and asked.first <= night <= asked.last
        for file in _files_below(spark, path)
        if not file.getPath().getName().startswith(("_", "."))
    ]
    # A look at a file's end is a request to the store: some at a time.
    with ThreadPoolExecutor(LOOKS_AT_ONCE) as looks:
        whole = looks.map(lambda file: not parquet or _ends_as_parquet(spark, file[0], file[1]), files)
    return {
        path: night
        for (path, size, night), is_whole in zip(files, whole, strict=True)
        if not size or not is_whole or path.endswith(tuple(named))
    }


def files_of(spark: SparkSession, template: str, first: date, last: date) -> list[tuple[str, int, int]]:
    """Path, size and modification time of every file of a source: of its nights first..last, or of a static log."""
    paths, naming = _matching(spark, template)
    if naming is not None:
        paths = [path for path in paths if (day := _night_of(path, naming)) and first <= day <= last]
    return [
        (file.getPath().toString(), int(file.getLen()), int(file.getModificationTime()))
        for path in paths
        for file in _files_below(spark, path)
    ]


def refuse_empty(template: str, asked: Arrivals, allow_empty: bool) -> None:
    """Raises ContractError for a log without rows, unless the config allows it."""
    if not allow_empty:
        raise ContractError(
            f"Source '{_of_night(template, asked.tonight)}' cannot be used: expected rows, found "
            "none. Deliver the log again, or set source.allow_empty to take an empty one."
        )


def read_lines(spark: SparkSession, template: str, asked: Arrivals, allow_empty: bool) -> DataFrame:
    """The non-blank lines of text files, compressed or not: (value, night, source_file).

    night is null for a static log.
    """
    found = find(spark, template, asked, allow_empty)
    if not found.paths:
        return spark.createDataFrame([], "value string, night date, source_file string")
    lines = spark.read.text(list(found.paths)).select("value", *provenance(found))
    refuse_rowless(lines, template, asked, allow_empty)
    return lines.filter(F.trim("value") != "")


def refuse_rowless(frame: DataFrame, template: str, asked: Arrivals, allow_empty: bool) -> None:
    """Raises ContractError where files are there but hold no row for tonight (a header only, an empty archive)."""
    tonight = frame.filter(F.col("night").isNull() | (F.col("night") == F.lit(asked.tonight)))
    if asked.first <= asked.tonight <= asked.last and not allow_empty and tonight.isEmpty():
        refuse_empty(template, asked, allow_empty)


def provenance(found: Found) -> tuple[Column, Column]:
    """Where a row comes from: `night`, and `source_file`, the path of its file."""
    return night_of_file(found).alias("night"), F.col("_metadata.file_path").alias("source_file")


def night_of_file(found: Found) -> Column:
    """The night that a file's path names, as a date; null for a static log."""
    if found.naming is None:
        return F.lit(None).cast("date")
    parts = F.split(F.regexp_replace(F.col("_metadata.file_path"), SCHEME, ""), "/")
    named = F.regexp_extract(F.get(parts, F.lit(found.naming.part)), found.naming.pattern, 0)
    return F.regexp_replace(named, found.naming.pattern, "$1-$2-$3").try_cast("date")


def arriving(frame: DataFrame, asked: Arrivals) -> DataFrame:
    """`frame` (with ts and night) with the night of arrival instead of `night`, the nights asked for only.

    Rows of a static log arrive on the date of their own ts; those without a readable ts arrive tonight. The static
    filter is on ts itself, so that Parquet can skip row groups.
    """
    after_last = asked.last + ONE_DAY
    own_time = (F.col("ts") >= F.lit(asked.first)) & (F.col("ts") < F.lit(after_last))
    within = F.col("night").isNotNull() | F.col("ts").isNull() | own_time
    arrived = F.coalesce(F.col("night"), F.to_date("ts"), F.lit(asked.tonight))
    return frame.filter(within).withColumn("arrived", arrived).drop("night")


def is_dated(template: str) -> bool:
    """Whether each night has a path of its own."""
    return any(word in template for word in FORMS)


def without_scheme(path: str) -> str:
    """A path from its first folder on: Hadoop writes file:/a, Spark file:///a; without the scheme both are a."""
    return re.sub(SCHEME, "", path)


def _of_night(template: str, night: date) -> str:
    for word, (form, *_) in FORMS.items():
        template = template.replace(word, night.strftime(form))
    return template


def _any_night(template: str) -> str:
    for word, (_, glob, _) in FORMS.items():
        template = template.replace(word, glob)
    return template


def _matching(spark: SparkSession, template: str) -> tuple[list[str], Naming | None]:
    jvm: Any = spark._jvm
    pattern = jvm.org.apache.hadoop.fs.Path(_any_night(template))
    system = pattern.getFileSystem(_hadoop(spark))
    statuses = system.globStatus(pattern) or []
    parts = without_scheme(system.makeQualified(pattern).toString()).split("/")
    named = [Naming(at, day) for at, part in enumerate(parts) for _, glob, day in FORMS.values() if glob in part]
    return sorted(status.getPath().toString() for status in statuses), next(iter(named), None)


def _night_of(path: str, naming: Naming) -> date | None:
    found = re.search(naming.pattern, without_scheme(path).split("/")[naming.part])
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def _holds_bytes(spark: SparkSession, path: str, left_out: Collection[str]) -> bool:
    files = [file for file in _files_below(spark, path) if file.getPath().toString() not in left_out]
    return any(file.getLen() > 0 and not file.getPath().getName().startswith(("_", ".")) for file in files)


def _less(spark: SparkSession, paths: list[str], left_out: Collection[str]) -> list[str]:
    """The paths, or their files one by one where some of them are left out."""
    if not left_out:
        return paths
    files = [file.getPath() for path in paths for file in _files_below(spark, path)]
    shown = [file.toString() for file in files if not file.getName().startswith(("_", "."))]
    return [file for file in shown if file not in left_out]


def _ends_as_parquet(spark: SparkSession, path: str, size: int) -> bool:
    if size < SMALLEST_PARQUET:
        return False
    jvm: Any = spark._jvm
    file = jvm.org.apache.hadoop.fs.Path(path)
    opened = file.getFileSystem(_hadoop(spark)).open(file)
    try:
        opened.seek(size - len(PARQUET))
        return int(opened.readInt()) == int.from_bytes(PARQUET, "big")
    finally:
        opened.close()


def _files_below(spark: SparkSession, path: str) -> Iterator[Any]:
    jvm: Any = spark._jvm
    folder = jvm.org.apache.hadoop.fs.Path(path)
    files = folder.getFileSystem(_hadoop(spark)).listFiles(folder, True)
    while files.hasNext():
        yield files.next()


def _hadoop(spark: SparkSession) -> Any:
    java: Any = spark._jsparkSession
    return java.sessionState().newHadoopConf()
