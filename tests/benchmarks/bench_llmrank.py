"""make bench-llmrank: the games' fixed lists, ranked by the product's own stages and by what it is compared with.

Figures are nDCG@10 x 100, `_n1` nDCG@1: `full`, the whole ranker; `rows`, the compiled rows over the base `prior`;
`popularity`, `knn` and `sasrec` (see plain_sasrec.py), all knowing the same. `_a200`, `_a6k`, `_b`: the protocols (see
llmrank_games.py). `_seen_last`: items already taken ranked last. TARGETS=valid (default) or test: the latter once, when
nothing is chosen any more. SEEDS=0,1,2: means over them. SAMPLE=n: n of each protocol's shoppers and nine times as many
others, for a trial. KEEP=1: the lake is kept, and taken up where it stands: rankers alone are trained again.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from datetime import timedelta

from figures import FOLDER, say_figures
from games_baselines import item_knn, popularity
from games_inputs import LAST, searchers
from games_judging import Found, bound_of, difference, fitted_scale, judged, over_seeds, product_scores, scale_lists
from games_product import config_in, prepare, remove_lake, scored, searched_days, train, with_ranker
from llmrank_games import TEST, VALID, Games, Lists, protocols, read_games, refuse_missing_files, sample
from plain_sasrec import sasrec_scores
from pyspark.sql import SparkSession

from nightrank.cli import _log_plainly
from nightrank.config import Config
from nightrank.session import build_session

NAME = "llmrank"
COMPARED = ("a6k", "a6k_seen_last")


@dataclass(frozen=True)
class Asked:
    """What the environment asks for."""

    targets: str
    most: int | None
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        """Of the folder in build/bench that holds the lake."""
        return f"{self.targets}_{self.most or 'all'}"


def asked_for() -> Asked:
    """What the environment asks for; ends the program where that is nothing there is."""
    refuse_missing_files()
    targets = os.environ.get("TARGETS", VALID)
    if targets not in {VALID, TEST}:
        sys.exit(f"TARGETS={targets} cannot be judged: expected {VALID} or {TEST}.")
    most = os.environ.get("SAMPLE")
    seeds = tuple(int(seed) for seed in os.environ.get("SEEDS", "0").split(","))
    return Asked(targets, int(most) if most else None, seeds)


def main() -> None:
    """Prints the figures and keeps them in build/bench/llmrank.json."""
    _log_plainly()
    asked = asked_for()
    games = read_games(asked.targets)
    lists = protocols(games, asked.most)
    games = sample(games, lists) if asked.most else games
    config = config_in(FOLDER / NAME / asked.name)
    spark = build_session(config.spark)
    started = time.monotonic()
    prepare(spark, config, {LAST: games}, lists)
    figures: dict[str, float | int | str] = {**described(asked, games, lists), **baseline_figures(games, lists)}
    figures["seconds_prepare"] = time.monotonic() - started
    found = []
    for seed in asked.seeds:
        started = time.monotonic()
        of_seed, scale = product_figures(spark, with_ranker(config, seed), games, lists)
        sys.stderr.write(f"seed {seed}: {over_seeds([of_seed])}\n")  # hours before the last seed's end
        figures |= {f"scale_seed{seed}": scale, f"seconds_seed{seed}": time.monotonic() - started}
        found.append(of_seed | sasrec_figures(games, lists, seed))
    remove_lake(config)
    figures |= over_seeds(found)
    for figure in COMPARED:
        figures |= difference("rows", "sasrec", figure, found)
    say_figures(NAME, figures)


def product_figures(spark: SparkSession, config: Config, games: Games, lists: dict[str, Lists]) -> tuple[Found, float]:
    """nDCG of the ranker and of its rows, and the rows' scale, fitted on searches that nothing has learned from."""
    train(spark, config)
    judged_users = {str(user) for one in lists.values() for user in one.users}
    fitting = scale_lists(games, searchers(games, judged_users, searched_days(config)))
    before = scored(spark, config, LAST - timedelta(days=1), fitting)
    bound = bound_of(before, fitting, config.gates.bound_spreads)
    scale = fitted_scale(before, fitting, bound)
    found: Found = {}
    for protocol, one in lists.items():
        scores = product_scores(scored(spark, config, LAST, one), scale, bound)
        for method, values in scores.items():
            found |= judged(f"{method}_{protocol}", values, one, games)
    return found, scale


def sasrec_figures(games: Games, lists: dict[str, Lists], seed: int) -> Found:
    """nDCG of the plain SASRec."""
    found: Found = {}
    for (protocol, one), scores in zip(lists.items(), sasrec_scores(games, list(lists.values()), seed), strict=True):
        found |= judged(f"sasrec_{protocol}", scores, one, games)
    return found


def baseline_figures(games: Games, lists: dict[str, Lists]) -> dict[str, float]:
    """Means of what learns nothing."""
    found: Found = {}
    for protocol, one in lists.items():
        found |= judged(f"popularity_{protocol}", popularity(games, one), one, games)
        found |= judged(f"knn_{protocol}", item_knn(games, one), one, games)
    return over_seeds([found])


def described(asked: Asked, games: Games, lists: dict[str, Lists]) -> dict[str, float | int | str]:
    """What was ranked: shoppers known, lists of each protocol, and the share of lists that hold the target."""
    held = {f"target_in_list_{name}": float(one.gains.any(axis=1).mean()) for name, one in lists.items()}
    many = {f"lists_{name}": len(one.users) for name, one in lists.items()}
    seeds = ",".join(map(str, asked.seeds))
    return {"targets": asked.targets, "seeds": seeds, "shoppers": len(games.histories), **many, **held}


if __name__ == "__main__":
    main()
