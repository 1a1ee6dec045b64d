"""The tower between its fits: what is told of its codes every night, and where a refit is proposed."""

from __future__ import annotations

import logging
from datetime import date

import numpy as np
import pytest
from pyspark.sql import SparkSession

from nightrank.config import Config
from nightrank.models.artefact import Ranker, code_version
from nightrank.models.feature_names import ENGINE_FEATURES, SHOPPER_FEATURES
from nightrank.models.registry import keep_ranker
from nightrank.nights import ordinary_night
from nightrank.sections import LakeConfig, RankerRunsConfig
from nightrank.steps.tower import FITTED_ERROR, Tower, code_figures, fitted_tower, standing_tower
from nightrank.tables import RANKER_RUNS

FITTED, TONIGHT = date(2026, 3, 1), date(2026, 3, 3)
SETTINGS = RankerRunsConfig(dims=2, levels=1, codes=4, refit_drift=0.1)
BOOK = np.array([[[1, 0], [0, 1], [-1, 0], [0, -1]]], np.float32)
VERSION = code_version(np.eye(2, dtype=np.float32), BOOK)


def tower(error: float | None) -> Tower:
    return Tower(np.eye(2, dtype=np.float32), BOOK, FITTED, error)


def config(path: object = "nowhere") -> Config:
    return Config(lake=LakeConfig(path=str(path)), ranker_runs=SETTINGS)


def test_drift_beyond_the_setting_proposes_a_refit(caplog: pytest.LogCaptureFixture) -> None:
    # Unit vectors, each at a squared distance of 0.2² + 0.6² from code 0 or 1.
    embeddings = np.array([[0.8, 0.6], [0.6, 0.8], [0, 0]], np.float32)
    with caplog.at_level(logging.INFO, logger="nightrank"):
        found = code_figures(tower(error=0.3), embeddings, config())
    assert found["code_error"] == pytest.approx(0.4, rel=1e-6)
    assert found["code_drift"] == pytest.approx(1 / 3, rel=1e-5)
    assert (found[FITTED_ERROR], found["refit_proposed"], found["codes_crowded"]) == (0.3, 1.0, 0.0)
    assert f"codes={VERSION} fitted=2026-03-01 code_drift=0.3333 code_error=0.4 " in caplog.text
    assert "a refit is proposed: error +33% since they were fitted, ranker_runs.refit_drift is 0.1" in caplog.text


def test_below_it_none_is_and_crowded_codes_are_named(caplog: pytest.LogCaptureFixture) -> None:
    embeddings = np.array([[1, 0]] * 7 + [[0.8, 0.6]], np.float32)
    found = code_figures(tower(error=0.05), embeddings, config())
    assert found["code_drift"] == pytest.approx(0.4 / 8 / 0.05 - 1, abs=1e-6)
    assert (found["refit_proposed"], found["codes_crowded"], found["code_largest_share"]) == (0.0, 1.0, 4.0)
    assert f"code=code:{VERSION}:0:0 holds=4.0 fair shares of the items" in caplog.text
    assert "a refit is proposed" not in caplog.text


def test_where_the_error_at_the_fit_is_not_known_no_drift_is_told() -> None:
    found = code_figures(tower(error=None), np.eye(2, dtype=np.float32), config())
    assert not {"code_drift", FITTED_ERROR} & set(found)
    assert found["refit_proposed"] == 0.0


def test_the_error_of_the_fit_goes_with_the_tower_from_night_to_night(spark: SparkSession, tmp_path: object) -> None:
    embeddings = np.array([[0.8, 0.6], [0.6, 0.8], [-1, 0], [0, -1], [0.8, -0.6]], np.float32)
    fitted = fitted_tower(np.eye(2, dtype=np.float32), embeddings, ordinary_night(FITTED, ()), config(tmp_path))
    figures = code_figures(fitted, embeddings, config(tmp_path))
    assert figures["code_drift"] == 0.0
    assert figures["code_error"] == figures[FITTED_ERROR] > 0
    held = keep_ranker(config(tmp_path), ranker(fitted))
    for metrics, expected in ((figures, fitted.error), ({"valid_ndcg": 0.5}, None)):
        row = {"run_date": FITTED, "ranker_id": held, "status": "trained", "encoder_version": "e1"}
        row |= {"tower_night": FITTED, "metrics": metrics, "artefact_uri": "runs:/none"}
        runs = spark.createDataFrame([tuple(map(row.get, RANKER_RUNS.schema.names))], RANKER_RUNS.schema)
        stands = standing_tower(runs, "e1", ordinary_night(TONIGHT, ()), config(tmp_path))
        assert stands is not None
        assert (stands.night, stands.error) == (FITTED, expected)
        np.testing.assert_array_equal(stands.codebook, fitted.codebook)


def ranker(fitted: Tower) -> Ranker:
    return Ranker(
        code_version=code_version(fitted.projection, fitted.codebook),
        encoder_version="e1",
        tower_night=fitted.night,
        projection=fitted.projection,
        codebook=fitted.codebook,
        a=1.0,
        shopper_coefficients=np.zeros(len(SHOPPER_FEATURES)),
        engine_coefficients=np.ones((3, len(ENGINE_FEATURES))),
        mean_shopper=np.zeros(2, np.float32),
        recent=3,
        recent_decay=0.9,
    )
