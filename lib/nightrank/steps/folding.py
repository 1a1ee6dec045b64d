"""The exact fold: a decayed sum that is the same to the bit however many nights are folded at once.

A key's state is (value, touched). A night's amounts are integers in units of 1e-6, summed as longs, so their order
does not matter; a night that touches a key makes its value `value * d**(days since touched) + amount`, and nothing
else changes it. A state is itself an entry of the fold: its value, dated the night that it was touched. So folding
onto last night's state and folding everything anew do the same operations in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import partial

import numpy as np
import pyarrow
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nightrank.models import folding as numbers
from nightrank.models.folding import UNIT
from nightrank.models.ordering import Doubles, Longs, firsts, order_of
from nightrank.nights import BEGINNING
from nightrank.steps.batches import dates, doubles, longs, map_groups

__all__ = ["UNIT", "amount_on_arrival", "decayed", "fold", "kept_after"]


def fold(
    previous: DataFrame,
    amounts: DataFrame,
    as_of: Sequence[date],
    keys: Sequence[str],
    half_life_nights: float,
    forget_nights: int,
    forget_below: float = 0.0,
) -> DataFrame:
    """The state of each key as of each date: as_of, keys (texts), value, touched; keys without one have no row.

    previous: keys, value, touched (no rows: from nothing). amounts: keys, run_date, amount (long, millionths), in any
    order and number of rows a night. Amounts of nights after as_of do not count; a value untouched for more than
    forget_nights is forgotten, and so is one that is worth less than forget_below. Worth only falls between touches, so
    what a snapshot has forgotten a rebuild forgets before it could count again.

    What costs is the plan's second `Exchange hashpartitioning(keys)` with its `Sort`: after the first, by keys and
    night, each `HashAggregate` has made one row a key and night of the amounts, however hot a key is.
    """
    nightly = amounts.groupBy(*keys, "run_date").agg(F.sum("amount").alias("amount"))
    states = previous.select(*keys, F.col("touched").alias("run_date"), "value")
    entries = nightly.unionByName(states, allowMissingColumns=True)
    columns = [T.StructField("as_of", T.DateType()), *[T.StructField(key, T.StringType()) for key in keys]]
    schema = T.StructType([*columns, T.StructField("value", T.DoubleType()), T.StructField("touched", T.DateType())])
    kept = numbers.kept_shares(half_life_nights, forget_nights)
    days = np.array([(day - BEGINNING).days for day in as_of], dtype=np.int64)
    return map_groups(entries, tuple(keys), partial(_folded, tuple(keys), days, kept, forget_below), schema)


def _folded(
    keys: Sequence[str], as_of: Longs, kept: Doubles, least: float, chunk: pyarrow.Table
) -> pyarrow.RecordBatch:
    """The states of a chunk's keys as of each of the dates."""
    key, group = _numbered(keys, chunk)
    night, is_new = longs(chunk.column("run_date")), np.asarray(chunk.column("amount").is_valid())
    held = numbers.Entries(key[~is_new], night[~is_new], doubles(chunk.column("value").filter(~is_new))[:, None])
    amounts = longs(chunk.column("amount").filter(is_new))[:, None]
    states = numbers.fold(held, numbers.nightly_sums(key[is_new], night[is_new], amounts), kept[None, :], least)
    distinct = np.arange(len(group))
    asked, when = np.tile(distinct, len(as_of)), np.repeat(as_of, len(distinct))
    row = numbers.standing(states, asked, when, kept.shape[0] - 2)
    worth = states.values[row, 0] * kept[np.minimum(when - states.night[row], len(kept) - 1)]
    stands = (row >= 0) & (np.abs(worth) >= least)
    asked, when, row = asked[stands], when[stands], row[stands]
    texts = [chunk.column(name).take(pyarrow.array(group[asked])).combine_chunks() for name in keys]
    value, touched = pyarrow.array(states.values[row, 0]), dates(states.night[row])
    return pyarrow.RecordBatch.from_arrays([dates(when), *texts, value, touched], ["as_of", *keys, "value", "touched"])


def _numbered(keys: Sequence[str], chunk: pyarrow.Table) -> tuple[Longs, Longs]:
    """A number a row, the same for the same keys, and a row that has each number's keys."""
    number = np.zeros(chunk.num_rows, dtype=np.int64)
    for name in keys:
        codes = chunk.column(name).combine_chunks().dictionary_encode()
        number = number * len(codes.dictionary) + longs(codes.indices)
    order = order_of(number)
    first = firsts(number[order])
    key = np.empty_like(number)
    key[order] = np.repeat(np.arange(len(first)), np.diff(first, append=len(number)))
    return key, order[first]


def decayed(value: Column, touched: Column, as_of: Column, half_life_nights: float) -> Column:
    """What a value touched on `touched` is worth on `as_of`: value * d**(as_of - touched)."""
    return value * kept_after(F.date_diff(as_of, touched), half_life_nights)


def kept_after(nights: Column, half_life_nights: float) -> Column:
    """The share of a value that is left after some nights: d**nights, d = 0.5**(1 / half life).

    For reading only: its last bit is Java's, and no state is made with it (models/folding.py has the table for that).
    """
    return F.pow(F.lit(0.5 ** (1.0 / half_life_nights)), nights)


def amount_on_arrival(units: Column, half_life_nights: float) -> Column:
    """`units` (millionths, of an event with ts and run_date) as a long that weighs what the event's own time says.

    A late event has decayed by the nights between its time and its arrival; one of the future has not grown.
    """
    late = F.greatest(F.date_diff("run_date", F.to_date("ts")), F.lit(0))
    return F.rint(units * kept_after(late, half_life_nights)).cast("long")
