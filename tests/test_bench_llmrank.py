"""The games' benchmarks: their data, their protocols, what is learned from, and how rankings are judged."""

from __future__ import annotations

from datetime import timedelta
from math import log2
from pathlib import Path

import numpy as np
import pandas
import pytest
from bench_llmrank import product_figures
from games_baselines import popularity
from games_inputs import LAST, day_of_takes, searchers, slate, write_items, write_log
from games_judging import bound_of, difference, fitted_scale, judged, over_seeds, product_scores, scale_lists
from games_product import Scores, config_in, nights_of, prepare, searched_days, with_ranker
from llmrank_games import (
    FOLDER,
    TEST,
    VALID,
    mixed_lists,
    protocols,
    random_lists,
    read_candidates,
    read_games,
    sample,
)
from pyspark.sql import SparkSession

from games_by_hand import games_of, ints, lists_of
from tiny_games import write_tiny_games

LIKE_THE_FILE = "user_id:token\titem_id_list:token_seq\titem_id:token\n"


def test_the_target_is_what_follows_the_history_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "Games-6k.item").write_text("item_id:token\ttitle:token_seq\n0\tChess: Gold\n1\tGo\n2\tDice\n")
    (tmp_path / "Games-6k.valid.inter").write_text(f"{LIKE_THE_FILE}7\t2\t0\n")
    (tmp_path / "Games-6k.test.inter").write_text(f"{LIKE_THE_FILE}7\t2 0\t1\n")
    valid, test = (read_games(targets, tmp_path) for targets in (VALID, TEST))
    assert valid.titles == ("Chess: Gold", "Go", "Dice")
    assert (valid.histories["7"].tolist(), valid.targets) == ([2], {"7": 0})
    assert (test.histories["7"].tolist(), test.targets) == ([2, 0], {"7": 1})

    (tmp_path / "Games-6k.item").write_text("item_id:token\ttitle:token_seq\n0\tChess\n2\tDice\n")
    with pytest.raises(SystemExit, match="found 2 out of place"):
        read_games(VALID, tmp_path)


def test_random_lists_hold_the_target_among_the_first_19_others() -> None:
    games = games_of([1], [2], targets=[5, 39])
    found = random_lists(games, {"a": np.arange(30), "b": np.arange(30)})
    assert found.items[0].tolist() == [5, *range(5), *range(6, 20)]
    assert found.items[1].tolist() == [39, *range(19)]
    assert found.gains.sum(axis=1).tolist() == [1, 1]


def test_mixed_lists_hold_what_they_hold_and_each_once() -> None:
    found = mixed_lists(games_of([1], [2], targets=[5, 9]), {"a": ints(3, 4, 3, 6), "b": ints(9, 1, 2, 4)})
    assert found.items.tolist() == [[3, 4, 6, -1], [9, 1, 2, 4]]
    assert found.gains.sum(axis=1).tolist() == [0, 1]
    assert found.mask.tolist() == [[True, True, True, False], [True] * 4]


def test_the_first_lists_of_a_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "lists").write_text("8\t1 2\n3\t2 2\n")
    assert {user: items.tolist() for user, items in read_candidates(tmp_path / "lists").items()} == {
        "8": [1, 2],
        "3": [2, 2],
    }
    assert list(read_candidates(tmp_path / "lists", 1)) == ["8"]


def test_a_sample_keeps_whom_it_judges_and_the_items_that_are_met() -> None:
    games = games_of([1, 2], [3], [4], items=40)
    kept = sample(games, {"a6k": lists_of([[7, 1, -1]], [7])})
    assert set(kept.histories) == {"a", "b", "c"}  # nine others where there are so many
    assert kept.shelf.tolist() == [1, 2, 3, 4, 7]


def test_searchers_take_until_the_last_day_and_others_stop_before_the_searches() -> None:
    assert day_of_takes(3, 0) == [LAST - timedelta(days=2), LAST - timedelta(days=1), LAST]
    assert day_of_takes(2, 3) == [LAST - timedelta(days=4), LAST - timedelta(days=3)]
    games = games_of(list(range(6)), list(range(5)), list(range(9)))
    assert searchers(games, ["c"], 3) == ["a"]  # b has two takes before its three searches, c is judged


def test_what_is_written_holds_no_target(tmp_path: Path) -> None:
    games = games_of([0, 1, 2, 3, 4, 5], [6, 7], items=30, targets=[20, 21])
    write_log(games, ["a"], 2, tmp_path)
    write_items(games, tmp_path)
    events, searches = (pandas.read_parquet(tmp_path / f"{name}.parquet") for name in ("events", "searches"))
    by_user = events.sort_values("ts").groupby("user_id")["item_id"].agg(list).to_dict()
    assert by_user == {"a": list("012345"), "b": list("67")}
    assert events["ts"].dt.date.max() == LAST
    assert events.loc[events["user_id"] == "b", "ts"].dt.date.max() == LAST - timedelta(days=2)

    assert searches["ts"].dt.date.tolist() == [LAST - timedelta(days=1), LAST]
    named = events.dropna(subset=["query_id"]).set_index("query_id")["item_id"]
    for row in searches.itertuples():
        shown = [one["item_id"] for one in row.slate]
        assert (len(shown), len(set(shown)), named[row.query_id] in shown) == (20, 20, True)
        assert {one["base_score"] for one in row.slate} == {0.0}
    assert len(pandas.read_parquet(tmp_path / "items.parquet")) == 30


def test_a_slate_stands_in_no_order_that_tells_the_take() -> None:
    random = np.random.default_rng(3)
    places = [slate(4, np.arange(40), random) for _ in range(200)]
    at = [next(one["position"] for one in shown if one["item_id"] == "4") for shown in places]
    assert set(at) == set(range(1, 21))


