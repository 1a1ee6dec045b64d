"""How alike vectors are, in torch: what similarity.py defines, with a gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nightrank.models.similarity import Activation, Measure


def similarity_scores(one: Tensor, other: Tensor, measure: Measure, activation: Activation = "identity") -> Tensor:
    """activation(measure(one, other)) over the last axis: (…, D) × (…, D) -> (…). Finite gradients everywhere."""
    return _ACTIVATIONS[activation](_MEASURES[measure](one, other))


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(dim=-1)


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    """0 where a vector is zero."""
    norms = torch.linalg.vector_norm(one, dim=-1) * torch.linalg.vector_norm(other, dim=-1)
    return torch.where(norms > 0, _dot(one, other) / torch.where(norms > 0, norms, 1.0), 0.0)


def _euclidean(one: Tensor, other: Tensor) -> Tensor:
    """1 / (1 + distance)."""
    return 1 / (1 + torch.linalg.vector_norm(one - other, dim=-1))


def _identity(values: Tensor) -> Tensor:
    return values


_MEASURES: Mapping[Measure, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": _cosine, "dot": _dot, "euclidean": _euclidean,
}  # fmt: skip
_ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "identity": _identity, "relu": torch.relu, "sigmoid": torch.sigmoid,
}  # fmt: skip
