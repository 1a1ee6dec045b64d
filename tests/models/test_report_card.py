"""Figures of judged searches: slices, weights, pairs."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.models.report_card import Figure, below_baselines, compile_loss, figures

ROWS = [
    # run_date, query_id, user_id, method, part, query_class, returning, head, derived, ndcg, mrr, recall, diversity,
    # weight
    ("2026-01-01", "q1", "u1", "shop", "organic", "category", True, True, False, 0.5, 0.5, 1.0, 0.8, 2.0),
    ("2026-01-01", "q1", "u1", "challenger", "organic", "category", True, True, False, 1.0, 1.0, 1.0, 0.4, 2.0),
    ("2026-01-01", "q2", "u2", "shop", "organic", "exploratory", False, False, False, 0.4, 0.25, 0.0, np.nan, 1.0),
    ("2026-01-01", "q2", "u2", "challenger", "organic", "exploratory", False, False, False, 0.2, 0.2, 0.0, np.nan, 1.0),
    ("2026-01-02", "q1", "u1", "shop", "organic", "category", True, True, False, 0.0, 0.1, 0.0, 0.8, 1.0),
    ("2026-01-01", "q1", "u1", "als", "organic", "category", True, True, False, 0.9, 1.0, 1.0, 0.8, 2.0),
    ("2026-01-01", "q2", "u2", "als", "organic", "exploratory", False, False, False, 0.7, 0.5, 1.0, np.nan, 1.0),
    ("2026-01-01", "q2", "u2", "ease", "organic", "exploratory", False, False, False, 0.6, 0.5, 1.0, np.nan, 1.0),
    ("2026-01-01", "q1", "u1", "full", "organic", "category", True, True, False, 0.9, 1.0, 1.0, 0.8, 2.0),
    ("2026-01-01", "q2", "u2", "full", "organic", "exploratory", False, False, False, 0.8, 0.5, 1.0, np.nan, 1.0),
    ("2026-01-02", "q9", "u1", "shown", "sponsored", "category", True, True, False, 0.7, 1.0, 1.0, 0.8, 1.0),
]
COLUMNS = (
    "run_date query_id user_id method part query_class returning head derived ndcg mrr recall diversity weight".split()  # noqa: SIM905  (a header line reads better)
)


@pytest.fixture
def found() -> dict[tuple[str, str, str, str], Figure]:
    judged = {name: np.array([row[n] for row in ROWS]) for n, name in enumerate(COLUMNS)}
    return {(f.method, f.versus, f.slice, f.metric): f for f in figures(judged, draws=50)}


def test_every_metric_is_weighted_by_inverse_propensity(found: dict) -> None:
    assert found[("shop", "", "all", "ndcg")].value == pytest.approx((2 * 0.5 + 0.4 + 0.0) / 4)
    assert found[("shop", "", "all", "mrr")].value == pytest.approx((2 * 0.5 + 0.25 + 0.1) / 4)


def test_the_difference_is_paired_on_the_searches_that_both_ranked(found: dict) -> None:
    difference = found[("challenger", "shop", "all", "ndcg")]
    assert difference.value == pytest.approx((2 * 0.5 - 0.2) / 3)
    assert (difference.searches, difference.users) == (2, 2)
    assert difference.user_value == pytest.approx((0.5 - 0.2) / 2)


def test_slices_hold_their_own_searches(found: dict) -> None:
    assert found[("shop", "", "class:exploratory", "ndcg")].value == pytest.approx(0.4)
    assert found[("challenger", "", "returning", "ndcg")].value == pytest.approx(1.0)
    assert found[("challenger", "", "tail", "ndcg")].value == pytest.approx(0.2)


def test_sponsored_slots_have_rows_of_their_own(found: dict) -> None:
    assert found[("shown", "", "sponsored", "ndcg")].value == pytest.approx(0.7)
    assert ("shown", "", "all", "ndcg") not in found


def test_baselines_have_figures_of_all_searches_only(found: dict) -> None:
    assert found[("als", "", "all", "ndcg")].value == pytest.approx((2 * 0.9 + 0.7) / 3)
    assert ("als", "", "class:exploratory", "ndcg") not in found
    assert ("challenger", "als", "class:exploratory", "ndcg") not in found


def test_a_ranker_below_a_baseline_is_found_the_largest_difference_first(found: dict) -> None:
    # On what both ranked: ease .2 - .6; als 2 (1 - .9) + .2 - .7, of three; the shop is behind.
    below = [(f.method, f.versus, round(f.value, 12)) for f in below_baselines(list(found.values()))]
    assert below == [("challenger", "ease", -0.4), ("challenger", "als", -0.1)]


def test_the_compile_loss_is_the_whole_ranker_less_its_rows_which_are_not_below_it(found: dict) -> None:
    loss = compile_loss(list(found.values()))
    assert loss is not None
    assert loss.value == pytest.approx((2 * (0.9 - 1.0) + 0.8 - 0.2) / 3)
    assert (loss.searches, loss.users) == (2, 2)
    assert found[("full", "challenger", "class:exploratory", "ndcg")].value == pytest.approx(0.6)
    # The whole ranker is what rows are made of, and no rival of them.
    assert ("challenger", "full", "all", "ndcg") not in found
    assert compile_loss([f for f in found.values() if f.method != "full"]) is None


def test_the_diversity_of_lists_without_vectors_is_not_counted(found: dict) -> None:
    assert found[("challenger", "", "all", "diversity")].value == pytest.approx(0.4)
    assert found[("challenger", "", "all", "diversity")].searches == 1
    assert ("challenger", "", "class:exploratory", "diversity") not in found


def test_what_an_engine_gains_by_adding_priors_is_no_baseline() -> None:
    names = (("shop", 0.5), ("challenger", 0.6), ("prior", 0.9), ("with_prior", 0.7))
    rows = [(*ROWS[1][:3], name, *ROWS[1][4:9], ndcg, *ROWS[1][10:]) for name, ndcg in names]
    judged = {name: np.array([row[n] for row in rows]) for n, name in enumerate(COLUMNS)}
    found = figures(judged, draws=50)
    told = {(f.method, f.versus): f.value for f in found if f.versus and f.slice == "all"}
    expected = {("prior", "shop"): 0.4, ("challenger", "prior"): -0.3}
    expected |= {("with_prior", "challenger"): 0.1, ("challenger", "shop"): 0.1}
    assert told == pytest.approx(expected)
    assert below_baselines(found) == []


def test_rows_are_compared_with_those_without_diversity_and_are_not_below_a_baseline_by_that() -> None:
    rows = [(*ROWS[1][:9], 0.8, *ROWS[1][10:]), (*ROWS[1][:3], "undiversified", *ROWS[1][4:])]
    judged = {name: np.array([row[n] for row in rows]) for n, name in enumerate(COLUMNS)}
    figure = next(f for f in figures(judged, draws=50) if f.versus == "undiversified")
    assert (figure.method, figure.value) == ("challenger", pytest.approx(-0.2))
    assert below_baselines([figure]) == []
