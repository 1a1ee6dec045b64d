"""`nightrank rollback --to <night>`: what was live on an earlier night is live again: alias, ledger, tokens, rows.

The last night of the ledger is written anew, in an order that running the command again repairs wherever it was cut
off: first MLflow's alias (it decides nothing, and a registry that is down leaves everything as it was), then the
ledger, then the tokens that the old rows speak of, and at last the rows. Each is one commit, and the night that is gone
back to is only read.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank import tables
from nightrank.config import Config
from nightrank.contract import Table
from nightrank.errors import ContractError, UsageError
from nightrank.models.outbox import Note, keep_note
from nightrank.models.registry import CHAMPION, point_alias
from nightrank.models.tracking import send_notes
from nightrank.nights import BEGINNING, end_of, ordinary_night
from nightrank.steps.item_tokens import build_item_tokens
from nightrank.steps.persons import rows_still_served
from nightrank.steps.promotions import NO_RANKER
from nightrank.steps.rankers import load_ranker_of
from nightrank.storage import nights_of, read_table, replace_night


def roll_back(spark: SparkSession, config: Config, to: date) -> str:
    """What was done, in a line. The ranker live on night `to` is the champion, and readers get the rows of that night.

    Raises UsageError for a night that the ledger does not have, ContractError where its ranker or rows are gone or
    altered, TryAgainError where MLflow cannot be reached; nothing is changed then.
    """
    last = _last_night(spark, config, to)
    ledger = _night_of(spark, config, tables.PROMOTIONS, to).collect()[0]
    _refuse_if_gone(spark, config, to, ledger)
    point_alias(config, CHAMPION, ledger.live_id, None)
    if to == last:
        return f"Night {to} is the ledger's last: ranker {ledger.live_id} is live already, its alias was set again."
    _rewrite_ledger(spark, config, to, last, ledger)
    _publish_tokens(spark, config, last, ledger)
    rows = _publish_rows(spark, config, to, last)
    keep_note(config, Note(str(last), "rerank", "rollback", tags={"rolled_back_to": str(to)}))
    send_notes(config)
    return f"Rolled back to night {to}: ranker {ledger.live_id} is the champion, {rows} rows are live as night {last}."


def _last_night(spark: SparkSession, config: Config, to: date) -> date:
    held = nights_of(spark, config.lake, tables.PROMOTIONS)
    if to not in held:
        known = f"found {len(held)} nights, {held[0]} to {held[-1]}" if held else "found none"
        raise UsageError(f"Cannot roll back to night {to}: expected a night of the ledger 'promotions', {known}.")
    return held[-1]


def _refuse_if_gone(spark: SparkSession, config: Config, to: date, ledger: Any) -> None:
    if ledger.live_id == NO_RANKER:
        raise ContractError(f"Cannot roll back to night {to}: no ranker was live on it. Name a later night with --to.")
    load_ranker_of(_all_nights(spark, config, tables.RANKER_RUNS, to), ledger.live_id, config)
    makers = {row.ranker_id for row in _night_of(spark, config, tables.RERANK_WEIGHTS, to).limit(1).collect()}
    if makers != {ledger.live_id}:
        raise ContractError(
            f"Cannot roll back to night {to}: expected its rows in 'rerank_weights' by ranker {ledger.live_id}, found "
            f"{', '.join(sorted(makers)) or 'none'}. Name a night with --to whose rows are kept."
        )


def _rewrite_ledger(spark: SparkSession, config: Config, to: date, last: date, ledger: Any) -> None:
    """Promoted, so that the nights after it find their champion here; the evidence of the last night stays."""
    frame = (
        _night_of(spark, config, tables.PROMOTIONS, last)
        .withColumn("live_id", F.lit(ledger.live_id))
        .withColumn("live_code_version", F.lit(ledger.live_code_version).cast("string"))
        .withColumn("promoted", F.lit(True))
        .withColumn("reason", F.lit(f"rolled back to {to}"))
    )
    replace_night(frame, config.lake, tables.PROMOTIONS, last, last)


def _publish_tokens(spark: SparkSession, config: Config, last: date, ledger: Any) -> None:
    """The tokens of the old code version for tonight's items, beside those that are there."""
    held = _night_of(spark, config, tables.ITEM_TOKENS, last)
    if not held.where(F.col("code_version") == ledger.live_code_version).isEmpty():
        return
    built = build_item_tokens(
        items=_night_of(spark, config, tables.ITEMS, last),
        item_embeddings=_all_nights(spark, config, tables.ITEM_EMBEDDINGS, last),
        item_neighbours=_night_of(spark, config, tables.ITEM_NEIGHBOURS, last),
        ranker_runs=_all_nights(spark, config, tables.RANKER_RUNS, last),
        promotions=_night_of(spark, config, tables.PROMOTIONS, last),
        night=ordinary_night(last, ()),
        config=config,
    )
    missing = built.where(F.col("code_version") == ledger.live_code_version)
    frame = held.unionByName(missing.withColumn("run_date", F.lit(last)))
    replace_night(frame, config.lake, tables.ITEM_TOKENS, last, last)


def _publish_rows(spark: SparkSession, config: Config, to: date, last: date) -> int:
    """How many rows of night `to` are now those of the last night, valid as long as its own were."""
    until = end_of(last) + timedelta(days=config.rerank_weights.valid_nights)
    then, now = (_night_of(spark, config, tables.PEOPLE, night) for night in (to, last))
    rows = rows_still_served(_night_of(spark, config, tables.RERANK_WEIGHTS, to), then, now, to)
    published = rows.drop("run_date").withColumn("valid_until", F.lit(until))
    return replace_night(published, config.lake, tables.RERANK_WEIGHTS, last, last)


def _night_of(spark: SparkSession, config: Config, table: Table, night: date) -> DataFrame:
    return read_table(spark, config.lake, table, night, night)


def _all_nights(spark: SparkSession, config: Config, table: Table, last: date) -> DataFrame:
    return read_table(spark, config.lake, table, BEGINNING, last)
