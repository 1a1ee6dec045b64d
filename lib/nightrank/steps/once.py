"""Columns that are worked out once a row, whatever is done with them afterwards."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def evaluated_once(fields: Column) -> Column:
    """The fields of a struct as columns, for a `select`: worked out once a row.

    Spark writes a plain column's expression again wherever it is used: into a filter that is pushed below it, and into
    a lambda, which then works it out for each element. It does not look through a generator, which this is.
    """
    return F.inline(F.array(fields))
