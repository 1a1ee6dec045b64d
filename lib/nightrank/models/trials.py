"""Which combinations of settings a sweep tries, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

Value = int | float
Changes = Mapping[str, Value]


@dataclass(frozen=True)
class Trial:
    """What training came to with some settings changed. figures: of the epoch that was kept, and which it was."""

    changes: Changes
    figures: Mapping[str, float]
    curves: Sequence[Mapping[str, float]]

    @property
    def ndcg(self) -> float:
        """nDCG of the validation nights, which it is judged by; 0 where nothing of them can be judged."""
        return self.figures.get("valid_ndcg", 0.0)


def combinations(settings: Mapping[str, Sequence[Value]], most: int, seed: int) -> list[Changes]:
    """Nothing changed, then every combination of the values, or `most` of them, drawn by seed; in a fixed order."""
    names = sorted(settings)
    every = [dict(zip(names, values, strict=True)) for values in product(*(settings[name] for name in names))]
    if len(every) > most:
        drawn = np.random.default_rng(seed).choice(len(every), size=most, replace=False)
        every = [every[at] for at in np.sort(drawn)]
    return [{}, *(changes for changes in every if changes)]


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the largest nDCG; of equal ones the first, so that nothing is changed for nothing."""
    return max(trials, key=lambda trial: trial.ndcg)
