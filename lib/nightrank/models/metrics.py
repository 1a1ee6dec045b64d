"""What a ranking is worth: nDCG@k, reciprocal rank, recall@k.

Every function takes one slate (K) or a batch of padded slates (B, K): candidates are on the last axis. A higher score
ranks first; equal scores rank by `tie_order` (by default the order in which the candidates stand). A slate without a
relevant candidate is worth 0.0, not NaN: callers that want it out of a mean leave it out themselves (`has_relevant`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Figures = NDArray[np.float64]


def ndcg_at_k(
    scores: ArrayLike, gains: ArrayLike, k: int, tie_order: ArrayLike | None = None, mask: ArrayLike | None = None
) -> Figures:
    """nDCG@k with linear gains: DCG / the best DCG there is, DCG = sum over ranks r <= k of gain / log2(1 + r).

    Shapes: (K) -> scalar, (B, K) -> (B). gains >= 0; mask: True where there is a candidate. 0.0 where all gains are
    0; k above the number of candidates takes them all. Source: Järvelin & Kekäläinen 2002, with the discount that
    begins at rank 1 (log2(1 + r)) and the gain itself, not 2**gain - 1: gains here are already graded weights.
    """
    shown = gains_in_order(scores, gains, tie_order, mask)
    best = -np.sort(-shown, axis=-1)
    return _ratio(_dcg(shown, k), _dcg(best, k))


def mrr(
    scores: ArrayLike, gains: ArrayLike, tie_order: ArrayLike | None = None, mask: ArrayLike | None = None
) -> Figures:
    """The reciprocal rank of the first candidate with a gain above 0; 0.0 where there is none."""
    relevant = gains_in_order(scores, gains, tie_order, mask) > 0
    return np.where(relevant.any(axis=-1), 1.0 / (1.0 + relevant.argmax(axis=-1)), 0.0)[()]


def recall_at_k(
    scores: ArrayLike, gains: ArrayLike, k: int, tie_order: ArrayLike | None = None, mask: ArrayLike | None = None
) -> Figures:
    """The share of the candidates with a gain above 0 that stand among the first k; 0.0 where there is none."""
    relevant = (gains_in_order(scores, gains, tie_order, mask) > 0).astype(np.float64)
    return _ratio(relevant[..., :k].sum(axis=-1), relevant.sum(axis=-1))


def kendall_tau(one: ArrayLike, other: ArrayLike) -> float:
    """Kendall's tau-b of two score lists (K): 1.0 the same order, -1.0 the reverse; 0.0 where a list is all ties.

    (concordant - discordant pairs) / sqrt(pairs untied in one × pairs untied in other). All K² pairs are compared.
    """
    signs = [np.sign(np.subtract.outer(values, values)) for values in map(np.asarray, (one, other))]
    untied = [float(np.abs(sign).sum()) for sign in signs]
    return float((signs[0] * signs[1]).sum() / np.sqrt(untied[0] * untied[1])) if all(untied) else 0.0


def has_relevant(gains: ArrayLike, mask: ArrayLike | None = None) -> NDArray[np.bool_]:
    """Whether a slate has a candidate with a gain above 0."""
    relevant = np.asarray(gains) > 0
    return np.asarray((relevant if mask is None else relevant & np.asarray(mask, dtype=bool)).any(axis=-1))


def gains_in_order(
    scores: ArrayLike, gains: ArrayLike, tie_order: ArrayLike | None = None, mask: ArrayLike | None = None
) -> Figures:
    """The gains in the order that the scores rank them, padding last with a gain of 0.

    Raises ValueError for a score that is not a number: it has no rank.
    """
    score, gain = np.asarray(scores, dtype=np.float64), np.asarray(gains, dtype=np.float64)
    real = np.ones(score.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if np.isnan(score[real]).any():
        raise ValueError("Scores cannot be ranked: expected numbers, found NaN. Fix what made the scores.")
    keys: tuple[Any, ...] = (-np.where(real, score, 0.0), ~real)
    if tie_order is not None:
        keys = (np.broadcast_to(np.asarray(tie_order), score.shape), *keys)
    return np.take_along_axis(np.where(real, gain, 0.0), np.lexsort(keys, axis=-1), axis=-1)


def _dcg(gains: Figures, k: int) -> Figures:
    top = gains[..., :k]
    discounted: Figures = (top / np.log2(2.0 + np.arange(top.shape[-1]))).sum(axis=-1)
    return discounted


def _ratio(part: Figures, whole: Figures) -> Figures:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)[()]
