"""The exact fold: a decayed sum that is the same to the bit however many nights are folded at once.

A key's state is (value, touched). A night's amounts are integers in units of 1e-6, summed as longs, so their order
does not matter; a night that touches a key makes its value `value * d**(days since touched) + amount`, and nothing
else changes it. A state is itself an entry of the fold: its value, dated the night that it was touched. So folding
onto last night's state and folding everything anew do the same operations in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# Amounts are counted in millionths.
UNIT = 1e6
AsOf = DataFrame | Sequence[date]


def fold(
    previous: DataFrame,
    amounts: DataFrame,
    as_of: AsOf,
    keys: Sequence[str],
    half_life_nights: float,
    forget_nights: int,
    forget_below: float = 0.0,
) -> DataFrame:
    """The state of each key as of each date asked for: as_of, keys, value, touched; keys without one have no row.

    previous: keys, value, touched (no rows: from nothing). amounts: keys, run_date, amount (long, millionths), in any
    order and number of rows a night. as_of: dates that hold for every key, or a frame of as_of and some of the keys.
    Amounts of nights after as_of do not count; a value untouched for more than forget_nights is forgotten, and so is
    one that is worth less than forget_below. Worth only falls between touches, so what a snapshot has forgotten a
    rebuild forgets before it could count again.
    """
    nightly = amounts.groupBy(*keys, "run_date").agg((F.sum("amount") / F.lit(UNIT)).alias("added"))
    entries = previous.select(*keys, F.col("touched").alias("run_date"), F.col("value").alias("added")).unionByName(
        nightly
    )
    histories = entries.groupBy(*keys).agg(F.sort_array(F.collect_list(F.struct("run_date", "added"))).alias("history"))

    def remembered(state: Column, on: Column) -> Column:
        worth = decayed(state["value"], state["touched"], on, half_life_nights)
        return (F.date_diff(on, state["touched"]) <= forget_nights) & (F.abs(worth) >= forget_below)

    state = _folded(_up_to("history", "as_of"), half_life_nights, remembered)
    # In an array, so that the fold is written once in the plan and not again for each use of its result.
    kept = F.filter(F.array(state), lambda one: remembered(one, F.col("as_of")))
    return asked_for(histories, as_of).select("as_of", *keys, F.inline(kept))


def decayed(value: Column, touched: Column, as_of: Column, half_life_nights: float) -> Column:
    """What a value touched on `touched` is worth on `as_of`: value * d**(as_of - touched)."""
    return value * kept_after(F.date_diff(as_of, touched), half_life_nights)


def kept_after(nights: Column, half_life_nights: float) -> Column:
    """The share of a value that is left after some nights: d**nights, d = 0.5**(1 / half life)."""
    return F.pow(F.lit(0.5 ** (1.0 / half_life_nights)), nights)


def amount_on_arrival(units: Column, half_life_nights: float) -> Column:
    """`units` (millionths, of an event with ts and run_date) as a long that weighs what the event's own time says.

    A late event has decayed by the nights between its time and its arrival; one of the future has not grown.
    """
    late = F.greatest(F.date_diff("run_date", F.to_date("ts")), F.lit(0))
    return F.rint(units * kept_after(late, half_life_nights)).cast("long")


def asked_for(frame: DataFrame, as_of: AsOf) -> DataFrame:
    """Each row of the frame once for each date that is asked for it, in a new column as_of."""
    if isinstance(as_of, DataFrame):
        shared = [name for name in as_of.columns if name != "as_of"]
        return frame.join(as_of, on=shared, how="inner")
    dates = F.array(*[F.lit(day) for day in as_of])
    return frame.withColumn("as_of", F.explode(dates))


def _up_to(history: str, as_of: str) -> Column:
    return F.filter(history, lambda entry: entry["run_date"] <= F.col(as_of))


def _folded(history: Column, half_life_nights: float, remembered: Callable[[Column, Column], Column]) -> Column:
    """The last state of a sorted history, null for an empty one."""
    nothing = F.struct(F.lit(0.0).alias("value"), F.lit(None).cast("date").alias("touched"))

    def touch(state: Column, entry: Column) -> Column:
        worth = decayed(state["value"], state["touched"], entry["run_date"], half_life_nights)
        kept = F.when(remembered(state, entry["run_date"]), worth).otherwise(0.0)
        return F.struct((kept + entry["added"]).alias("value"), entry["run_date"].alias("touched"))

    return F.aggregate(history, nothing, touch)
