"""From text to typed columns, so that a value which is not of its type is a reason on its row, never a lost row."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nightrank.steps.once import evaluated_once
from nightrank.steps.reasons import any_of, names_of

UNPARSABLE = "unparsable"
# The line where it is no JSON of the shape, and why a line is not to be believed whatever its values are.
BAD = "_bad"
LINE_PROBLEMS = "_line_problems"
WHOLE = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
NUMBERS = (*WHOLE, T.FloatType, T.DoubleType, T.DecimalType)
TIMES = (T.TimestampType, T.TimestampNTZType, T.DateType)


def twin(kind: T.DataType) -> T.DataType:
    """The same shape with strings for values: what JSON and CSV are read as."""
    if isinstance(kind, T.ArrayType):
        return T.ArrayType(twin(kind.elementType))
    if isinstance(kind, T.MapType):
        return T.MapType(T.StringType(), T.StringType())
    if isinstance(kind, T.StructType):
        return T.StructType([T.StructField(field.name, twin(field.dataType)) for field in kind.fields])
    return T.StringType()


def parsed_lines(lines: DataFrame, shape: T.StructType) -> DataFrame:
    """JSON lines (value, …) as the columns of `shape`'s twin, beside those of `lines`, `_bad` (the line, if broken)
    and `_line_problems`."""
    schema = T.StructType([*twin_fields(shape), T.StructField(BAD, T.StringType())])
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": BAD}
    parsed = lines.select("*", evaluated_once(F.from_json("value", schema, options)))
    return parsed.withColumn(LINE_PROBLEMS, _line_problems(F.col("value")))


def _line_problems(line: Column) -> Column:
    """Why a line of JSON is not to be believed; of two values under one key Spark itself takes the last.

    A key counts as repeated in the document itself, not in what it holds.
    """
    # In an array, so that the line is read once for its keys and not for each use of them.
    keys = F.array(F.json_object_keys(line))
    found = {
        UNPARSABLE: F.col(BAD).isNotNull(),
        "array_line": F.ltrim(line).startswith("["),
        "duplicate_keys": F.exists(keys, lambda names: F.size(F.array_distinct(names)) < F.size(names)),
        "bad_utf8": ~F.is_valid_utf8(line),
    }
    return names_of(found)


def twin_fields(shape: T.StructType) -> list[T.StructField]:
    """The fields of a shape's string twin."""
    return [T.StructField(field.name, twin(field.dataType)) for field in shape.fields]


def typed(text: Column, kind: T.DataType) -> Column:
    """`text` (of kind's twin) as `kind`; null where it is not a value of it. NaN and infinities stay."""
    if isinstance(kind, T.StructType):
        fields = [typed(text[field.name], field.dataType).alias(field.name) for field in kind.fields]
        return F.when(text.isNotNull(), F.struct(*fields))
    if isinstance(kind, T.ArrayType):
        element = kind.elementType
        return F.transform(text, lambda one: typed(one, element))
    if isinstance(kind, T.TimestampType):
        return moment(text)
    if isinstance(kind, (T.IntegerType, T.LongType)):
        return F.regexp_replace(F.trim(text), r"\.0+$", "").try_cast(kind)
    if isinstance(kind, (T.DoubleType, T.FloatType, T.BooleanType)):
        # A bare NaN in JSON arrives as "NaN" with its quotes.
        return F.coalesce(text.try_cast(kind), F.btrim(text, F.lit(' "')).try_cast(kind))
    return text


def moment(text: Column) -> Column:
    """A time stamp from ISO 8601 text, or from seconds, milliseconds or microseconds since 1970.

    Text must start with a year: Spark reads a bare time of day as today's, and tonight's result would change.
    """
    digits = F.when(text.rlike("^[0-9]{10}$|^[0-9]{13}$|^[0-9]{16}$"), text.try_cast("bigint"))
    scale = F.when(F.length(text) == 10, F.lit(1_000_000)).when(F.length(text) == 13, F.lit(1000)).otherwise(F.lit(1))
    iso = F.when(F.trim(text).rlike("^[0-9]{4}-"), F.trim(text).try_cast("timestamp"))
    return F.coalesce(F.timestamp_micros(digits * scale), iso)


def ill_typed(text: Column, kind: T.DataType) -> Column:
    """Whether `text` holds something that is not a value of `kind`; blank is nothing, not wrong."""
    if isinstance(kind, T.StructType):
        return any_of([ill_typed(text[field.name], field.dataType) for field in kind.fields])
    if isinstance(kind, T.ArrayType):
        element = kind.elementType
        return F.coalesce(F.exists(text, lambda one: ill_typed(one, element)), F.lit(False))
    if isinstance(kind, (T.StringType, T.MapType)):
        return F.lit(False)
    return F.coalesce((F.trim(text) != "") & typed(text, kind).isNull(), F.lit(False))


def problems(*wrong: Column) -> Column:
    """The array of parsing problems: those of the line, and `unparsable` where a value is not of its type."""
    more = F.array_union(LINE_PROBLEMS, F.array(F.lit(UNPARSABLE)))
    return F.when(any_of(list(wrong)), more).otherwise(F.col(LINE_PROBLEMS))


def from_text(frame: DataFrame, shape: T.StructType) -> DataFrame:
    """Columns of `shape`'s twin as `shape`, with `problems`; where a row came from stays."""
    wrong = [ill_typed(F.col(field.name), field.dataType) for field in shape.fields]
    values = [typed(F.col(field.name), field.dataType).alias(field.name) for field in shape.fields]
    return frame.select(*values, problems(*wrong).alias("problems"), "night", "source_file")


def fits(found: T.DataType, wanted: T.DataType, required: frozenset[str]) -> bool:
    """Whether typed columns may be taken as `wanted`: the same type, or a number or time that widens to it."""
    if isinstance(found, T.NullType):
        return True
    if isinstance(wanted, T.StructType):
        there = {field.name: field.dataType for field in found.fields} if isinstance(found, T.StructType) else {}
        lacking = [field for field in wanted.fields if field.name in required and field.name not in there]
        return not lacking and all(
            fits(there[field.name], field.dataType, required) for field in wanted.fields if field.name in there
        )
    if isinstance(wanted, T.ArrayType):
        return isinstance(found, T.ArrayType) and fits(found.elementType, wanted.elementType, required)
    for kind, taken in (((T.DoubleType, T.FloatType), NUMBERS), (WHOLE, WHOLE), (T.TimestampType, TIMES)):
        if isinstance(wanted, kind):
            return isinstance(found, taken)
    return found.simpleString() == wanted.simpleString()


def widened(column: Column, found: T.DataType, wanted: T.DataType) -> Column:
    """A column that fits, as `wanted`; fields of structs that are not there are null."""
    if isinstance(found, T.NullType) or found.simpleString() == wanted.simpleString():
        return column.cast(wanted)
    if isinstance(wanted, T.StructType) and isinstance(found, T.StructType):
        there = {field.name: field.dataType for field in found.fields}
        fields = [
            widened(column[field.name], there[field.name], field.dataType).alias(field.name)
            if field.name in there
            else F.lit(None).cast(field.dataType).alias(field.name)
            for field in wanted.fields
        ]
        return F.when(column.isNotNull(), F.struct(*fields))
    if isinstance(wanted, T.ArrayType) and isinstance(found, T.ArrayType):
        inner, outer = found.elementType, wanted.elementType
        return F.transform(column, lambda one: widened(one, inner, outer))
    return column.try_cast(wanted)


def filled(text: Column) -> Column:
    """The text, or null where it is blank."""
    return F.when(F.trim(text) != "", text)