def test_the_nights_end_with_the_last_day() -> None:
    config = config_in(Path("some/where"), nights=1)
    assert (nights_of(config), searched_days(config)) == ([LAST - timedelta(days=1), LAST], 4)
    assert config.calendar.bulk_until == LAST - timedelta(days=1)
    assert (config.source.events, config.lake.path) == ("some/where/input/events.parquet", "some/where/lake")
    changed = with_ranker(config, 5, id_dropout=0.0).ranker_runs
    assert (changed.seed, changed.sequence.id_dropout) == (5, 0.0)
    assert changed.sequence.epochs == config.ranker_runs.sequence.epochs


def test_a_list_is_worth_its_targets_place_and_seen_items_go_last() -> None:
    games = games_of([2], [3])
    lists = lists_of([[1, 2, 3], [4, 5, -1]], [1, 9])
    found = judged("m", np.array([[0.5, 0.9, 0.1], [1.0, 2.0, 9.0]]), lists, games)
    assert found["m"] == pytest.approx([100 / log2(3), 0.0])  # the second list lacks its target
    assert found["m_n1"].tolist() == [0.0, 0.0]
    assert found["m_seen_last"].tolist() == found["m_seen_last_n1"].tolist() == [100.0, 0.0]


def test_the_scale_is_that_which_ranks_best_within_the_bound() -> None:
    lists = lists_of([[1, 2, -1], [3, 4, 5]], [2, 4])
    scores = Scores(np.array([[0.97, 0.0, 0.0], [0.0, 0.0, 0.0]]), np.zeros((2, 3)), np.array([[0, 1, 0], [0, 2, 1.0]]))
    # The row must outweigh a base of .97, which a scale of 1 is the first to do.
    assert fitted_scale(scores, lists, 10.0) == pytest.approx(1.0)
    assert fitted_scale(scores, lists, 0.5) == pytest.approx(2.0)
    assert product_scores(scores, 2.0, 0.5)["rows"].tolist() == [[0.97, 1.0, 0.0], [0.0, 1.0, 1.0]]
    # Standard deviations: .485 of two, 0 of three.
    assert bound_of(scores, lists, 2.0) == pytest.approx(2 * 0.485 / 2)


def test_the_scale_is_fitted_on_what_searchers_took_last() -> None:
    found = scale_lists(games_of([1, 2], [3, 4]), ["b"])
    assert (found.users.tolist(), found.taken.tolist()) == (["b"], [4])
    assert (found.items.shape, found.items[0, 0]) == ((1, 20), 4)


def test_means_spread_over_seeds_and_differences_are_paired() -> None:
    found = [{"rows_x": np.array([10.0, 30.0]), "sasrec_x": np.array([0.0, 20.0])},
             {"rows_x": np.array([30.0, 50.0]), "sasrec_x": np.array([20.0, 40.0])}]  # fmt: skip
    assert over_seeds(found) == pytest.approx(
        {"rows_x": 30, "rows_x_spread": 200**0.5, "sasrec_x": 20, "sasrec_x_spread": 200**0.5}
    )
    assert over_seeds(found[:1]) == {"rows_x": 20, "sasrec_x": 10}
    # Shoppers differ by 20, the methods by 10 for each of them.
    told = difference("rows", "sasrec", "x", found)
    assert told == pytest.approx(dict.fromkeys(("rows_minus_sasrec_x" + end for end in ("", "_lower", "_upper")), 10))


def test_the_made_up_copy_reads_as_the_real_one(tmp_path: Path) -> None:
    write_tiny_games(tmp_path)
    games = read_games(VALID, tmp_path)
    lists = protocols(games, folder=tmp_path)
    assert [len(lists[name].users) for name in ("a200", "a6k", "b")] == [20, 60, 60]
    assert lists["a6k"].gains.sum(axis=1).tolist() == [1] * 60
    assert searchers(games, [], 3)


@pytest.mark.real_data
@pytest.mark.skipif(not FOLDER.exists(), reason=f"{FOLDER} is not there: the games are not read")
def test_the_real_files_hold_what_their_readme_says() -> None:
    games = read_games(VALID)
    assert (len(games.titles), len(games.histories)) == (16_859, 50_546)
    lists = protocols(games)
    assert [len(lists[name].users) for name in ("a200", "a6k", "b")] == [200, 6000, 6000]
    for name in ("a200", "a6k"):
        assert lists[name].items.shape[1] == 20
        assert (lists[name].gains.sum(axis=1) == 1).all()
    assert lists["b"].items.shape[1] <= 21
    # Made for the test targets, by retrievers that had seen these.
    assert lists["b"].gains.sum() == 3791
    assert not any(games.targets[user] in items for user, items in games.histories.items())


@pytest.mark.long
def test_the_product_finds_an_order_that_was_planted(spark: SparkSession, tmp_path: Path, tiny_bert: Path) -> None:
    write_tiny_games(tmp_path / "files")
    games = read_games(VALID, tmp_path / "files")
    lists = {"a6k": protocols(games, folder=tmp_path / "files")["a6k"]}
    config = config_in(tmp_path / "night")
    encoder = {"model": str(tiny_bert), "max_tokens": 32, "buckets": 1, "tasks": 2}
    config = config.model_copy(
        update={
            name: getattr(config, name).model_copy(update=encoder) for name in ("item_embeddings", "query_embeddings")
        }
    )
    prepare(spark, config, {LAST: games}, lists)
    found, scale = product_figures(spark, with_ranker(config, 0), games, lists)
    popular = judged("popularity", popularity(games, lists["a6k"]), lists["a6k"], games)["popularity"].mean()
    assert found["full_a6k"].mean() > popular + 20
    assert found["rows_a6k"].mean() > popular + 20
    assert scale > 0
