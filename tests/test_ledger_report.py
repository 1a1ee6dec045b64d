"""Whom a ranker helps and harms, in words."""

from __future__ import annotations

from nightrank.ledger_report import shares_in_words
from nightrank.models.report_card import Figure


def share(metric: str, name: str, value: float, lower: float, upper: float) -> Figure:
    return Figure("challenger", "shop", name, metric, value, lower, upper, 0.01, 40, 20)


def test_each_slice_is_a_line_of_three_shares_with_their_intervals() -> None:
    slices = {"all": 0.25, "class:category": 0.1}
    found = [
        share(metric, name, value, value - 0.05, value + 0.05)
        for name, value in slices.items()
        for metric in ("helped", "harmed", "untouched")
    ]
    other = Figure("challenger", "shop", "all", "ndcg", 0.1, 0.0, 0.2, 0.1, 40, 20)
    _, everyone, category = shares_in_words([other, *found]).splitlines()
    assert everyone.split() == ["challenger", "all", "20", *["25.0", "%", "[20.0,", "30.0]"] * 3]
    assert category.split()[:3] == ["challenger", "class:category", "20"]


def test_while_nobody_was_judged_it_says_so() -> None:
    assert shares_in_words([]) == "Nobody's searches were judged yet."
