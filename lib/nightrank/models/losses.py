"""What training brings down. Shapes: B slates (or pairs) of K candidates."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def listwise_softmax(scores: Tensor, targets: Tensor, mask: Tensor, slate_weight: Tensor) -> Tensor:
    """The mean over slates of - sum over candidates of target × log softmax(scores), weighted by slate.

    scores, targets, mask: (B, K); slate_weight: (B); mask is True where there is a candidate. A target is a gain, not
    normalised within the slate: who took more says more. Where positions tell on takes, scores come with the logarithm
    of their propensities added, or targets divided by them (Ai et al. 2018).
    A slate whose targets are all 0 contributes 0 and is not counted in the mean; no slate with a target: 0.
    """
    lowest = torch.finfo(scores.dtype).min
    log_share = functional.log_softmax(scores.masked_fill(~mask, lowest), dim=-1)
    target = targets.masked_fill(~mask, 0.0)
    # Padding's log share is about -1e38; 0 times it is fine, but its gradient path is closed all the same.
    loss = -(target * log_share.masked_fill(~mask, 0.0)).sum(dim=-1)
    counted = slate_weight * (target.sum(dim=-1) > 0)
    return (counted * loss).sum() / counted.sum().clamp_min(torch.finfo(scores.dtype).tiny)


def binary_cross_entropy(logits: Tensor, taken: Tensor) -> Tensor:
    """The mean of -(taken × log p + (1 - taken) × log(1 - p)), p = sigmoid(logit): both terms.

    logits, taken: same shape, taken within [0, 1]. Written with log sigmoid, which stays finite for any logit.
    """
    return -(taken * functional.logsigmoid(logits) + (1 - taken) * functional.logsigmoid(-logits)).mean()


def distance_and_behaviour(
    one: Tensor, other: Tensor, rating: Tensor, logits: Tensor, taken: Tensor, behaviour_share: float
) -> Tensor:
    """The sum of two tasks: rating-weighted distance of the pair's vectors, and whether the item was taken.

    one, other: (B, D); rating >= 0, logits, taken: (B). mean(rating × |one - other|²) + behaviour_share ×
    binary_cross_entropy. The rating multiplies the distance, so descending it pulls a highly rated pair together
    harder; dividing by it, or subtracting the term, would push the pair apart.
    """
    distance = (rating * (one - other).square().sum(dim=-1)).mean()
    return distance + behaviour_share * binary_cross_entropy(logits, taken)


def in_batch_softmax(
    scores: Tensor, log_expected: Tensor, false_negative: Tensor, hard_scores: Tensor, hard_mask: Tensor
) -> Tensor:
    """The mean over rows b of -log of the share that item b has among the candidates of query b.

    scores (B, B): query b with the item that row j took. log_expected (B): log of how many rows of a batch are expected
    to hold item j; taken off its scores, since what many take stands among the candidates more often than it is
    wanted less (log-Q: Bengio & Senécal 2008, Yi et al. 2019). false_negative (B, B): where item j is wanted for query
    b too, and is no candidate; the diagonal stays one. hard_scores, hard_mask (B, K): candidates of row b alone; they
    are there for certain, so nothing is taken off.
    """
    lowest = torch.finfo(scores.dtype).min
    own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    others = (scores - log_expected).masked_fill(false_negative & ~own, lowest)
    candidates = torch.cat([others, hard_scores.masked_fill(~hard_mask, lowest)], dim=1)
    return -functional.log_softmax(candidates, dim=1).diagonal().mean()
