"""The gates of one class: which searches make a cell, and which rule makes their gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nightrank.models.gate import Gate, fit_gate
from nightrank.models.gate_cells import UNKNOWN, Array, Judged, Numbers, learned_gates, merged
from nightrank.sections import GatesConfig

Keyed = tuple[int, float, Gate]


@dataclass(frozen=True)
class Cell:
    """Searches [n] of shoppers of some evidence and agreement: at least so much, less than the next cell's."""

    min_evidence: int
    min_agreement: float
    within: NDArray[np.bool_]


def class_gates(
    judged: Judged,
    evidence: Numbers,
    agreement: Array,
    alphas: Sequence[float],
    clip: float,
    settings: GatesConfig,
    seed: int,
) -> list[Keyed]:
    """(min_evidence, min_agreement, gate) of each cell, in that order; a row has the last whose both it reaches.

    evidence, agreement: of each search's shopper, UNKNOWN where there is none. Buckets of agreement of one bucket of
    evidence are put together until each has settings.min_shoppers. With fewer than two such cells there is one gate a
    bucket of evidence. Shoppers of whom nothing is known have one of their own, by that rule, in either case.
    """
    lows = (0, *sorted(settings.evidence_buckets))
    bucket = np.searchsorted(lows[1:], evidence, side="right")
    nobody, *known = _by_evidence(judged, bucket, len(lows), alphas, clip, settings, seed)
    cells = _cells(judged, bucket, agreement, settings)
    enough = [cell for cell in cells if len(np.unique(judged.users[cell.within])) >= settings.min_shoppers]
    if len(enough) < 2:
        return [(low, UNKNOWN, gate) for low, gate in zip(lows, [nobody, *known], strict=True)]
    return [(0, UNKNOWN, nobody), *_learned(judged, cells, alphas, clip)]


def _by_evidence(
    judged: Judged,
    bucket: Numbers,
    buckets: int,
    alphas: Sequence[float],
    clip: float,
    settings: GatesConfig,
    seed: int,
) -> list[Gate]:
    """A gate a bucket of evidence; one with too few searches takes the gate of all shoppers with any evidence."""

    def fitted(chosen: NDArray[np.bool_]) -> Gate:
        users, weights, ndcgs = judged.users[chosen], judged.weights[chosen], judged.ndcgs[chosen]
        return fit_gate(users, weights, ndcgs, alphas, clip, settings.bootstrap, seed)

    pooled, found = fitted(bucket > 0), []
    for one in range(buckets):
        gate = fitted(bucket == one)
        if (bucket == one).sum() < settings.min_searches:
            # Nothing is known of the first bucket's shoppers: what others gain says nothing of them.
            gate = pooled if one else replace(gate, alpha=0.0, bound=0.0)
        found.append(gate)
    return found


def _cells(judged: Judged, bucket: Numbers, agreement: Array, settings: GatesConfig) -> list[Cell]:
    """In order of evidence, then agreement, from the first bucket with any evidence on."""
    lows = np.array([UNKNOWN, 0.0, *sorted(settings.agreement_buckets)])
    agreed = np.searchsorted(lows[1:], agreement, side="right")
    found: list[Cell] = []
    for number, low in enumerate(sorted(settings.evidence_buckets), start=1):
        buckets = [(bucket == number) & (agreed == a) for a in range(len(lows))]
        shoppers = np.array([len(np.unique(judged.users[within])) for within in buckets])
        groups = merged(shoppers, settings.min_shoppers)
        found += [Cell(low, float(lows[group[0]]), np.any([buckets[a] for a in group], axis=0)) for group in groups]
    return found


def _learned(judged: Judged, cells: list[Cell], alphas: Sequence[float], clip: float) -> list[Keyed]:
    counted = np.any([cell.within for cell in cells], axis=0)
    of_search = np.argmax([cell.within for cell in cells], axis=0)[counted]
    searches = Judged(judged.users[counted], judged.weights[counted], judged.ndcgs[counted])
    keys = [(cell.min_evidence, cell.min_agreement) for cell in cells]
    gates = learned_gates(searches, of_search, len(keys), _chains(keys), alphas, clip)
    return [(*key, gate) for key, gate in zip(keys, gates, strict=True)]


def _chains(keys: list[tuple[int, float]]) -> list[list[int]]:
    """The cells of each bucket of evidence by rising agreement; where that is not known it is neither high nor low."""
    apart = {low for low, least in keys if least == 0.0}  # their first cell holds only shoppers of whom it is unknown
    ordered = [[c for c, (low, least) in enumerate(keys) if low == one and least >= 0] for one in sorted(apart)]
    mixed = sorted({low for low, _ in keys} - apart)
    return [*ordered, *([c for c, (low, _) in enumerate(keys) if low == one] for one in mixed)]
