"""How likely each position is looked at, from rank changes of the same query-item pair.

A pair i shown n_ij times at position j is clicked there with probability z_i × p_j a showing: z_i its appeal, p_j the
position's propensity. Given the pair's clicks C_i, those at position j are a share n_ij p_j / sum_k n_ik p_k of them,
and z_i is gone: only pairs seen at several positions speak (Aslanyan & Porwal 2018, direct likelihood). That
likelihood is multinomial, so it takes clicks to be rare; the estimate does not. Its score in log p_j is
sum_i (c_ij - C_i n_ij p_j / sum_k n_ik p_k), and with E[c_ij] = n_ij p_j z_i, which holds for clicks of any frequency,
its expectation at the true p is 0: an unbiased estimating equation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
TOLERANCE = 1e-10
MOST_ROUNDS = 5_000
# A position whose clicks all moved elsewhere is looked at rarely, not never: examples are divided by this.
LEAST = 1e-3


@dataclass(frozen=True)
class Cells:
    """Showings and clicks of pairs at positions, a row each: pair (any integers), position (from 1)."""

    pair: NDArray[Any]
    position: NDArray[Any]
    impressions: Floats
    clicks: Floats

    def where(self, kept: Flags) -> Cells:
        """The rows that are kept."""
        return Cells(self.pair[kept], self.position[kept], self.impressions[kept], self.clicks[kept])

    def pooled(self) -> Cells:
        """One row a pair and position, for rows that stand in that order: sums of whole numbers, so exact."""
        if not len(self.pair):
            return self
        new = (np.diff(self.pair) != 0) | (np.diff(self.position) != 0)
        first = np.flatnonzero(np.concatenate(([True], new)))
        sums = (np.add.reduceat(counts, first) for counts in (self.impressions, self.clicks))
        return Cells(self.pair[first], self.position[first], *sums)


def estimate_curve(
    cells: Cells, longest: int, min_clicks: int, fallback_exponent: float, prior_clicks: float = 0.0
) -> Floats:
    """The propensity of positions 1..longest, shape (longest), position 1 = 1.0, all within (0, 1].

    Positions with fewer than min_clicks clicks on pairs that changed rank, or with no chain of such pairs to position
    1, continue the curve from the nearest estimated position above them as (above / position) ** fallback_exponent.
    Without any rank change the result is the fallback curve itself. prior_clicks: see `smoothed`.
    """
    kept = connected(cells, min_clicks)
    curve = np.full(longest + 1, np.nan)
    curve[1] = 1.0
    if len(kept.pair):
        seen = np.unique(kept.position)
        clicks = np.bincount(kept.position, weights=kept.clicks)[seen]
        estimated = smoothed(seen, _maximised(kept, longest)[seen], clicks, prior_clicks)
        curve[seen] = estimated / estimated[0]
    return np.clip(_continued(curve, fallback_exponent)[1:], LEAST, 1.0)


def smoothed(position: NDArray[np.int64], propensity: Floats, clicks: Floats, prior_clicks: float) -> Floats:
    """Propensities drawn to the power law that fits them best, as far as their own clicks leave open: [positions].

    Position bias is close to a power of the position (Joachims et al. 2017); an estimate from c clicks is off by about
    1 / sqrt(c). In logarithms the result is (c × estimate + prior_clicks × power law) / (c + prior_clicks).
    """
    if len(position) < 3 or not prior_clicks or not clicks.any():
        return propensity
    x, y = np.log(position), np.log(propensity)
    slope, intercept = _line(x, y, clicks)
    law = intercept + slope * x
    drawn: Floats = np.exp((clicks * y + prior_clicks * law) / (clicks + prior_clicks))
    return drawn


def _line(x: Floats, y: Floats, weight: Floats) -> tuple[float, float]:
    """Slope and intercept of the line with the least weighted squares; slope 0 where the weight is all at one x.

    Exact sums: the last bit of numpy's polyfit hangs on the kernels that OpenBLAS picks for the machine's processor.
    """
    total = fsum(weight)
    x_mean, y_mean = fsum(weight * x) / total, fsum(weight * y) / total
    spread = fsum(weight * (x - x_mean) ** 2)
    slope = fsum(weight * (x - x_mean) * (y - y_mean)) / spread if spread else 0.0
    return slope, y_mean - slope * x_mean


def informative(cells: Cells) -> Cells:
    """The rows of pairs that were shown at two positions or more and clicked at least once."""
    if not len(cells.pair):
        return cells
    _, row = np.unique(cells.pair, return_inverse=True)
    several = np.bincount(row) >= 2
    clicked = np.bincount(row, weights=cells.clicks) > 0
    return cells.where((several & clicked)[row])


def connected(cells: Cells, min_clicks: int) -> Cells:
    """The informative rows at positions that can be compared with position 1; none if position 1 itself cannot.

    Leaving positions out makes pairs uninformative, so it is repeated until nothing changes. Compared: by chains of
    pairs with clicks both ways, without which a ratio has no finite estimate (Hunter 2004, assumption 1).
    """
    kept = informative(cells)
    while len(kept.pair):
        enough = np.bincount(kept.position, weights=kept.clicks) >= min_clicks
        usable = enough & _linked_with_first(kept)
        after = informative(kept.where(usable[kept.position])) if usable[1] else kept.where(kept.pair != kept.pair)
        if len(after.pair) == len(kept.pair):
            break
        kept = after
    return kept


def _linked_with_first(cells: Cells) -> Flags:
    """By position: whether clicks lead from it to position 1 and back through shared pairs."""
    pairs, row = np.unique(cells.pair, return_inverse=True)
    size = int(cells.position.max()) + 1
    reached = np.eye(size, dtype=bool)
    shown = np.zeros((len(pairs), size), dtype=bool)
    shown[row, cells.position] = True
    for position in range(1, size):
        clicked = row[(cells.position == position) & (cells.clicks > 0)]
        reached[:, position] |= shown[clicked].any(axis=0)
    for through in range(1, size):
        reached |= reached[:, [through]] & reached[[through], :]
    linked: Flags = reached[1] & reached[:, 1]
    return linked


def _maximised(cells: Cells, longest: int) -> Floats:
    """The propensities (index = position) that maximise the likelihood, by the MM steps of Hunter 2004.

    p_j <- sum_i c_ij / sum_i (C_i n_ij / sum_k n_ik p_k), in log p with position 1 held at 0.
    """
    pair = np.unique(cells.pair, return_inverse=True)[1]
    clicks = np.bincount(cells.position, weights=cells.clicks, minlength=longest + 1)
    of_pair = np.bincount(pair, weights=cells.clicks)
    live = clicks > 0

    def step(log_p: Floats) -> Floats:
        looked_at = np.bincount(pair, weights=cells.impressions * np.exp(log_p)[cells.position])
        spread = (of_pair / looked_at)[pair] * cells.impressions
        below = np.bincount(cells.position, weights=spread, minlength=longest + 1)
        after = np.where(live, np.log(np.where(live, clicks, 1.0) / np.where(live, below, 1.0)), 0.0)
        return np.where(live, after - after[1], 0.0)

    return np.exp(_fixed_point(step, np.zeros(longest + 1)))


def _fixed_point(step: Callable[[Floats], Floats], start: Floats) -> Floats:
    """Where steps no longer move: two steps and a leap along them (SQUAREM, Varadhan & Roland 2008), and again.

    Plain steps need thousands of rounds where items move by one position at a time.
    """
    for _ in range(MOST_ROUNDS):
        once = step(start)
        twice = step(once)
        if np.abs(twice - once).max() < TOLERANCE:
            return twice
        start = step(_leap(start, once, twice))
    return start


def _leap(start: Floats, once: Floats, twice: Floats) -> Floats:
    first, bend = once - start, (twice - once) - (once - start)
    bent = float(np.sqrt((bend**2).sum()))
    length = max(1.0, float(np.sqrt((first**2).sum())) / bent) if bent > 0 else 1.0
    return start + 2 * length * first + length**2 * bend


def _continued(curve: Floats, exponent: float) -> Floats:
    above = 1
    for position in range(2, len(curve)):
        if np.isnan(curve[position]):
            curve[position] = curve[above] * (above / position) ** exponent
        else:
            above = position
    return curve
