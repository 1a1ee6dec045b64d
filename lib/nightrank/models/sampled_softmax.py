"""A softmax over a large catalogue: the items drawn for it, and its correction for how they were drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Doubles = NDArray[np.float64]

_SMALLEST = -1e9  # the logit of what must not count; finite, so that its gradient is 0
_FLATTENED = 0.75  # between alike for all and as often as taken (Mikolov et al. 2013)


@dataclass(frozen=True)
class Negatives:
    """Items drawn for a batch, in order, and the log of each one's chance to be among them."""

    rows: NDArray[np.int64]
    log_chance: Tensor


def log_popularity(takes: Doubles) -> Doubles:
    """log((takes + 1) / (all takes + items)): what biases start from."""
    return np.asarray(np.log((takes + 1) / (takes.sum() + len(takes))))


def draw_negatives(takes: Doubles, draws: int, random: np.random.Generator) -> Negatives:
    """`draws` draws, half of them alike for all items, half by takes ** 0.75, without repetitions.

    The chance that an item of probability q is among M draws is 1 - (1 - q) ** M. A catalogue of no more items than
    draws is taken whole, each with chance 1: the full softmax.
    """
    items = len(takes)
    if items <= draws:
        return Negatives(np.arange(items), torch.zeros(items))
    flattened = takes**_FLATTENED
    share = 0.5 / items + 0.5 * flattened / flattened.sum()
    cumulative = np.cumsum(share)
    found = np.searchsorted(cumulative, random.random(draws) * cumulative[-1], side="right")
    rows = np.unique(np.minimum(found, items - 1))
    chance = -np.expm1(draws * np.log1p(-share[rows]))
    return Negatives(rows, torch.from_numpy(np.log(chance)).float())


def sampled_softmax(taken: Tensor, drawn: Tensor, log_chance: Tensor, out: Tensor) -> Tensor:
    """[T]: -log of the positive's share among itself and the negatives, each divided by its chance to be drawn.

    taken [T]: scores of the positives; drawn [T, S]: of the negatives; out [T, S]: what is none: the positive itself,
    and whatever else the shopper takes. The sum over the draws is an unbiased estimate of that over all items (Bengio &
    Senecal 2008), so a score is about a log probability, up to a constant of the shopper.
    """
    negatives = (drawn - log_chance).masked_fill(out, _SMALLEST)
    return torch.logsumexp(torch.cat([taken[:, None], negatives], dim=1), dim=1) - taken
