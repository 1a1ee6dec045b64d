"""user_profiles: what each shopper likes and dislikes, took last, buys again, and how much is known.

A profile as of a night is last night's row plus the night's events; training folds the same way from the snapshot
before its window, through the same function (`profiles_as_of`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from functools import partial

import pyarrow
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.batches import dates, map_groups
from nightrank.steps.consent import not_forgotten
from nightrank.steps.interests import (
    affinities,
    dislikes,
    effective_events,
    own_items,
    price_positions,
    seen_items,
)
from nightrank.steps.last_session import last_session
from nightrank.steps.own_segment import segment_of, segments
from nightrank.steps.repeat_cycles import category_cycles, item_cycles
from nightrank.steps.shopper_evidence import FIGURES, evidence, recent
from nightrank.steps.shopper_log import AsOf, Facets, Log, log_rows, read_facets, read_log
from nightrank.tables import ANONYMOUS, USER_PROFILES

# Arrays of states, each with the night that touched it last, after which it is forgotten.
STATES = (
    "affinities", "own_items", "dislikes", "seen_items", "price_positions", "item_cycles", "category_cycles",
)  # fmt: skip
PROFILE = tuple(name for name in USER_PROFILES.columns.names if name != "segment")
# What every profile is told by: whether there is one, and its segment.
ALWAYS = ("user_id", "affinities", *FIGURES)
MAKERS: Mapping[str, Callable[[Log, Facets, Config], pyarrow.Array]] = {
    "affinities": affinities,
    "own_items": own_items,
    "dislikes": dislikes,
    "seen_items": seen_items,
    "price_positions": price_positions,
    "item_cycles": item_cycles,
    "category_cycles": category_cycles,
    "recent": recent,
    "last_session": last_session,
    "effective_events": effective_events,
}


def build_user_profiles(
    user_profiles: DataFrame, events: DataFrame, night: Night, config: Config, people: DataFrame | None = None
) -> DataFrame:
    """One row a shopper and snapshot night: run_date and the columns of USER_PROFILES.

    user_profiles: the previous snapshot, or no rows. events: accepted events that arrived after it. people: tonight's;
    what is forgotten tonight is in none of tonight's snapshots. None: nobody has opted out.
    """
    if people is not None:
        user_profiles, events = not_forgotten(user_profiles, people), not_forgotten(events, people)
    held = user_profiles if night.previous else None
    profiles = profiles_as_of(held, events, night.snapshots, config)
    return profiles.withColumnRenamed("as_of", "run_date")


def profiles_as_of(
    user_profiles: DataFrame | None, events: DataFrame, as_of: AsOf, config: Config, wanted: Collection[str] = PROFILE
) -> DataFrame:
    """Profiles as they stood at the end of each date asked for: as_of and columns of USER_PROFILES.

    as_of: dates that hold for every shopper, or a frame (user_id, as_of) of distinct rows. user_profiles: one
    snapshot, or None: from nothing; events: what arrived after it. Events of nights after as_of do not count. A
    shopper without any event up to as_of has no row; one who did nothing since the snapshot has. wanted: the columns
    needed beside ALWAYS and the segment; a plan does not look into a fold, so what is not needed has to be said.

    What costs, in the plan's words: one `Exchange hashpartitioning(user_id)` of the events, their facets as one text,
    one `Sort` of each partition and one `MapInArrow`, where a shopper's whole row is folded in arrays. Exploded in
    Spark, an event would be seven rows that three aggregations sort.
    """
    names = tuple(name for name in PROFILE if name in {*ALWAYS, *wanted})
    named = events.where(F.col("user_id") != ANONYMOUS)
    if user_profiles is None:
        return _refolded(None, named, as_of, names, config)
    active = named.select("user_id").distinct()
    moved = user_profiles.join(active, on="user_id", how="left_semi")
    still = user_profiles.join(active, on="user_id", how="left_anti")
    refolded = _refolded(moved, named, as_of, names, config)
    return refolded.unionByName(_unmoved(still, as_of, names, config))


def _unmoved(user_profiles: DataFrame, as_of: AsOf, names: Sequence[str], config: Config) -> DataFrame:
    """Profiles of shoppers who did nothing: as they were, less what is forgotten. Most of a night's, so not folded."""
    section = config.user_profiles
    memory = dict.fromkeys(STATES, section.forget_nights) | {"seen_items": section.seen_forget_nights}

    def kept(states: str) -> Column:
        oldest = F.array_min(F.col(states)["touched"])
        remembered = F.filter(states, lambda state: F.date_diff("as_of", state["touched"]) <= memory[states])
        # Mostly nothing is forgotten. Whether anything is, is compiled; the filter is interpreted for each state.
        return F.when(F.date_diff("as_of", oldest) > memory[states], remembered).otherwise(F.col(states))

    late = F.date_diff("as_of", F.col("effective_events.touched"))
    effective = F.when(late <= section.forget_nights, F.col("effective_events"))
    asked = _asked_for(user_profiles, as_of).withColumns({name: kept(name) for name in STATES})
    lessened = asked.withColumn("effective_events", effective).select("as_of", *names)
    return lessened.withColumn("segment", segment_of(config))


def _asked_for(profiles: DataFrame, as_of: AsOf) -> DataFrame:
    """Each profile once for each date that is asked for it, in a new column as_of."""
    if isinstance(as_of, DataFrame):
        return profiles.join(as_of, on="user_id", how="inner")
    return profiles.withColumn("as_of", F.explode(F.array(*[F.lit(day) for day in as_of])))


def _refolded(
    user_profiles: DataFrame | None, events: DataFrame, as_of: AsOf, names: Sequence[str], config: Config
) -> DataFrame:
    """Profiles of shoppers who did something since the snapshot."""
    kinds = {field.name: field for field in USER_PROFILES.columns.fields}
    schema = T.StructType([T.StructField("as_of", T.DateType()), *[kinds[name] for name in (*names, "segment")]])
    days = None if isinstance(as_of, DataFrame) else tuple(as_of)
    rows = log_rows(events, user_profiles, as_of, T.StructType([kinds[name] for name in names if name != "user_id"]))
    return map_groups(rows, ("user_id",), partial(_profiles, days, config, schema.names), schema)


def _profiles(
    as_of: Sequence[date] | None, config: Config, names: Sequence[str], chunk: pyarrow.Table
) -> pyarrow.RecordBatch:
    """The profiles of a chunk's shoppers, one row a date that each is asked for and anything is known of."""
    log = read_log(chunk, as_of)
    facets = read_facets(log)
    columns = {
        "as_of": dates(log.asked[1]),
        "user_id": log.shoppers.take(pyarrow.array(log.asked[0])),
        **{name: make(log, facets, config) for name, make in MAKERS.items() if name in names},
        **evidence(log, config),
    }
    columns["segment"] = segments(columns["affinities"], columns["takes"], log.asked[1], config)
    profiles = pyarrow.RecordBatch.from_arrays([columns[name] for name in names], list(names))
    return profiles.filter(profiles.column("events").is_valid())
