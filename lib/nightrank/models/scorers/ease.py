"""EASE, the linear autoencoder with a closed form (Steck 2019, Embarrassingly shallow autoencoders for sparse data)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightrank.models.scorers.takes import Takes

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def fit_ease(takes: Takes, l2: float) -> NDArray[np.float32]:
    """The weights B [items, items] that rebuild takes from each other: the least |X - XB|² + l2 |B|², diagonal 0.

    P = (XᵀX + l2 I)⁻¹, B_ij = -P_ij / P_jj. X is 1 for what was taken, whatever its value; l2 > 0. An item whose
    takers took nothing else has no weights. The matrix is dense: the caller bounds the number of items.
    """
    gram = l2 * np.eye(len(takes.item_ids))
    for start, stop in zip(takes.offsets[:-1], takes.offsets[1:], strict=True):
        own = takes.items[start:stop]
        gram[np.ix_(own, own)] += 1
    inverse = _inverse(gram)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights.astype(np.float32)


def ease_scores(weights: NDArray[np.float32], own: Indices, wanted: Indices) -> Floats:
    """sum over own items j of B_ji, of each wanted item i: float64 [wanted].

    own, wanted: rows of B; -1 in `wanted` scores 0.0, as does every item for a shopper without takes.
    """
    summed: Floats = weights[np.ix_(own, wanted)].sum(axis=0, dtype=np.float64)
    return np.where(wanted >= 0, summed, 0.0)


def _inverse(gram: Floats) -> Floats:
    """The inverse of a positive definite matrix. By torch in one thread: of more, the last bits follow their number."""
    import torch

    from nightrank.models.training import deterministic

    with deterministic(threads=1):
        inverse: Floats = torch.cholesky_inverse(torch.linalg.cholesky(torch.from_numpy(gram))).numpy()
    return inverse
