"""A whole night with towers that learn from sequences, on the small shop: rows out of them, twice the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from nightrank import tables
from nightrank.asked import the_night
from nightrank.config import Config
from nightrank.models.int8 import from_int8
from nightrank.models.likeness import direction
from nightrank.models.row import DECIMALS, code_token
from nightrank.runner import run_nights, run_stage
from nightrank.stages import STAGES
from nightrank.steps.rankers import load_ranker_of
from nights import LAST, Lake, copy_of, hashes, loaded, rows_of

FROM_EXAMPLES_ON = ("training_examples", "ranker_runs", "item_tokens", "gates", "evaluations", "promotions")
AT = [[(level, code) for code in range(8)] for level in range(2)]
ANYTHING = {"margin": 1.0, "least_gain": -1.0}  # whatever was learned is promoted
SETTINGS = {"tower": "sequence", "sequence": {"longest": 10, "width": 16, "epochs": 2, "min_shoppers": 10}}


def recents_of(spark: SparkSession, config: Config, code_version: str) -> dict[str, np.ndarray]:
    """The vectors of each shopper's recent items, newest first, [L, dims]."""
    items = rows_of(spark, config, tables.ITEM_TOKENS, LAST).where(F.col("code_version") == code_version).collect()
    vectors = {row.item_id: from_int8(row.vector) for row in items}
    profiles = rows_of(spark, config, tables.USER_PROFILES, LAST).select("user_id", "recent.item_id").collect()
    newest = {row.user_id: list(dict.fromkeys(row.item_id))[: config.training_examples.recent] for row in profiles}
    return {user: np.array([vectors[item] for item in some]) for user, some in newest.items() if some}


@pytest.mark.long
def test_a_night_with_towers_makes_rows_of_them_and_a_rerun_the_same(
    spark: SparkSession, lake: Lake, tmp_path: Path
) -> None:
    config = loaded(copy_of(lake, tmp_path, before=True, ranker_runs=SETTINGS, promotions=ANYTHING))
    run_nights(spark, config, "nightly", [LAST])
    runs = rows_of(spark, config, tables.RANKER_RUNS, LAST)
    ranker_id = runs.collect()[0].ranker_id
    ranker = load_ranker_of(runs, ranker_id, config)
    assert ranker.tower_id is not None, "too few shoppers: the night fell back to words"
    assert rows_of(spark, config, tables.GATES, LAST).where(F.col("ranker_id") == ranker_id).count() > 0

    rows = rows_of(spark, config, tables.RERANK_WEIGHTS, LAST).collect()
    assert {row.ranker_id for row in rows} == {ranker_id}
    codes, recents = ranker.codebook.astype(np.float64), recents_of(spark, config, ranker.code_version)
    some = [row for row in rows if any(row.interest) and row.user_id in recents][:20]
    assert len({tuple(row.interest) for row in some}) > 10
    # (a (u - mean u) + c_last v_last + c_mean m).C, centred a level: u is told to int8's step, weights are rounded.
    apart = 0.5 * 10.0**-DECIMALS + 0.02 * ranker.a * np.abs(codes).sum(axis=2).max()
    for row in some:
        told = recents[row.user_id], config.training_examples.recent_decay ** np.arange(len(recents[row.user_id]))
        expected = codes @ direction(ranker, from_int8(row.interest) - ranker.mean_shopper, *told)
        expected -= expected.mean(axis=1, keepdims=True)
        found = [[row.facet_weights.get(code_token(ranker.code_version, *at), 0.0) for at in level] for level in AT]
        np.testing.assert_allclose(found, expected, atol=apart)

    first = hashes(spark, config, since=LAST)
    for name in (*FROM_EXAMPLES_ON, "rerank_weights"):
        stage = next(stage for stage in STAGES if stage.name == name)
        run_stage(spark, config, stage, the_night(spark, config, LAST))
    assert hashes(spark, config, since=LAST) == first
