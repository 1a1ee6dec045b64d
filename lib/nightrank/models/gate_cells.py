"""The gate, learned: the gain of personalising as a function of class, evidence and agreement, cell by cell.

Cells are buckets of evidence times buckets of agreement. Each cell's gain is drawn to that of its class the more, the
less its own shoppers tell and the less cells differ (parametric empirical Bayes: Morris 1983, JASA 78:47-55; spread of
the cells by the method of moments: DerSimonian & Laird 1986, Controlled Clinical Trials 7:177-188):

  y_c            gain of cell c, SNIPS; s2_c its variance, clustered by shopper
  w_c = 1/s2_c   Q = sum w_c (y_c - mean_w y)^2,  t2 = max(0, (Q - (k - 1)) / (sum w - sum w^2 / sum w)), k cells
  mu             mean of y weighted by 1 / (s2_c + t2): the class's gain
  expected_c     mu + t2 / (t2 + s2_c) (y_c - mu)
  variance_c     t2 s2_c / (t2 + s2_c) + (s2_c / (t2 + s2_c))^2 / sum 1 / (s2 + t2)

Where cells differ by no more than chance would have it t2 is 0 and all are the class's: few searches give the pooled
gate. Then expected gains are made to rise with agreement (isotonic regression by pooling adjacent violators: Barlow et
al. 1972), so that no shopper is personalised for the model's knowing them less well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightrank.models.gate import Gate

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]
UNKNOWN = -1.0  # the agreement of a shopper of whom too little is known to ask for it
_SURE = 1.96  # standard errors: 95 % of a normal distribution
_TINY = 1e-12  # a variance of 0 would weigh without limit


@dataclass(frozen=True)
class Judged:
    """Searches of one class in a fixed order: users [n], weights [n] (SNIPS), ndcgs [n, alphas], alphas[0] = 0."""

    users: NDArray[np.str_]
    weights: Array
    ndcgs: Array


def learned_gates(
    judged: Judged, cells: Numbers, count: int, chains: Sequence[Sequence[int]], alphas: Sequence[float], clip: float
) -> list[Gate]:
    """One gate a cell: the alpha of the largest expected gain, 0 where its 95 % interval is not above 0.

    cells: of each search, below `count`. chains: cells by rising agreement, whose expected gains are to rise.
    """
    own, variance = _gains(judged, cells, count)
    expected, spread = shrunk(own, variance)
    for chain in chains:
        for alpha in range(expected.shape[1]):
            values = rising(expected[chain, alpha], spread[chain, alpha])
            expected[chain, alpha], spread[chain, alpha] = values
    return [_gate(judged, cells == c, own[c], expected[c], np.sqrt(spread[c]), alphas, clip) for c in range(count)]


def shrunk(gains: Array, variances: Array) -> tuple[Array, Array]:
    """(expected, variance) of each cell's true gain, a column at a time: float64 [cells, columns].

    gains, variances: [cells, columns], of two cells or more; an infinite variance is a cell of which nothing is known.
    """
    precision, known = 1 / variances, np.isfinite(variances)
    mean = (precision * gains).sum(axis=0) / precision.sum(axis=0)
    excess = (precision * (gains - mean) ** 2).sum(axis=0) - (known.sum(axis=0) - 1)
    scale = precision.sum(axis=0) - (precision**2).sum(axis=0) / precision.sum(axis=0)
    between = np.maximum(0.0, excess / np.maximum(scale, _TINY))
    total = (1 / (variances + between)).sum(axis=0)
    centre = (gains / (variances + between)).sum(axis=0) / total
    trust = between / (between + variances)
    remaining = np.where(known, trust * np.where(known, variances, 0.0), between)
    return centre + trust * (gains - centre), remaining + (1 - trust) ** 2 / total


def rising(values: Array, variances: Array) -> tuple[Array, Array]:
    """The closest values that do not fall, weighted by precision, and their variances: pooled adjacent violators.

    A pool has the mean of its values by precision, and the harmonic mean of their variances: its members share what the
    class says of them, so that together they are hardly surer than one.
    """
    pools: list[list[float]] = []  # precision, precision x value, members
    for value, variance in zip(values.tolist(), variances.tolist(), strict=True):
        pools.append([1 / variance, value / variance, 1])
        while len(pools) > 1 and pools[-2][1] / pools[-2][0] > pools[-1][1] / pools[-1][0]:
            last = pools.pop()
            pools[-1] = [one + other for one, other in zip(pools[-1], last, strict=True)]
    members = [int(pool[2]) for pool in pools]
    means, shared = [pool[1] / pool[0] for pool in pools], [pool[2] / pool[0] for pool in pools]
    return np.repeat(means, members), np.repeat(shared, members)


def merged(shoppers: Numbers, least: int) -> list[list[int]]:
    """Neighbouring buckets put together, from the first on, until each group has `least` shoppers; the rest joins last.

    shoppers: [buckets]. Fewer than that in all: one group.
    """
    groups: list[list[int]] = []
    open_group: list[int] = []
    for bucket in range(len(shoppers)):
        open_group.append(bucket)
        if shoppers[open_group].sum() >= least:
            groups.append(open_group)
            open_group = []
    if open_group:
        groups = [*groups[:-1], [*(groups[-1] if groups else []), *open_group]]
    return groups


def _gains(judged: Judged, cells: Numbers, count: int) -> tuple[Array, Array]:
    """Gain over alpha 0 and its variance, of each cell and alpha: [count, alphas]. Fewer than two shoppers: infinite.

    The variance of a ratio of sums over shoppers (Cochran 1977, 6.10), but no less than so many shoppers would have
    if they were as unlike as those of the whole class: a few who happen to agree are no proof.
    """
    gains, variances = (np.zeros((count, judged.ndcgs.shape[1])) for _ in range(2))
    _, among_all = _ratio(judged, np.ones(len(cells), dtype=bool))
    for cell in range(count):
        gain, (residuals, weights) = _ratio(judged, cells == cell)
        gains[cell], variances[cell] = gain, _variance(residuals, weights, among_all)
    return gains, variances


def _ratio(judged: Judged, chosen: NDArray[np.bool_]) -> tuple[Array, tuple[Array, Array]]:
    """The gain of each alpha; residuals [shoppers, alphas] and weights [shoppers] of the ratio, by shopper."""
    _, shopper = np.unique(judged.users[chosen], return_inverse=True)
    weights = judged.weights[chosen]
    gains = weights[:, None] * (judged.ndcgs[chosen] - judged.ndcgs[chosen, :1])
    below = np.bincount(shopper, weights=weights).astype(np.float64)
    above = np.zeros((len(below), gains.shape[1]))
    np.add.at(above, shopper, gains)
    gain = above.sum(axis=0) / max(below.sum(), _TINY)
    return gain, (above - gain * below[:, None], below)


def _variance(residuals: Array, weights: Array, among_all: tuple[Array, Array]) -> Array:
    shoppers = len(weights)
    if shoppers < 2:
        return np.full(residuals.shape[1], np.inf)
    own = (residuals**2).sum(axis=0) * shoppers / (shoppers - 1)
    unlike = (among_all[0] ** 2).sum(axis=0) / (among_all[1] ** 2).sum() * (weights**2).sum()
    found: Array = np.maximum(np.maximum(own, unlike) / weights.sum() ** 2, _TINY)
    return found


def _gate(
    judged: Judged,
    chosen: NDArray[np.bool_],
    own: Array,
    expected: Array,
    error: Array,
    alphas: Sequence[float],
    clip: float,
) -> Gate:
    best = int(np.argmax(expected))
    gain, lower, upper = (float(expected[best] + z * error[best]) for z in (0.0, -_SURE, _SURE))
    alpha = float(alphas[best]) if lower > 0 else 0.0
    users = len(np.unique(judged.users[chosen]))
    bound = clip / alpha if alpha else 0.0
    return Gate(alpha, bound, gain, lower, upper, int(chosen.sum()), users, float(own[best]))
