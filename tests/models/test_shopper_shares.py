"""Shares of shoppers who are helped, harmed and untouched."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.models.report_card import Figure
from nightrank.models.shopper_shares import shares_of, shopper_shares

# query, user, class, segment, the shop's nDCG, the challenger's, weight
SEARCHES = [
    ("q1", "u1", "category", "segment:a", 0.5, 0.9, 1.0),
    ("q2", "u1", "category", "segment:a", 0.5, 0.4, 3.0),
    ("q3", "u2", "category", "segment:a", 0.5, 0.2, 1.0),
    ("q4", "u3", "exploratory", "", 0.5, 0.5, 1.0),
    ("q5", "u4", "exploratory", "segment:a", 0.5, 0.4, 1.0),
    ("q6", "u4", "category", "segment:a", 0.5, 0.8, 1.0),
    ("q7", "anonymous", "category", "", 0.5, 0.1, 1.0),
]


def rows(method: str, at: int) -> list[tuple]:
    return [("2026-01-01", s[0], s[1], method, "organic", s[2], s[3], s[at], s[6]) for s in SEARCHES]


@pytest.fixture
def found() -> dict[tuple[str, str], Figure]:
    names = ("run_date", "query_id", "user_id", "method", "part", "query_class", "segment", "ndcg", "weight")
    told = [
        *rows("shop", 4),
        *rows("challenger", 5),
        ("2026-01-01", "q1", "u1", "shown", "sponsored", "", "", 0.1, 1.0),
    ]
    judged = {name: np.array([row[n] for row in told]) for n, name in enumerate(names)}
    return {(f.metric, f.slice): f for f in shares_of(shopper_shares(judged, draws=200, nobody="anonymous"))}


def test_a_shopper_counts_once_by_the_weighted_mean_of_their_changes(found: dict) -> None:
    # u1: (.4 - 3 * .1) / 4 = +.025; u2 -.3; u3 0; u4 (-.1 + .3) / 2 = +.1; the anonymous are no one shopper.
    shares = {metric: found[metric, "all"].value for metric in ("helped", "harmed", "untouched")}
    assert shares == {"helped": 0.5, "harmed": 0.25, "untouched": 0.25}
    assert found["helped", "all"].user_value == pytest.approx((0.025 + 0.1) / 2)
    assert found["harmed", "all"].user_value == pytest.approx(-0.3)
    assert found["untouched", "all"].user_value == 0.0
    assert (found["helped", "all"].searches, found["helped", "all"].users) == (6, 4)


def test_classes_and_segments_have_shares_of_their_own(found: dict) -> None:
    assert found["helped", "class:exploratory"].value == 0.0
    assert found["harmed", "class:exploratory"].value == 0.5  # u4 there
    assert found["helped", "segment:a"].value == pytest.approx(2 / 3)
    assert found["untouched", "no segment"].value == 1.0
    slices = {name for _, name in found}
    assert slices == {"all", "class:category", "class:exploratory", "segment:a", "no segment"}


def test_an_interval_stays_within_0_and_1_and_one_shopper_says_nothing_of_others(found: dict) -> None:
    half = found["helped", "all"]
    assert 0.0 <= half.lower < half.value < half.upper <= 1.0
    alone = found["untouched", "no segment"]
    assert (alone.lower, alone.upper, alone.users) == (0.0, 1.0, 1)
