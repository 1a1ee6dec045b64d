"""Which combinations a sweep tries."""

from __future__ import annotations

from nightrank.models.trials import Trial, best_of, combinations

SETTINGS = {"b": (1, 2), "a": (0.1, 0.2, 0.3)}


def test_every_combination_is_tried_where_they_are_few_and_first_nothing_is_changed() -> None:
    assert combinations(SETTINGS, most=6, seed=1) == [
        {}, {"a": 0.1, "b": 1}, {"a": 0.1, "b": 2}, {"a": 0.2, "b": 1}, {"a": 0.2, "b": 2}, {"a": 0.3, "b": 1},
        {"a": 0.3, "b": 2},
    ]  # fmt: skip


def test_of_many_some_are_drawn_by_seed_each_once() -> None:
    drawn = combinations(SETTINGS, most=3, seed=1)
    assert drawn == combinations(SETTINGS, most=3, seed=1)
    assert len(drawn) == 4
    assert all(drawn.count(one) == 1 and one in combinations(SETTINGS, 6, 1) for one in drawn)
    others = [combinations(SETTINGS, most=3, seed=seed) for seed in range(2, 8)]
    assert any(drawn != other for other in others)


def test_nothing_to_try_leaves_what_is_set() -> None:
    assert combinations({}, most=3, seed=1) == [{}]


def test_the_best_ranks_the_validation_night_best_and_of_equal_ones_is_the_first() -> None:
    trials = [Trial({"a": n}, {"valid_ndcg": ndcg}, ()) for n, ndcg in enumerate((0.3, 0.4, 0.4, 0.1))]
    assert best_of(trials).changes == {"a": 1}
    assert best_of([Trial({}, {}, ()), Trial({"a": 1}, {}, ())]).changes == {}
