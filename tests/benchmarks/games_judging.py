"""What the rankings of the games' lists are worth: nDCG x 100 a list, means over seeds, differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from games_product import Scores
from llmrank_games import CANDIDATES, SEED, Games, Lists, random_lists
from numpy.typing import NDArray

from nightrank.models.bootstrap import difference_interval
from nightrank.models.metrics import ndcg_at_k
from nightrank.models.scorer import reranked_scores

Doubles = NDArray[np.float64]
Found = dict[str, Doubles]
SCALES = np.arange(0.1, 3.01, 0.1)
SCALE_LISTS, DRAWS, LAST_OF_ALL = 2000, 2000, -1e9


def ndcg(scores: Doubles, lists: Lists, cutoff: int) -> Doubles:
    """nDCG x 100 of each list; equal scores rank in a fixed random order of items, so that no order of ids helps."""
    ties = np.random.default_rng(SEED).permutation(int(lists.items.max(initial=0)) + 1)
    return 100 * np.asarray(ndcg_at_k(scores, lists.gains, cutoff, ties[lists.items], lists.mask))


def judged(name: str, scores: Doubles, lists: Lists, games: Games) -> Found:
    """By figure, one a list: nDCG@10 and @1, items already taken left where they are and ranked last."""
    seen_last = np.where(lists.seen(games), LAST_OF_ALL, scores)
    kinds = {"": scores, "_seen_last": seen_last}
    return {
        f"{name}{kind}{suffix}": ndcg(values, lists, cutoff)
        for kind, values in kinds.items()
        for suffix, cutoff in (("", 10), ("_n1", 1))
    }


def scale_lists(games: Games, searching: Sequence[str]) -> Lists:
    """What the rows' scale is fitted on: the last known take of some searchers among 19 random items of the shelf."""
    users = searching[:SCALE_LISTS]
    random = np.random.default_rng(SEED)
    drawn = {user: random.choice(games.shelf, min(CANDIDATES, len(games.shelf)), replace=False) for user in users}
    last = {user: int(games.histories[user][-1]) for user in users}
    return random_lists(Games(games.titles, games.histories, last, games.shelf), drawn)


def bound_of(scores: Scores, lists: Lists, spreads: float) -> float:
    """So many times the spread of the base scores within a list, mean over lists: as the product's gates bound rows."""
    base = np.where(lists.mask, scores.base, np.nan)
    return spreads * float(np.nanstd(base, axis=1).mean())


def fitted_scale(scores: Scores, lists: Lists, bound: float) -> float:
    """The scale of rows, of SCALES, that ranks these lists best; the smallest of equal ones."""
    worth = [ndcg(reranked_scores(scores.base, scores.sums, s, bound), lists, 10).mean() for s in SCALES]
    return float(SCALES[int(np.argmax(worth))])


def over_seeds(found: Sequence[Found]) -> dict[str, float]:
    """The mean of each figure over lists and seeds; of several seeds also `_spread`, the deviation of their means."""
    figures: dict[str, float] = {}
    for name in found[0]:
        means = [float(of_seed[name].mean()) for of_seed in found]
        figures[name] = float(np.mean(means))
        if len(means) > 1:
            figures[f"{name}_spread"] = float(np.std(means, ddof=1))
    return figures


def difference(one: str, other: str, figure: str, found: Sequence[Found]) -> dict[str, float]:
    """`<one>_minus_<other>_<figure>` and its paired 95 % interval over shoppers, of each one's mean over seeds."""
    ahead, behind = (np.mean([of_seed[f"{name}_{figure}"] for of_seed in found], axis=0) for name in (one, other))
    bounds = difference_interval(ahead, behind, np.ones_like(ahead), DRAWS, SEED)
    parts = zip(("", "_lower", "_upper"), bounds, strict=True)
    return {f"{one}_minus_{other}_{figure}{part}": bound for part, bound in parts}


def product_scores(scores: Scores, scale: float, bound: float) -> Mapping[str, Doubles]:
    """`full` and `rows` of lists."""
    return {"full": scores.full, "rows": reranked_scores(scores.base, scores.sums, scale, bound)}
