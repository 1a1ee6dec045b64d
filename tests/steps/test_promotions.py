"""promotions: the ledger's decisions and the evidence in it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from nightrank import tables
from nightrank.config import Config
from nightrank.models.outbox import waiting_notes
from nightrank.models.report_card import Figure
from nightrank.sections import LakeConfig
from nightrank.steps.promotions import build_promotions, decide, note_figures

CONFIG = Config()


def difference(versus: str, lower: float) -> Figure:
    return Figure("challenger", versus, "all", "ndcg", lower + 0.01, lower, lower + 0.02, 0.0, 100, 50)


@pytest.mark.parametrize(
    ("found", "challenger", "champion", "promoted", "why"),
    [
        ([], None, "old", False, "no challenger"),
        ([], "new", None, False, "nothing to judge"),
        ([difference("shop", 0.0)], "new", None, True, "no champion"),
        ([difference("shop", -0.0001)], "new", None, False, "against alpha 0"),
        ([difference("shop", 0.01), difference("champion", -0.0019)], "new", "old", True, "against the champion"),
        ([difference("shop", 0.01), difference("champion", -0.002)], "new", "old", False, "against the champion"),
    ],
)
def test_the_rule(found, challenger, champion, promoted, why):
    decided, reason = decide(found, challenger, champion, "c1", CONFIG)
    assert decided is promoted
    assert why in reason


@pytest.mark.parametrize(("versus", "promoted"), [("shop", False), ("prior", False), (None, True)])
def test_an_engine_that_adds_priors_is_to_be_better_with_rows_than_with_priors_alone_and_than_the_shop(
    versus, promoted
):
    adds = CONFIG.item_tokens.model_copy(update={"prior_added": True})
    found = [difference(name, -0.01 if name == versus else 0.01) for name in ("shop", "prior")]
    assert decide(found, "new", None, "c1", CONFIG.model_copy(update={"item_tokens": adds}))[0] is promoted
    assert decide(found, "new", None, "c1", CONFIG)[0] is (versus != "shop")


def test_a_code_version_that_the_shop_has_not_indexed_waits():
    waiting = CONFIG.model_copy(
        update={"item_tokens": CONFIG.item_tokens.model_copy(update={"indexed_code_version": "c0"})}
    )
    decided, reason = decide([difference("shop", 0.01)], "new", None, "c1", waiting)
    assert not decided
    assert "c1 is not indexed yet: the shop says c0" in reason


def judged(night, query, user, method, ndcg):
    facts = ("category", True, False, False, "segment:t" if user != "u0" else None)
    return (night, query, user, method, "organic", None, *facts, ndcg, ndcg, ndcg, None, 1.0, None, None)


@pytest.fixture(scope="module")
def ledger(spark, small_shop):
    """Two nights of twenty shoppers; the challenger is .1 above the shop, own repeats are .15, its whole ranker .12."""
    tonight = small_shop.night.run_date
    better = {"shop": 0.0, "challenger": 0.1, "repeats": 0.15, "popularity": 0.05, "full": 0.12}
    rows = [
        judged(night, f"q{n}", f"u{n}", method, 0.5 + 0.001 * n + better[method])
        for night in (tonight - timedelta(days=1), tonight)
        for n in range(20)
        for method in better
    ]
    frame = build_promotions(
        evaluations=spark.createDataFrame(rows, tables.EVALUATIONS.schema), ranker_runs=small_shop.ranker_runs,
        promotions=small_shop.promotions, night=small_shop.night, config=small_shop.config,
    )  # fmt: skip
    return tables.PROMOTIONS.conform(frame).collect()[0]


def test_a_better_challenger_is_promoted_and_goes_live(ledger, small_shop):
    assert ledger.promoted
    assert (ledger.live_id, ledger.live_code_version, ledger.champion_id) == (small_shop.ranker_id, "c1", None)
    assert ledger.judged_nights == 2


def test_the_figures_are_in_the_row_pooled_over_the_nights(ledger):
    figure = next(f for f in ledger.figures if (f.method, f.versus, f.slice) == ("challenger", "shop", "all"))
    assert figure.value == pytest.approx(0.1)
    assert (figure.searches, figure.users) == (40, 20)


def test_the_row_tells_whom_the_challenger_helps_by_class_and_segment(ledger):
    helped = {f.slice: (f.value, f.user_value, f.users) for f in ledger.figures if f.metric == "helped"}
    assert {name: figure[2] for name, figure in helped.items()} == {
        "all": 20, "class:category": 20, "no segment": 1, "segment:t": 19
    }  # fmt: skip
    assert all(figure[:2] == pytest.approx((1.0, 0.1)) for figure in helped.values())


def test_the_reason_ends_with_the_baselines_that_the_ranker_is_below(ledger):
    assert ledger.reason.endswith("no champion; challenger below repeats: -0.0500 [-0.0500, -0.0500]")


def test_the_figures_are_noted_and_the_summary_says_what_the_ranker_is_below(spark, small_shop, ledger, tmp_path):
    row = (small_shop.night.run_date, *ledger)
    config = CONFIG.model_copy(update={"lake": LakeConfig(path=str(tmp_path))})
    said = note_figures(spark.createDataFrame([row], tables.PROMOTIONS.schema), {}, config)
    expected = {"compile_loss": 0.02, "below/challenger-repeats": -0.05}
    bounds = ("", "/lower", "/upper")
    told = {name: value for name, value in said.items() if name.startswith(("below", "compile_loss"))}
    assert told == pytest.approx({f"{name}{end}": value for name, value in expected.items() for end in bounds})
    assert (said["helped/challenger/all"], said["harmed/challenger/segment:t"]) == (1.0, 0.0)
    notes = [waiting.note for waiting in waiting_notes(config)]
    assert [(note.night, note.job) for note in notes] == [("2026-01-10", "rerank"), ("2026-01-10", "train")]
    assert notes[0].figures == notes[1].figures
    assert notes[0].figures["ndcg/challenger-shop/all"] == pytest.approx(0.1)
    assert notes[0].figures["ndcg/full-challenger/all"] == pytest.approx(0.02)
    assert notes[0].figures["ndcg/challenger/class.category"] > 0.6
    # A segment's name need not be one that MLflow takes.
    shares = sorted(name for name in notes[0].figures if name.startswith("helped"))
    assert shares == ["helped/challenger-shop/all", "helped/challenger-shop/class.category"]


def test_with_nothing_judged_the_challenger_is_registered_and_alpha_stays_0(spark, small_shop):
    frame = build_promotions(
        evaluations=spark.createDataFrame([], tables.EVALUATIONS.schema), ranker_runs=small_shop.ranker_runs,
        promotions=small_shop.promotions, night=small_shop.night, config=small_shop.config,
    )  # fmt: skip
    row = frame.collect()[0]
    assert (row.promoted, row.live_id, row.judged_nights) == (False, small_shop.ranker_id, 0)
