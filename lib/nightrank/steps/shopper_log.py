"""What is known of some shoppers as numbers: their events, their last profiles, and the dates they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.folding import UNIT, Longs
from nightrank.nights import BEGINNING
from nightrank.steps.batches import longs
from nightrank.tables import USER_PROFILES

AsOf = DataFrame | Sequence[date]
EVENT = ("run_date", "ts", "action", "item_id", "facets")
# What a snapshot's row is folded from; the segment is read from the rest.
KEPT = tuple(name for name in USER_PROFILES.columns.names if name not in {"user_id", "segment"})


@dataclass(frozen=True)
class Log:
    """Some shoppers, numbered as in `shoppers`; nights are days, times microseconds since 1970.

    events: EVENT as Arrow arrays; previous: KEPT. Each has the shopper and the night of its rows beside it.
    asked: shopper and as_of of each profile that is wanted, by shopper and date; of shoppers of whom anything is known.
    """

    shoppers: pyarrow.Array
    events: dict[str, Any]
    shopper: Longs
    night: Longs
    previous: dict[str, Any]
    previous_shopper: Longs
    previous_night: Longs
    asked: tuple[Longs, Longs]


def log_rows(events: DataFrame, user_profiles: DataFrame, as_of: AsOf) -> DataFrame:
    """Everything a fold needs in one frame: user_id and either an event, or `previous`, or `asked`."""
    previous = user_profiles.select("user_id", "run_date", F.struct(*KEPT).alias("previous"))
    rows = events.select("user_id", *EVENT).unionByName(previous, allowMissingColumns=True)
    if isinstance(as_of, DataFrame):
        asked = as_of.select("user_id", F.col("as_of").alias("asked"))
        return rows.unionByName(asked, allowMissingColumns=True)
    return rows.withColumn("asked", F.lit(None).cast("date"))


def read_log(chunk: pyarrow.Table, as_of: Sequence[date] | None) -> Log:
    """The log of a chunk of log_rows. as_of: dates that hold for all of its shoppers; None: the chunk names them."""
    user = chunk.column("user_id").combine_chunks().dictionary_encode()
    shopper = longs(user.indices)
    is_event = np.asarray(chunk.column("ts").is_valid())
    is_previous = np.asarray(chunk.column("previous").is_valid())
    events, previous = chunk.filter(is_event), chunk.filter(is_previous)
    profiles = previous.column("previous").combine_chunks()
    return Log(
        shoppers=user.dictionary,
        events={name: events.column(name).combine_chunks() for name in EVENT},
        shopper=shopper[is_event],
        night=longs(events.column("run_date")),
        previous={name: profiles.field(name) for name in KEPT},
        previous_shopper=shopper[is_previous],
        previous_night=longs(previous.column("run_date")),
        asked=_of_each(shopper, as_of) if as_of is not None else _named(chunk, shopper),
    )


def units_of(log: Log, weights: Mapping[str, float]) -> Longs:
    """The weight of each event's action in millionths; 0 where it has none."""
    return _by_action(log, lambda name: round(weights.get(name, 0.0) * UNIT))


def is_take(log: Log, config: Config) -> NDArray[np.bool_]:
    """Whether each event is a take."""
    return _by_action(log, lambda name: int(name in config.events.takes)) > 0


def _by_action(log: Log, number: Callable[[str], int]) -> Longs:
    actions = log.events["action"].dictionary_encode()
    numbers: Longs = np.array([number(name) for name in actions.dictionary.to_pylist()], dtype=np.int64)
    found: Longs = numbers[longs(actions.indices)]
    return found


def nights_late(log: Log) -> Longs:
    """How many nights before its arrival each event happened; an event of the future has not grown: 0."""
    late: Longs = np.maximum(log.night - longs(log.events["ts"]) // 86_400_000_000, 0)
    return late


def _of_each(shopper: Longs, as_of: Sequence[date]) -> tuple[Longs, Longs]:
    known = np.unique(shopper)
    days = np.array(sorted((day - BEGINNING).days for day in as_of), dtype=np.int64)
    return np.repeat(known, len(days)), np.tile(days, len(known))


def _named(chunk: pyarrow.Table, shopper: Longs) -> tuple[Longs, Longs]:
    named = np.asarray(chunk.column("asked").is_valid())
    who, when = shopper[named], longs(chunk.filter(named).column("asked"))
    order = np.lexsort((when, who))
    return who[order], when[order]
