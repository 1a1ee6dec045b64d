"""Columns of Parquet, JSON lines and CSV, as they are in the files, beside the night that a path names."""

from __future__ import annotations

from dataclasses import dataclass

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped] # py4j has no type hints
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nightrank.contract import DATE, STRING, STRINGS
from nightrank.errors import ContractError
from nightrank.sources.parsing import BAD, LINE_PROBLEMS, UNPARSABLE, fits, from_text, parsed_lines, twin, widened
from nightrank.sources.reading import Arrivals, find, provenance, read_lines, refuse_rowless

# What a log without any file has.
NO_COLUMNS = ["night", "source_file", LINE_PROBLEMS]


@dataclass(frozen=True)
class Shape:
    """The columns of a log, which of them must be there, and which fields of their structs."""

    columns: T.StructType
    required: frozenset[str] = frozenset()
    required_inside: frozenset[str] = frozenset()


def read_shaped(
    spark: SparkSession, form: str, template: str, shape: Shape, asked: Arrivals, allow_empty: bool
) -> DataFrame:
    """The shape's columns from files of `form`, with problems, night and source_file; columns that they lack are null.

    Raises ContractError for required columns that are not there and for Parquet columns of another type.
    """
    if form == "parquet":
        rows = read_parquet(spark, template, shape.columns, asked, allow_empty)
        require_columns(rows, shape.required, template)
        return _taken(rows, shape, template)
    rows = read_text_columns(spark, form, template, shape.columns, asked, allow_empty)
    if rows.columns != NO_COLUMNS:
        require_columns(rows, shape.required, template)
    lacking = [field for field in shape.columns.fields if field.name not in rows.columns]
    absent = {field.name: F.lit(None).cast(twin(field.dataType)) for field in lacking}
    return from_text(rows.withColumns(absent), shape.columns)


def read_text_columns(
    spark: SparkSession, form: str, template: str, shape: T.StructType, asked: Arrivals, allow_empty: bool
) -> DataFrame:
    """JSON lines or CSV as string columns in `shape`'s twin, with night, source_file and `_line_problems`.

    CSV holds arrays as JSON text.

    A column that a CSV file does not have is not in the result; JSON lines have every column.
    """
    if form == "json":
        return parsed_lines(read_lines(spark, template, asked, allow_empty), shape)
    rows = _read_csv(spark, template, asked, allow_empty)
    nested = {
        field.name: F.from_json(field.name, twin(field.dataType).simpleString(), {"mode": "PERMISSIVE"})
        for field in shape.fields
        if field.name in rows.columns and isinstance(field.dataType, (T.ArrayType, T.MapType, T.StructType))
    }
    for name, parsed in nested.items():
        broken = F.col(name).isNotNull() & parsed.isNull()
        rows = rows.withColumn(BAD, F.coalesce(F.col(BAD), F.when(broken, F.col(name)))).withColumn(name, parsed)
    unparsable = F.when(F.col(BAD).isNotNull(), F.array(F.lit(UNPARSABLE)))
    return rows.withColumn(LINE_PROBLEMS, F.coalesce(unparsable, F.array().cast(STRINGS))).drop(BAD)


def read_parquet(
    spark: SparkSession, template: str, shape: T.StructType, asked: Arrivals, allow_empty: bool
) -> DataFrame:
    """Parquet files with all their columns, night and source_file; `shape` where there is no file and none is allowed.

    Raises ContractError for a file that lost its bytes (Spark would skip it silently) and for nights whose columns
    contradict each other.
    """
    found = find(spark, template, asked, allow_empty)
    if not found.paths:
        nothing = {"night": F.lit(None).cast(DATE), "source_file": F.lit(None).cast(STRING)}
        return spark.createDataFrame([], shape).withColumns(nothing)
    try:
        # Every footer is read: without it a column that some nights lack, or a file without bytes, is lost in silence.
        frame = spark.read.option("mergeSchema", "true").parquet(*found.paths)
    except (PySparkException, Py4JJavaError) as error:
        raise ContractError(f"Source '{template}' cannot be used: {_cause(error)}. Deliver it again.") from error
    frame = frame.select("*", *provenance(found))
    refuse_rowless(frame, template, asked, allow_empty)
    return frame


def require_columns(frame: DataFrame, required: frozenset[str], template: str) -> None:
    """Raises ContractError naming each required column that `frame` does not have."""
    lacking = sorted(required - set(frame.columns))
    if lacking:
        raise ContractError(
            f"Source '{template}' cannot be used: expected columns {', '.join(lacking)}, found only "
            f"{', '.join(sorted(frame.columns))}. Add them to the log, or name them in section source of the config."
        )


def _taken(rows: DataFrame, shape: Shape, template: str) -> DataFrame:
    there = {field.name: field.dataType for field in rows.schema.fields}
    wanted = shape.columns.fields
    wrong = [
        f"{field.name}: expected {field.dataType.simpleString()}, found {there[field.name].simpleString()}"
        for field in wanted
        if field.name in there and not fits(there[field.name], field.dataType, shape.required_inside)
    ]
    if wrong:
        raise ContractError(
            f"Source '{template}' cannot be used: {'; '.join(wrong)}. Write the columns in these types."
        )
    values = [
        widened(F.col(field.name), there[field.name], field.dataType).alias(field.name)
        if field.name in there
        else F.lit(None).cast(field.dataType).alias(field.name)
        for field in wanted
    ]
    return rows.select(*values, F.array().cast(STRINGS).alias("problems"), F.col("night").cast(DATE), "source_file")


def _read_csv(spark: SparkSession, template: str, asked: Arrivals, allow_empty: bool) -> DataFrame:
    found = find(spark, template, asked, allow_empty)
    if not found.paths:
        return spark.createDataFrame([], f"{BAD} string, night date, source_file string")
    # RFC 4180: quotes are doubled, and quoted text may hold line ends. enforceSchema off: files whose header differs
    # from the first one's are refused, where Spark would match their columns by place.
    options = {"header": "true", "escape": '"', "multiLine": "true", "enforceSchema": "false"}
    names = spark.read.options(**options).csv(list(found.paths)).columns
    schema = T.StructType([T.StructField(name, T.StringType()) for name in (*names, BAD)])
    reader = spark.read.options(**options, mode="PERMISSIVE", columnNameOfCorruptRecord=BAD).schema(schema)
    frame = reader.csv(list(found.paths)).select("*", *provenance(found))
    refuse_rowless(frame, template, asked, allow_empty)
    return frame


def _cause(error: Exception) -> str:
    lines = str(error).splitlines()
    causes = [line.strip() for line in lines if line.strip().startswith("Caused by: ")]
    return causes[-1].removeprefix("Caused by: ") if causes else lines[0]
