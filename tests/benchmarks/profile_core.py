"""The profile core, computed twice: each shopper's 64 heaviest decayed facets and 50 latest items taken.

Once by the arrays that nightrank's `user_profiles` is folded in, of one half-life, once by the DuckDB query that a
skilled user would write for it; both read the parsed events from the same Parquet files and write Parquet. The whole
row of `user_profiles`, of which this is a part, is written beside.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pyarrow
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nightrank.config import Config
from nightrank.models.ordering import heaviest
from nightrank.steps.batches import OfChunk, flat, lists_of, map_groups
from nightrank.steps.interests import Added, folded, late_amounts, plain_states
from nightrank.steps.own_segment import worth_of
from nightrank.steps.shopper_evidence import recent
from nightrank.steps.shopper_log import log_rows, read_facets, read_log, units_of
from nightrank.steps.user_profiles import profiles_as_of
from nightrank.tables import ANONYMOUS, USER_PROFILES

FACETS = 64
TOLERANCE = 1e-5
CORE = (
    "user_id string, facets array<struct<value:double,token:string>>, "
    "recent array<struct<ts:timestamp,item_id:string,action:string>>"
)


def core_by_nightrank(spark: SparkSession, events: str, out: str, night: date, config: Config) -> None:
    """Writes user_id, facets (value, token; heaviest first) and recent (ts, item_id, action; latest first)."""
    named = spark.read.parquet(events).where(F.col("user_id") != ANONYMOUS)
    held = T.StructType([field for field in USER_PROFILES.columns.fields if field.name in {"affinities", "recent"}])
    rows = log_rows(named, None, (night,), held)
    core = map_groups(rows, ("user_id",), _core_of(night, config), T.StructType.fromDDL(CORE))
    core.write.mode("overwrite").parquet(out)


def _core_of(night: date, config: Config) -> OfChunk:
    """What makes CORE of a chunk. A function within one travels to the workers, which do not know this file, whole."""
    section = config.user_profiles

    def core(chunk: pyarrow.Table) -> pyarrow.RecordBatch:
        log = read_log(chunk, (night,))
        facets = read_facets(log)
        amount = late_amounts(log, units_of(log, config.events.action_weights), section.half_life_nights, section)
        added = Added(facets.event, facets.code, facets.names, amount[:, None])
        states, sizes = flat(folded(log, plain_states("affinities", "token", section), added))
        worth = worth_of(states, sizes, log.asked[1], config)
        row, found = heaviest(worth, sizes, FACETS)
        columns = {"value": pyarrow.array(worth[row]), "token": states.field("token").take(pyarrow.array(row))}
        users = log.shoppers.take(pyarrow.array(log.asked[0]))
        made = [users, lists_of(columns, found), recent(log, facets, config)]
        return pyarrow.RecordBatch.from_arrays(made, ["user_id", "facets", "recent"])

    return core


def profiles_by_nightrank(spark: SparkSession, events: str, out: str, night: date, config: Config) -> None:
    """Writes the whole rows of `user_profiles`: three half-lives, dislikes, cycles, sessions and what else there is."""
    profiles_as_of(None, spark.read.parquet(events), (night,), config).write.mode("overwrite").parquet(out)


def core_by_duckdb(events: str, out: str, night: date, config: Config, memory: str) -> None:
    """Writes the same by DuckDB on two threads, with so much memory and the disk behind it."""
    weights = " ".join(f"WHEN '{name}' THEN {weight}" for name, weight in config.events.action_weights.items())
    takes = ", ".join(f"'{name}'" for name in config.events.takes)
    kept = 0.5 ** (1 / config.user_profiles.half_life_nights)
    query = f"""
        WITH events AS (FROM read_parquet('{events}/*.parquet') WHERE user_id <> 'anonymous'),
        weighed AS (
            SELECT user_id, unnest(facets) AS token,
                (CASE action {weights} ELSE 0 END) * pow({kept!r}, date_diff('day', run_date, DATE '{night}')) AS worth
            FROM events
        ),
        affinities AS (SELECT user_id, token, sum(worth) AS value FROM weighed WHERE worth > 0 GROUP BY ALL),
        facets AS (
            SELECT user_id, max({{'value': value, 'token': token}}, {FACETS}) AS facets FROM affinities GROUP BY user_id
        ),
        recent AS (
            SELECT user_id, max({{'ts': ts, 'item_id': item_id, 'action': action}}, {config.user_profiles.recent})
                FILTER (action IN ({takes})) AS recent
            FROM events GROUP BY user_id
        )
        SELECT user_id, coalesce(facets, []) AS facets, coalesce(recent, []) AS recent
        FROM recent LEFT JOIN facets USING (user_id)
    """
    _duckdb(Path(out).parent, memory).execute(f"COPY ({query}) TO '{out}' (FORMAT parquet)")


def refuse_other_results(nightrank: str, other: str) -> int:
    """How many shoppers both found. Raises AssertionError where their facets or recent items are not the same.

    Values may differ by TOLERANCE; of two facets that close together either may be the last of the list.
    """
    found = _duckdb(Path(other).parent, "2GB")
    found.execute(f"CREATE VIEW one AS FROM read_parquet('{nightrank}/*.parquet')")
    found.execute(f"CREATE VIEW other AS FROM read_parquet('{other}')")
    for name, first in {"one": "one", "other": "other"}.items():
        found.execute(
            f"CREATE VIEW {name}_facets AS SELECT user_id, least, f.token AS token, f.value AS value FROM ("
            f"SELECT user_id, list_min(list_transform(facets, lambda f: f.value)) AS least, unnest(facets) AS f "
            f"FROM {first})"
        )
    shoppers, alone, unlike = _row(found, """
        SELECT count(*), count(*) FILTER (one.user_id IS NULL OR other.user_id IS NULL),
            count(*) FILTER (list_transform(one.recent, lambda r: (epoch_us(r.ts), r.item_id, r.action))
                IS DISTINCT FROM list_transform(other.recent, lambda r: (epoch_us(r.ts), r.item_id, r.action)))
        FROM one FULL JOIN other USING (user_id)""")  # fmt: skip
    facets, worst, wrong = _row(found, f"""
        SELECT count(*), max(abs(a.value - b.value)),
            count(*) FILTER (a.value IS NULL AND abs(b.value - b.least) > {TOLERANCE}
                OR b.value IS NULL AND abs(a.value - a.least) > {TOLERANCE})
        FROM one_facets a FULL JOIN other_facets b ON a.user_id = b.user_id AND a.token = b.token""")  # fmt: skip
    assert (shoppers > 0, alone) == (True, 0), f"{alone} of {shoppers} shoppers are in one of the results only"
    assert not unlike, f"the recent items of {unlike} of {shoppers} shoppers differ"
    assert (facets > 0, wrong) == (True, 0), f"{wrong} of {facets} facets are in one of the results only"
    assert worst <= TOLERANCE, f"facets are up to {worst} apart"
    return int(shoppers)


def _row(found: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row = found.execute(query).fetchone()
    assert row is not None
    return row


def _duckdb(folder: Path, memory: str) -> duckdb.DuckDBPyConnection:
    settings = {"threads": 2, "memory_limit": memory, "temp_directory": str(folder / "duckdb_spill")}
    # Of the writer's order nobody asks anything, and keeping it costs DuckDB memory.
    return duckdb.connect(config={**settings, "preserve_insertion_order": False})
