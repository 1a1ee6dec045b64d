"""rerank_weights: the product: one row of rerank weights a shopper, a segment, and anonymous."""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.arrays import collect_arrays
from nightrank.steps.compiling import COMPILED, compile_profiles, share_indexed
from nightrank.steps.gating import gated_rows
from nightrank.steps.promotions import NO_RANKER
from nightrank.steps.rankers import load_ranker_of
from nightrank.tables import ANONYMOUS


def build_rerank_weights(
    user_profiles: DataFrame,
    item_neighbours: DataFrame,
    item_tokens: DataFrame,
    segments: DataFrame,
    gates: DataFrame,
    ranker_runs: DataFrame,
    promotions: DataFrame,
    people: DataFrame,
    night: Night,
    config: Config,
) -> DataFrame:
    """The rows that serve the day after the night, made by the ranker that the ledger says is live.

    Gates are closed while nothing was ever promoted; without any ranker there is one row, anonymous, of no weights.
    """
    columns = ("live_id", "live_code_version", "promoted", "champion_id")
    ledger = collect_arrays(promotions.select(*columns), 1, "ledger rows of one night")
    live, version = str(ledger["live_id"][0]), ledger["live_code_version"][0]
    trusted = bool(ledger["promoted"][0]) or ledger["champion_id"][0] is not None
    if live == NO_RANKER:
        rows = _nobody(promotions)
    else:
        ranker = load_ranker_of(ranker_runs, live, config)
        catalogue = share_indexed(item_tokens, item_neighbours, config)(ranker.code_version)
        rows = DataFrame.unionByName(*compile_profiles(user_profiles, people, segments, catalogue, ranker, config))
    return (
        gated_rows(rows, gates, live, open_gates=trusted)
        .withColumn("interest", F.col("interest") if config.rerank_weights.with_interest else F.lit(None))
        .withColumn("interest", F.col("interest").cast("array<tinyint>"))
        .withColumn("code_version", F.lit(version).cast("string"))
        .withColumn("ranker_id", F.lit(live))
        .withColumn("policy_id", F.lit(config.rerank_weights.policy_id))
        .withColumn("valid_until", F.lit(night.cut + timedelta(days=config.rerank_weights.valid_nights)))
    )


def _nobody(frame: DataFrame) -> DataFrame:
    return frame.sparkSession.createDataFrame([(ANONYMOUS, {}, {}, None, 0, None, None, None)], COMPILED)
