"""What is known of some shoppers as numbers: their events, their last profiles, and the dates they are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyarrow import compute
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nightrank.config import Config
from nightrank.models.folding import UNIT
from nightrank.models.ordering import Longs, order_of, ranges
from nightrank.nights import BEGINNING
from nightrank.steps.batches import flat, longs, sorted_codes

AsOf = DataFrame | Sequence[date]
PRICE_BAND = r"^price:-?[0-9]{1,4}$"
EVENT = ("run_date", "ts", "action", "item_id")
# Between the facets of an event; none has a line break, as the one normaliser leaves letters, digits and spaces.
BETWEEN = "\n"


@dataclass(frozen=True)
class Log:
    """Some shoppers, numbered as in `shoppers`; nights are days, times microseconds since 1970.

    ts, facets: of the events; previous: columns of the last profiles. Beside each: shopper and night of its rows.
    item, action: the number of each event's in item_ids and actions, distinct and in byte order.
    asked: shopper and as_of of each profile that is wanted, by shopper and date; of shoppers of whom anything is known.
    """

    shoppers: pyarrow.Array
    ts: Longs
    facets: Any
    shopper: Longs
    night: Longs
    item: Longs
    item_ids: Any
    action: Longs
    actions: Any
    previous: dict[str, Any]
    previous_shopper: Longs
    previous_night: Longs
    asked: tuple[Longs, Longs]


@dataclass(frozen=True)
class Facets:
    """The facets of a log's events: a row a facet in event and code, its number in names; an element an event after it.

    names: the distinct tokens in byte order. category: the number in `names` of the event's narrowest category, -1:
    none. A path sorts before what lies below it, so the narrowest is the last.
    """

    names: Any
    event: Longs
    code: Longs
    category: Longs
    band: Longs
    has_band: NDArray[np.bool_]


def log_rows(events: DataFrame, user_profiles: DataFrame | None, as_of: AsOf, held: T.StructType) -> DataFrame:
    """Everything a fold needs in one frame: user_id and an event, or `previous` (the columns `held`), or `asked`.

    previous is an array of one, or NULL: Arrow writes a NULL list in one step, and a NULL struct field by field. An
    event's facets are one text: Spark sorts it, and writes it for Arrow, in a fraction of what their array costs.
    """
    facets = F.array_join("facets", BETWEEN).alias("facets")
    nothing = F.lit(None).cast(T.ArrayType(held)).alias("previous")
    rows = events.select("user_id", *EVENT, facets, nothing)
    if user_profiles is not None:
        previous = user_profiles.select("user_id", "run_date", F.array(F.struct(*held.names)).alias("previous"))
        rows = rows.unionByName(previous, allowMissingColumns=True)
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
    events = chunk if is_event.all() else chunk.filter(is_event)
    previous = chunk.filter(is_previous)
    profiles, _ = flat(previous.column("previous"))
    (item,), item_ids = sorted_codes(events.column("item_id"))
    (action,), actions = sorted_codes(events.column("action"))
    return Log(
        shoppers=user.dictionary,
        ts=longs(events.column("ts")),
        facets=events.column("facets").combine_chunks(),
        shopper=shopper[is_event],
        night=longs(events.column("run_date")),
        item=item,
        item_ids=item_ids,
        action=action,
        actions=actions,
        previous={field.name: profiles.field(field.name) for field in profiles.type},
        previous_shopper=shopper[is_previous],
        previous_night=longs(previous.column("run_date")),
        asked=_of_each(shopper, as_of) if as_of is not None else _named(chunk, shopper, is_event | is_previous),
    )


def read_facets(log: Log) -> Facets:
    """The facets that the items of a log's events had on arrival: read from the distinct texts, of which few are."""
    texts = compute.fill_null(log.facets, "").dictionary_encode()
    distinct = texts.dictionary
    token, sizes = flat(compute.split_pattern(compute.if_else(compute.equal(distinct, ""), None, distinct), BETWEEN))
    (code,), names = sorted_codes(token)
    text = np.repeat(np.arange(len(sizes)), sizes)
    category, priced = np.full(len(sizes), -1), np.full(len(sizes), -1)
    is_category = np.asarray(compute.starts_with(names, "category:"))[code]
    is_price = np.asarray(compute.match_substring_regex(names, PRICE_BAND))[code]
    np.maximum.at(category, text[is_category], code[is_category])
    np.maximum.at(priced, text[is_price], code[is_price])
    bands = [int(name.removeprefix("price:")) if re.fullmatch(PRICE_BAND, name) else 0 for name in names.to_pylist()]
    band = np.array([*bands, 0], dtype=np.int64)[priced]
    of = longs(texts.indices)
    rows = ranges((np.cumsum(sizes) - sizes)[of], sizes[of])
    event = np.repeat(np.arange(len(of)), sizes[of])
    return Facets(names, event, code[rows], category[of], band[of], (priced >= 0)[of])


def units_of(log: Log, weights: Mapping[str, float]) -> Longs:
    """The weight of each event's action in millionths; 0 where it has none."""
    return _by_action(log, lambda name: round(weights.get(name, 0.0) * UNIT))


def is_take(log: Log, config: Config) -> NDArray[np.bool_]:
    """Whether each event is a take."""
    return _by_action(log, lambda name: int(name in config.events.takes)) > 0


def _by_action(log: Log, number: Callable[[str], int]) -> Longs:
    numbers: Longs = np.array([number(name) for name in log.actions.to_pylist()], dtype=np.int64)
    found: Longs = numbers[log.action]
    return found


def nights_late(log: Log) -> Longs:
    """How many nights before its arrival each event happened; an event of the future has not grown: 0."""
    late: Longs = np.maximum(log.night - day_of(log), 0)
    return late


def day_of(log: Log) -> Longs:
    """The day of each event's own time."""
    return log.ts // 86_400_000_000


def hours_old(log: Log) -> Longs:
    """How many hours before the end of its night of arrival each event happened."""
    hours: Longs = np.maximum((log.night + 1) * 24 - log.ts // 3_600_000_000, 0)
    return hours


def _of_each(shopper: Longs, as_of: Sequence[date]) -> tuple[Longs, Longs]:
    known = np.unique(shopper)
    days = np.array(sorted((day - BEGINNING).days for day in as_of), dtype=np.int64)
    return np.repeat(known, len(days)), np.tile(days, len(known))


def _named(chunk: pyarrow.Table, shopper: Longs, tells: NDArray[np.bool_]) -> tuple[Longs, Longs]:
    known = np.isin(shopper, shopper[tells])
    named = np.asarray(chunk.column("asked").is_valid()) & known
    who, when = shopper[named], longs(chunk.filter(named).column("asked"))
    order = order_of(who, when)
    return who[order], when[order]
