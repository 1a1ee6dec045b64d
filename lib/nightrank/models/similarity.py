"""How alike two vectors are, and how scores become shares and orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Measure = Literal["cosine", "dot", "euclidean"]
Activation = Literal["identity", "relu", "sigmoid"]


def similarity(one: ArrayLike, other: ArrayLike, measure: Measure, activation: Activation = "identity") -> Floats:
    """activation(measure(one, other)) over the last axis: (…, D) × (…, D) -> (…). In torch: similarity_scores.py."""
    alike: Floats = _ACTIVATIONS[activation](_MEASURES[measure](one, other))
    return alike


def dot(one: ArrayLike, other: ArrayLike) -> Floats:
    """The dot product over the last axis: (…, D) × (…, D) -> (…). Summed elementwise, so threads change no bit."""
    product: Floats = (np.asarray(one, dtype=np.float64) * np.asarray(other, dtype=np.float64)).sum(axis=-1)
    return product


def weighted_match(weights: ArrayLike, matches: ArrayLike) -> Floats:
    """sum over features of weight × match, over the last axis: the score of a candidate."""
    return dot(weights, matches)


def cosine(one: ArrayLike, other: ArrayLike) -> Floats:
    """The dot product divided by both norms, over the last axis; 0.0 where a vector is zero."""
    norms = np.sqrt(dot(one, one)) * np.sqrt(dot(other, other))
    product, norms = np.broadcast_arrays(dot(one, other), norms)
    angle: Floats = np.divide(product, norms, out=np.zeros(norms.shape), where=norms > 0)[()]
    return angle


def euclidean(one: ArrayLike, other: ArrayLike) -> Floats:
    """1 / (1 + distance), over the last axis: 1.0 where the vectors are equal, falling towards 0.0.

    Not the negative distance: ReLU would make 0 of every pair.
    """
    apart = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    near: Floats = 1 / (1 + np.sqrt(dot(apart, apart)))
    return near


def softmax(scores: ArrayLike, mask: ArrayLike | None = None) -> Floats:
    """The shares of one slate's candidates, over the last axis: exp(score - max) / sum; padding gets 0.0.

    scores (…, K), mask (…, K) True where there is a candidate. A slate of padding alone is all 0.0. The maximum is
    taken off first, so that large scores do not overflow; over one candidate the share is 1.0 whatever its score.
    """
    score = np.asarray(scores, dtype=np.float64)
    real = np.ones(score.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    highest = np.where(real, score, -np.inf).max(axis=-1, keepdims=True)
    raised = np.where(real, np.exp(np.where(real, score - np.where(np.isfinite(highest), highest, 0.0), 0.0)), 0.0)
    total = raised.sum(axis=-1, keepdims=True)
    shares: Floats = np.divide(raised, total, out=np.zeros_like(raised), where=total > 0)
    return shares


def ranked(ids: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.generic], Floats]:
    """(ids, scores) in rank order: highest score first, equal scores by id."""
    names, score = np.asarray(ids), np.asarray(scores, dtype=np.float64)
    order = np.lexsort((names, -score))
    return names[order], score[order]


def _identity(values: Floats) -> Floats:
    return values


def _relu(values: Floats) -> Floats:
    """max(0, x)."""
    positive: Floats = np.maximum(values, 0.0)
    return positive


def _sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-x)), by the form of it that cannot overflow."""
    small = np.exp(-np.abs(values))
    share: Floats = np.where(values >= 0, 1 / (1 + small), small / (1 + small))[()]
    return share


_MEASURES: Mapping[Measure, Callable[[ArrayLike, ArrayLike], Floats]] = {
    "cosine": cosine, "dot": dot, "euclidean": euclidean,
}  # fmt: skip
_ACTIVATIONS: Mapping[Activation, Callable[[Floats], Floats]] = {
    "identity": _identity, "relu": _relu, "sigmoid": _sigmoid,
}  # fmt: skip
