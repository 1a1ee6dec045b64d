"""Directions in int8: a vector's largest number becomes 127 or -127, so each has a scale of its own.

The numbers of a unit vector are small: were 127 to stand for 1, most of the eight bits would never be used, and more
neighbours be lost (`make bench-codes` prints how many are kept). Lengths are not kept: compare by cosine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def to_int8(vectors: ArrayLike) -> NDArray[np.int8]:
    """The directions of vectors [..., dims], int8 of the same shape; a zero vector stays zero."""
    rows = np.asarray(vectors, np.float64)
    largest = np.abs(rows).max(axis=-1, keepdims=True, initial=0.0)
    scaled = np.divide(127 * rows, largest, out=np.zeros_like(rows), where=largest > 0)
    return np.asarray(np.round(scaled), np.int8)


def from_int8(directions: ArrayLike) -> NDArray[np.float32]:
    """Unit vectors of these directions [..., dims], float32; a zero vector stays zero."""
    rows = np.asarray(directions, np.float32)
    # Sums of squares are whole numbers below 2**24 up to 1,040 dims: exact in float32, whatever the order.
    lengths = np.sqrt(np.einsum("...d,...d->...", rows, rows))[..., None]
    unit: NDArray[np.float32] = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit
