"""user_profiles: decayed facet affinities, recent items in order, evidence, segment.

A profile as of a night is last night's row plus the night's events; training folds the same way from the snapshot
before its window, through the same function (`profiles_as_of`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import partial

import pyarrow
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.batches import dates, map_groups
from nightrank.steps.folding import decayed
from nightrank.steps.interests import affinities, own_items
from nightrank.steps.shopper_evidence import evidence, recent
from nightrank.steps.shopper_log import AsOf, log_rows, read_log
from nightrank.tables import ANONYMOUS, USER_PROFILES

PROFILE = tuple(name for name in USER_PROFILES.columns.names if name != "segment")


def build_user_profiles(user_profiles: DataFrame, events: DataFrame, night: Night, config: Config) -> DataFrame:
    """One row a shopper and snapshot night: run_date and the columns of USER_PROFILES.

    user_profiles: the previous snapshot, or no rows. events: accepted events that arrived after it.
    """
    profiles = profiles_as_of(user_profiles, events, night.snapshots, config)
    return profiles.withColumnRenamed("as_of", "run_date")


def profiles_as_of(user_profiles: DataFrame, events: DataFrame, as_of: AsOf, config: Config) -> DataFrame:
    """Profiles as they stood at the end of each date asked for: as_of and the columns of USER_PROFILES.

    as_of: dates that hold for every shopper, or a frame (user_id, as_of) of distinct rows. user_profiles: one
    snapshot, or no rows; events: what arrived after it. Events of nights after as_of do not count. A shopper without
    any event up to as_of has no row; one who did nothing since the snapshot has.

    What costs, in the plan's words: one `Exchange hashpartitioning(user_id)` of the events as they are, one `Sort` of
    each partition and one `MapInArrow`, where a shopper's whole row is folded in arrays. Exploded in Spark, an event
    was seven rows that three aggregations sorted: more than ten times the time.
    """
    named = events.where(F.col("user_id") != ANONYMOUS)
    active = named.select("user_id").distinct()
    moved = user_profiles.join(active, on="user_id", how="left_semi")
    still = user_profiles.join(active, on="user_id", how="left_anti")
    profiles = _refolded(moved, named, as_of, config).unionByName(_unmoved(still, as_of, config))
    return profiles.select("as_of", *PROFILE, _segment(config).alias("segment"))


def _unmoved(user_profiles: DataFrame, as_of: AsOf, config: Config) -> DataFrame:
    """Profiles of shoppers who did nothing: as they were, less what is forgotten. Most of a night's, so not folded."""

    def kept(states: str) -> Column:
        age = config.user_profiles.forget_nights
        return F.filter(states, lambda state: F.date_diff("as_of", state["touched"]) <= age)

    asked = _asked_for(user_profiles, as_of)
    return asked.withColumns({name: kept(name) for name in ("affinities", "own_items")}).select("as_of", *PROFILE)


def _asked_for(profiles: DataFrame, as_of: AsOf) -> DataFrame:
    """Each profile once for each date that is asked for it, in a new column as_of."""
    if isinstance(as_of, DataFrame):
        return profiles.join(as_of, on="user_id", how="inner")
    return profiles.withColumn("as_of", F.explode(F.array(*[F.lit(day) for day in as_of])))


def _refolded(user_profiles: DataFrame, events: DataFrame, as_of: AsOf, config: Config) -> DataFrame:
    """Profiles of shoppers who did something since the snapshot."""
    kinds = {field.name: field for field in USER_PROFILES.columns.fields}
    schema = T.StructType([T.StructField("as_of", T.DateType()), *[kinds[name] for name in PROFILE]])
    days = None if isinstance(as_of, DataFrame) else tuple(as_of)
    rows = log_rows(events, user_profiles, as_of)
    return map_groups(rows, ("user_id",), partial(_profiles, days, config, schema.names), schema)


def _profiles(
    as_of: Sequence[date] | None, config: Config, names: Sequence[str], chunk: pyarrow.Table
) -> pyarrow.RecordBatch:
    """The profiles of a chunk's shoppers, one row a date that each is asked for and anything is known of."""
    log = read_log(chunk, as_of)
    columns = {
        "as_of": dates(log.asked[1]),
        "user_id": log.shoppers.take(pyarrow.array(log.asked[0])),
        "affinities": affinities(log, config),
        "own_items": own_items(log, config),
        "recent": recent(log, config),
        **evidence(log, config),
    }
    profiles = pyarrow.RecordBatch.from_arrays([columns[name] for name in names], list(names))
    return profiles.filter(profiles.column("events").is_valid())


def _segment(config: Config) -> Column:
    """`segment:<x>` of the top-level category that weighs most as of the date; null with too few takes."""
    top_level = F.filter(
        "affinities", lambda s: s["token"].startswith("category:") & ~F.contains(s["token"], F.lit(" > "))
    )

    def lightness(state: Column) -> Column:
        value = decayed(state["value"], state["touched"], F.col("as_of"), config.user_profiles.half_life_nights)
        return F.struct((-value).alias("lightness"), state["token"].alias("token"))

    heaviest = F.array_min(F.transform(top_level, lightness))["token"]
    named = F.concat(F.lit("segment:"), F.regexp_replace(heaviest, "^category:", ""))
    return F.when(F.col("takes") >= config.user_profiles.segment_min_takes, named)
