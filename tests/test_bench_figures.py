"""The derivation behind `make bench-online-retail` agrees with what is published of it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

# Benchmarks are scripts beside the tests, not a package.
sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))

import derived_retail as retail
import retail_nightly
from figures import say_figures
from retail_nightly import nightly_config, nightly_figures

from nightrank.config import load_config

# nDCG@10 on clean slates as published, all sessions and those whose item is new to the customer.
PUBLISHED = {"random": (0.362, 0.368), "popularity": (0.534, 0.484), "repeats_recent": (0.618, 0.494)}
STANDARD_ERROR = 0.006


def test_a_query_is_the_head_noun_or_the_last_two_words_of_ten_items() -> None:
    tins = [f"SET OF {number} CAKE TINS" for number in range(10)]
    titles = [*tins, "SMALL CAKE KNIFE", "HEART OF WICKER SMALL", "WHITE", "TEA CUP 3D"]
    assert retail.derived_queries(titles)[9:] == ["CAKE TINS", "KNIFE", "WICKER", "", "CUP"]
    assert retail.derived_queries(titles[1:])[8] == "TINS"


def test_an_item_text_never_holds_its_query() -> None:
    assert retail.hidden_title("SET OF 3 CAKE TINS", "CAKE TINS") == "set of 3"
    assert retail.hidden_title("NECKLACE", "NECKLACE") == "plain"


def test_figures_are_printed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    say_figures("some", {"derived": "true", "rows": 0.61234567, "sessions": 3})
    assert capsys.readouterr().out == "derived=true\nrows=0.6123\nsessions=3\n"
    assert '"rows": 0.6123' in (tmp_path / "build" / "bench" / "some.json").read_text()


def test_a_night_knows_what_was_bought_before_the_day_that_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six tins alike, the last of them bought on Monday: on Tuesday it is the most popular, and the customer's own.

    Wednesday has no session: this shop is closed on some days.
    """
    bought = [
        *[(f"t{n}", "anna", "2011-11-01") for n in range(6)],
        ("t5", "bert", "2011-11-07"),
        ("new", "bert", "2011-11-07"),
    ]
    rows = [
        {
            "item_id": item,
            "user_id": user,
            "ts": pandas.Timestamp(day) + pandas.Timedelta(hours=9),
            "title": "CAKE TINS",
        }
        for item, user, day in [*bought, ("t5", "bert", "2011-11-08")]
    ]
    lines = pandas.DataFrame(rows)
    shelf = retail.shelf_before(lines[:6])
    sessions = retail.sessions_from(lines[6:], shelf)
    config = load_config("conf/base.yaml")
    monkeypatch.setattr(retail_nightly, "_run", lambda *_: None)
    monkeypatch.setattr(retail_nightly, "_ranked", lambda _, __, night, base, *___: nights.append(night) or base)
    nights: list[object] = []
    found = nightly_figures(None, config, lines, sessions, shelf, 3)
    assert nights == [pandas.Timestamp(day).date() for day in ("2011-11-06", "2011-11-07", "2011-11-08")]
    assert (found["sessions_nightly"], found["sessions_new_nightly"]) == (2, 1)
    ties = np.random.default_rng(retail.SEED).permutation(6)
    of_monday = 1 / np.log2(2 + (ties < ties[5]).sum())
    assert found["repeats_recent_nightly"] == pytest.approx((1 + of_monday) / 2)
    assert found["rows_nightly_new"] == pytest.approx(of_monday)
    calendar = nightly_config(config, [pandas.Timestamp(day).date() for day in ("2011-11-07", "2011-11-08")]).calendar
    assert (str(calendar.bulk_until), calendar.nights) == ("2011-11-06", 1)


@pytest.mark.real_data
def test_the_baselines_agree_with_the_published_table() -> None:
    if not retail.PARQUET.exists():
        pytest.skip(f"REAL DATA ABSENT: {retail.PARQUET.name} is not beside the project; its figures are unchecked")
    lines = retail.known_lines()
    assert (len(lines), lines["invoice"].nunique(), lines["user_id"].nunique(), lines["item_id"].nunique()) == (
        397_924, 18_536, 4_339, 3_665,
    )  # fmt: skip
    before, after = lines[lines["ts"] <= retail.CUT], lines[lines["ts"] > retail.CUT]
    shelf = retail.shelf_before(before)
    sessions = retail.judged_sessions(before, after, shelf)
    # The published count, 12,791, is not reached by any reading of the rule that gives the other figures.
    assert len(sessions.taken) == pytest.approx(12_791, rel=0.04)
    assert sessions.mask.sum() / len(sessions.taken) == pytest.approx(16.9, abs=0.3)
    new = retail.new_to_customer(before, sessions, shelf)
    for name, scores in retail.baseline_scores(before, sessions, shelf, retail.CUT).items():
        ndcg = retail.ndcg_of(scores, sessions, shelf)
        if name in PUBLISHED:
            assert (ndcg.mean(), ndcg[new].mean()) == pytest.approx(PUBLISHED[name], abs=2 * STANDARD_ERROR), name
