"""How well a codebook serves a catalogue: the error that codes leave, and how evenly they hold the items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightrank.models.codebook import assign_codes, decode

Floats = NDArray[np.float32]

CROWDED = 3.0  # fair shares: a code that holds more says little about the items that have it
_ITEMS_AT_ONCE = 65_536
# Vectors are rounded to six decimals: an error below the square of that is none.
_NOTHING = 1e-12


@dataclass(frozen=True)
class Coding:
    """The codes of a catalogue's items; those without a vector (zero rows) are left out.

    items: how many. error: mean squared distance between an item's vector and what its codes stand for. explained: the
    share of the vectors' variance that the codes keep, 0.0 where the vectors do not vary. held: int64 [levels, codes],
    how many items have each code.
    """

    items: int
    error: float
    explained: float
    held: NDArray[np.int64]

    def fair_shares(self) -> NDArray[np.float64]:
        """What each code holds, float64 [levels, codes]: 1.0 is an equal share of its level's items."""
        return np.asarray(self.held * self.held.shape[1] / max(self.items, 1))

    def crowded(self) -> list[tuple[int, int, float]]:
        """(level, code, fair shares) of the codes that hold more than CROWDED fair shares."""
        shares = self.fair_shares()
        return [(int(level), int(code), float(shares[level, code])) for level, code in np.argwhere(shares > CROWDED)]


def coding(vectors: Floats, codebook: Floats) -> Coding:
    """How the codebook serves items with these vectors [n, dims]; memory beyond them does not grow with n."""
    items, left, squares = 0, 0.0, 0.0
    total, held = np.zeros(codebook.shape[2]), np.zeros(codebook.shape[:2], np.int64)
    for at in range(0, len(vectors), _ITEMS_AT_ONCE):
        part = vectors[at : at + _ITEMS_AT_ONCE].astype(np.float64)
        part = part[part.any(axis=1)]
        codes = assign_codes(part, codebook)
        items += len(part)
        left += float(((part - decode(codes, codebook)) ** 2).sum())
        squares += float((part**2).sum())
        total += part.sum(axis=0)
        held += np.stack([np.bincount(own, minlength=codebook.shape[1]) for own in codes.T])
    spread = squares - float((total**2).sum()) / max(items, 1)
    return Coding(items, left / max(items, 1), 1 - left / spread if spread > _NOTHING * items else 0.0, held)


def drift(error: float, fitted_error: float) -> float:
    """By which share the error has grown since the codebook was fitted; an error of nothing has not grown."""
    return max(error, _NOTHING) / max(fitted_error, _NOTHING) - 1
