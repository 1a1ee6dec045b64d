"""The gate: how strongly to personalise a kind of search, from what it gained on searches that the ranker never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightrank.models.bootstrap import mean_interval, sums_by_user
from nightrank.models.metrics import ndcg_at_k
from nightrank.models.scorer import reranked_scores

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gate:
    """alpha and bound in units of the base score; gain of nDCG@k over alpha 0 with its 95 % interval.

    gain is what is expected of it, own_gain what its own searches gained: another where it was learned (gate_cells.py).
    """

    alpha: float
    bound: float
    gain: float
    lower: float
    upper: float
    searches: int
    users: int
    own_gain: float = 0.0


def ndcg_by_alpha(
    base: Array, sums: Array, gains: Array, tie_order: NDArray[np.intp], alphas: Sequence[float], clip: float, k: int
) -> Array:
    """nDCG@k of one slate scored with each alpha: float64 [alphas].

    clip: the most that the row may move a score, in units of base: alpha * bound is the same for every alpha.
    """
    return np.array(
        [
            float(ndcg_at_k(reranked_scores(base, sums, alpha, clip / alpha if alpha else 0.0), gains, k, tie_order))
            for alpha in alphas
        ]
    )


def fit_gate(
    users: NDArray[np.str_], weights: Array, ndcgs: Array, alphas: Sequence[float], clip: float, draws: int, seed: int
) -> Gate:
    """The gate of one kind of search: the alpha with the largest gain, or 0 where its interval touches 0.

    users [searches], weights [searches] (SNIPS), ndcgs [searches, alphas], alphas[0] = 0. Rows come in a fixed order.
    No search at all: a closed gate.
    """
    if not len(users):
        return Gate(0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)
    means = (weights[:, None] * ndcgs).sum(axis=0) / weights.sum()
    best = int(np.argmax(means))
    names, numerator, denominator = sums_by_user(users, ndcgs[:, best] - ndcgs[:, 0], weights)
    gain, lower, upper = mean_interval(numerator, denominator, draws, seed)
    alpha = float(alphas[best]) if lower > 0 else 0.0
    return Gate(alpha, clip / alpha if alpha else 0.0, gain, lower, upper, len(users), len(names), gain)
