"""make bench-cold: new games ranked from their titles alone, and what being ready for them costs the others.

A tenth of the items is withheld: out of every history and of the catalogue, until they arrive in the night after the
one that learns the towers. Whoever took one of them next is asked for it among 20 of them: `full_cold` by the whole
ranker, `rows_cold` by the compiled rows over the base `prior`, beside `chance` and `popularity_cold` (all are new).
nDCG@10 x 100; `_n1`: nDCG@1. `full_warm`, `rows_warm`: lists of protocol A whose target is known, without the new
items. `warm_cost`: what `full_warm` gains where no ids are dropped in training, which is what towers learn to do
without ids by. TARGETS, SEEDS, SAMPLE and KEEP as in bench_llmrank.py.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
from bench_llmrank import Asked, asked_for
from figures import FOLDER, say_figures
from games_baselines import popularity
from games_inputs import LAST, searchers
from games_judging import Found, bound_of, difference, fitted_scale, judged, over_seeds, product_scores, scale_lists
from games_product import config_in, prepare, remove_lake, scored, searched_days, train, with_ranker
from llmrank_games import CANDIDATES, SEED, Games, Ints, Lists, protocols, random_lists, read_games, sample
from pyspark.sql import SparkSession

from nightrank.cli import _log_plainly
from nightrank.config import Config
from nightrank.session import build_session

NAME, WITHHELD, MOST_LISTS = "cold", 0.1, 6000
WITHOUT_DROPOUT = "undropped"


def main() -> None:
    """Prints the figures and keeps them in build/bench/cold.json."""
    _log_plainly()
    asked = asked_for()
    everything, random = games_and_lists(asked)
    cold = cold_items(everything)
    known = without(everything, cold)
    lists = {"cold": cold_lists(known, cold), "warm": warm_lists(known, random)}
    config = config_in(FOLDER / NAME / asked.name, nights=1)
    spark = build_session(config.spark)
    # The new items arrive in the last night, which learns no towers.
    arrived = replace(known, shelf=everything.shelf)
    prepare(spark, config, {LAST - timedelta(days=1): known, LAST: arrived}, lists)
    found = [product_figures(spark, config, seed, known, lists) for seed in asked.seeds]
    remove_lake(config)
    say_figures(NAME, described(asked, cold, lists) | baselines(known, lists["cold"]) | of_seeds(found))


def games_and_lists(asked: Asked) -> tuple[Games, Lists]:
    """What is known, and protocol A's lists."""
    games = read_games(asked.targets)
    lists = protocols(games, asked.most)
    return (sample(games, lists) if asked.most else games), lists["a6k"]


def cold_items(games: Games) -> Ints:
    """The items withheld: a tenth of the shelf, drawn by a fixed seed, in order."""
    drawn = np.random.default_rng(SEED).permutation(games.shelf)
    return np.sort(drawn[: max(1, round(WITHHELD * len(drawn)))])


def without(games: Games, cold: Ints) -> Games:
    """What is known where these items are not; shoppers of whom nothing is left are out, targets stay."""
    left = {user: items[~np.isin(items, cold)] for user, items in games.histories.items()}
    kept = {user: items for user, items in left.items() if len(items)}
    return replace(games, histories=kept, shelf=np.setdiff1d(games.shelf, cold))


def cold_lists(games: Games, cold: Ints) -> Lists:
    """Of those who took a withheld item next, up to 6,000 shoppers: that one among 19 other withheld items."""
    withheld = set(cold.tolist())
    users = [user for user in games.histories if games.targets[user] in withheld][:MOST_LISTS]
    random = np.random.default_rng(SEED)
    drawn = {user: random.choice(cold, min(CANDIDATES, len(cold)), replace=False) for user in users}
    return random_lists(games, drawn)


def warm_lists(games: Games, lists: Lists) -> Lists:
    """The lists of shoppers of whom something is known and whose target is, without withheld items."""
    kept = np.isin(lists.users, list(games.histories)) & np.isin(lists.taken, games.shelf)
    items = np.where(np.isin(lists.items, games.shelf), lists.items, -1)
    return Lists(lists.users[kept], items[kept], lists.taken[kept])


def product_figures(spark: SparkSession, config: Config, seed: int, games: Games, lists: dict[str, Lists]) -> Found:
    """nDCG of the whole ranker and of its rows on both kinds of lists, and on warm ones of one that drops no ids."""
    ready, unready = with_ranker(config, seed), with_ranker(config, seed, id_dropout=0.0)
    train(spark, ready)
    judged_users = {str(user) for one in lists.values() for user in one.users}
    fitting = scale_lists(games, searchers(games, judged_users, searched_days(config)))
    before = scored(spark, ready, LAST - timedelta(days=1), fitting)
    bound = bound_of(before, fitting, config.gates.bound_spreads)
    scale = fitted_scale(before, fitting, bound)
    found: Found = {}
    for kind, one in lists.items():
        for method, values in product_scores(scored(spark, ready, LAST, one), scale, bound).items():
            found |= judged(f"{method}_{kind}", values, one, games)
    train(spark, unready)
    scores = scored(spark, unready, LAST, lists["warm"])
    return found | judged(f"{WITHOUT_DROPOUT}_warm", scores.full, lists["warm"], games)


def baselines(games: Games, lists: Lists) -> dict[str, float]:
    """chance: every place of the target as likely. popularity_cold: of what is known."""
    places = lists.mask.sum(axis=1)
    worth = 100 / np.log2(2.0 + np.arange(10))
    chance = np.mean([worth[:many].sum() / many for many in places]) if len(places) else 0.0
    return {"chance": float(chance), **over_seeds([judged("popularity_cold", popularity(games, lists), lists, games)])}


def of_seeds(found: list[Found]) -> dict[str, float]:
    """Means over seeds, and warm_cost with its interval."""
    cost = difference(WITHOUT_DROPOUT, "full", "warm", found)
    named = {name.replace(f"{WITHOUT_DROPOUT}_minus_full_warm", "warm_cost"): value for name, value in cost.items()}
    return over_seeds(found) | named


def described(asked: Asked, cold: Ints, lists: dict[str, Lists]) -> dict[str, float | int | str]:
    """What was ranked."""
    many = {f"lists_{name}": len(one.users) for name, one in lists.items()}
    return {"targets": asked.targets, "seeds": ",".join(map(str, asked.seeds)), "withheld": len(cold), **many}


if __name__ == "__main__":
    main()
