"""The measures behind `make bench-train`, worked out by hand."""

from __future__ import annotations

import bench_train
import numpy as np
import pytest


def test_ratios_are_of_pairs_and_the_median_is_told() -> None:
    # Petastorm's seconds, then memory's: ratios .5, .8, 1.0; medians 5 s and 4 s.
    found = bench_train.speed_figures("tower", 100, [(8.0, 4.0), (5.0, 4.0), (3.0, 3.0)])
    assert found == {
        "tower_petastorm_per_second": 20.0,
        "tower_memory_per_second": 25.0,
        "tower_petastorm_ratio": 0.8,
        "tower_petastorm_ratio_lowest": 0.5,
    }


def test_both_feeds_are_timed_in_turns_and_must_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_train, "RUNS", 2)
    asked: list[str] = []

    def learn(feed: str) -> dict[str, np.ndarray]:
        asked.append(feed)
        return {"weights": np.array([len(feed)])}

    pairs = list(bench_train.paired(learn, ("petastorm", "in memory")))  # type: ignore[arg-type]  # names stand for feeds
    assert asked == ["in memory", "in memory", "petastorm", "petastorm", "in memory"]
    assert len(pairs) == 2
    with pytest.raises(AssertionError, match="weights: petastorm and memory gave other bits"):
        list(bench_train.paired(learn, ("petastorm", "memory")))  # type: ignore[arg-type]  # as above
