"""Arrays of structs made from whole arrays: Spark compiles these, where it interprets a lambda for each entry.

The lambdas stay for what is not simple: `F.when(simple, compiled).otherwise(interpreted)` works out one of the two.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def together(**fields: Column) -> Column:
    """The array of structs with these fields, entry by entry, from arrays of one size; null where one of them is."""
    return F.arrays_zip(*[field.alias(name) for name, field in fields.items()])


def is_full(array: Column, size: Column) -> Column:
    """Whether an array has that size and no null in it; false for a null array."""
    # In order, nulls come first.
    return F.coalesce((F.size(array) == size) & F.get(F.sort_array(array), F.lit(0)).isNotNull(), F.lit(False))


def any_gain() -> Column:
    """Whether anything of the row's slate was taken; null for an empty slate."""
    return F.array_max("slate.gain") > 0
