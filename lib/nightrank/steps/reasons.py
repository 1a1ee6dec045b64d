"""Why a row is not accepted: conditions as native columns, all of a row's reasons in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column
from pyspark.sql import functions as F

from nightrank.contract import STRINGS


def reasons(problems: Column, conditions: Mapping[str, Column]) -> Column:
    """The sorted array of reasons: the parser's problems and the name of each condition that holds (null: it does not).

    A row is accepted when it is empty. The array is put together for rows that have a reason: what that takes Spark
    interprets (`lambdafunction` in the plan), and with it the conditions inside, where it compiles those of a `when`.
    """
    known = F.coalesce(problems, F.array().cast(STRINGS))
    found = F.array_sort(F.array_distinct(F.concat(known, _names(conditions))))
    return F.when((F.size(known) > 0) | any_of(list(conditions.values())), found).otherwise(F.array().cast(STRINGS))


def names_of(conditions: Mapping[str, Column]) -> Column:
    """The array of the names of the conditions that hold (null: it does not), in their order."""
    return F.when(any_of(list(conditions.values())), _names(conditions)).otherwise(F.array().cast(STRINGS))


def blank(*names: str) -> Column:
    """Whether any of the text columns is null or blank."""
    return any_of([F.col(name).isNull() | (F.trim(name) == "") for name in names])


def overlong(longest: int, *names: str) -> Column:
    """Whether any of the text columns has more than `longest` characters."""
    return any_of([F.coalesce(F.length(name) > longest, F.lit(False)) for name in names])


def infinite(number: Column) -> Column:
    """Whether a number is there but NaN or infinite."""
    return F.coalesce(F.isnan(number) | (F.abs(number) == F.lit(float("inf"))), F.lit(False))


def finite(number: Column) -> Column:
    """The number, or null where it is NaN or infinite: neither ever enters a table."""
    return F.when(~infinite(number), number)


def any_infinite(*names: str) -> Column:
    """Whether any of the numeric columns is NaN or infinite."""
    return any_of([infinite(F.col(name)) for name in names])


def impossible_time(earliest: date) -> Column:
    """Whether ts is before the shop's time, or later than the end of the day on which the row arrived."""
    return F.coalesce((F.col("ts") < F.lit(earliest)) | (F.to_date("ts") > F.col("arrived")), F.lit(False))


def wrong_time_unit(earliest: date) -> Column:
    """Whether ts would be possible had milliseconds not been read as seconds, or seconds as milliseconds."""
    seconds, end = F.unix_seconds("ts"), F.unix_seconds(F.date_add("arrived", 1).cast("timestamp"))
    begin = F.unix_seconds(F.lit(earliest).cast("timestamp"))
    as_said = [F.floor(seconds / 1000), seconds * 1000]
    possible = [(begin <= one) & (one < end) for one in as_said]
    return F.coalesce(impossible_time(earliest) & (possible[0] | possible[1]), F.lit(False))


def _names(conditions: Mapping[str, Column]) -> Column:
    return F.array_compact(F.array(*[F.when(holds, F.lit(name)) for name, holds in conditions.items()]))


def any_of(conditions: Sequence[Column]) -> Column:
    """Whether any condition holds; null where none does and one is null."""
    return reduce(or_, conditions, F.lit(False))


def all_of(conditions: Sequence[Column]) -> Column:
    """Whether every condition holds; null where none fails and one is null."""
    return reduce(and_, conditions, F.lit(True))
