"""The last step of training: coefficients over a fixed tower, drawn to 0 as far as the examples do not bear them out.

With the projection fixed, the listwise loss L is convex in the coefficients, so its least is found by Newton's steps.
Gains are no counts, and takes of one slate no draws of their own: how sure a coefficient is says not the curvature H
alone, but the sandwich with the slates' gradients g_s (Huber 1967; White 1982). With a normal prior for each:

  w            the least of L(w) + sum_j lambda_j w_j^2 / 2
  A = (H + diag(lambda))^-1,  V = A (sum_s g_s g_s') A,  v_j = V_jj
  tau_j^2      max(w_j^2 - v_j, 0): what a coefficient's square has beyond its own error (Efron & Morris 1973)
  lambda_j     (v_j / A_jj) / tau_j^2: the prior's precision, in the loss's units

So a feature that says nothing of this shop's takes ends at 0, and one that does is hardly touched. Coefficients of base
scores are not drawn anywhere, and stay above 0, as that of the cosine does not fall below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nightrank.models.artefact import CLASSES
from nightrank.models.ranker import UNIT_SOFTPLUS, Batch, RankerModule

# So many slates tell some forty numbers well, and take some 200 MB at 24 items; they are the first of a hashed order.
MOST_SLATES = 50_000
_ROUNDS = 6
_STEPS = 8  # of Newton's a round at most; a round begins where the one before ended
_STILL = 1e-4  # a step below it, in standard units of the features, is none
_LEAST_BASE = 0.02  # of the spread of base scores: below it a row's unit would be without bounds
_LEAST_TAU = 1e-6  # in place of 0: a precision is to be finite
_SHARES = (1.0, 0.5, 0.25, 0.125)  # of a step that is tried, until the loss falls
_LOWEST = -1e30


@dataclass(frozen=True)
class _Slates:
    """Columns float32 [B, K, P], targets and offsets float32 [B, K], mask [B, K]: of some examples, over a fixed tower.

    offsets: the logarithms of propensities, which stand beside the scores.
    """

    columns: Tensor
    targets: Tensor
    offsets: Tensor
    mask: Tensor


@dataclass(frozen=True)
class _Surface:
    """The loss about some coefficients: its value, gradient [P], curvature [P, P], and sum of g_s g_s' [P, P]."""

    loss: float
    gradient: Tensor
    curvature: Tensor
    spread: Tensor


def refit(module: RankerModule, batches: Iterable[Batch], l2: float) -> None:
    """Puts the refitted coefficients into the module.

    batches: the training examples, of which the first MOST_SLATES are taken. l2: of the first round, as in training:
    the penalty of a squared coefficient, a slate.
    """
    with torch.no_grad():
        slates = list(_first(module, batches))
        weights = coefficients_of(module)
        weights = torch.maximum(weights, _bounds(weights))
        surface = _surface(slates, weights)
        free = torch.arange(len(weights)) < CLASSES
        precision = torch.where(free, 1e-6, 2 * l2) * max(sum(len(some.mask) for some in slates), 1)
        for _ in range(_ROUNDS):
            weights, surface = _least(slates, weights, surface, precision)
            inverse = torch.linalg.inv(surface.curvature + torch.diag(precision))
            variance = (inverse @ surface.spread @ inverse).diagonal()
            tau = (weights.square() - variance).clamp_min(_LEAST_TAU)
            drawn = (variance / inverse.diagonal()).clamp_min(_LEAST_TAU) / tau
            precision = torch.where(free, precision, drawn)
        put_coefficients(module, _least(slates, weights, surface, precision)[0])


def _first(module: RankerModule, batches: Iterable[Batch]) -> Iterable[_Slates]:
    held = 0
    for batch in batches:
        yield _Slates(_columns(module, batch), batch.gains * batch.mask, batch.log_propensity, batch.mask)
        held += len(batch.mask)
        if held >= MOST_SLATES:
            return


def coefficients_of(module: RankerModule) -> Tensor:
    """The coefficients [P] in standard units: base score a class, other engine features, those by class, shopper, a."""
    base = functional.softplus(module.shared[0] + module.offset[:, 0] + UNIT_SOFTPLUS)
    a = functional.softplus(module.raw_a)[None]
    return torch.cat([base, module.shared[1:], module.offset[:, 1:].flatten(), module.shopper, a]).double()


def put_coefficients(module: RankerModule, weights: Tensor) -> None:
    """The opposite of coefficients_of."""
    others = len(module.shared) - 1
    base, shared, offset, shopper, a = weights.split([CLASSES, others, CLASSES * others, len(module.shopper), 1])
    module.shared[0] = 0.0
    module.shared[1:] = shared
    module.offset[:, 0] = _raw(base) - UNIT_SOFTPLUS
    module.offset[:, 1:] = offset.reshape(CLASSES, others)
    module.shopper.copy_(shopper)
    module.raw_a.copy_(_raw(a)[0])


def _raw(positive: Tensor) -> Tensor:
    """What softplus makes these of."""
    return torch.log(torch.expm1(positive.clamp_min(1e-6)))


def _bounds(weights: Tensor) -> Tensor:
    """What each coefficient is not to fall below: [P]."""
    least = torch.full_like(weights, -torch.inf)
    least[:CLASSES], least[-1] = _LEAST_BASE, 0.0
    return least


def _least(slates: Sequence[_Slates], weights: Tensor, surface: _Surface, precision: Tensor) -> tuple[Tensor, _Surface]:
    """The coefficients of the least penalised loss within the bounds, and the loss about them.

    weights, surface: where to begin.
    """
    least = _bounds(weights)
    for _ in range(_STEPS):
        step = _step(surface, weights, precision, least)
        for share in _SHARES:
            tried = torch.maximum(weights + share * step, least)
            found = _surface(slates, tried)
            if _penalised(found, tried, precision) <= _penalised(surface, weights, precision):
                break
        else:
            return weights, surface
        moved = float((tried - weights).abs().max())
        weights, surface = tried, found
        if moved < _STILL:
            break
    return weights, surface


def _step(surface: _Surface, weights: Tensor, precision: Tensor, least: Tensor) -> Tensor:
    """Newton's step; what stands at its bound and would go beyond it stays there."""
    slope, step = surface.gradient + precision * weights, torch.zeros_like(weights)
    moving = ~((weights <= least) & (slope > 0))
    curvature = (surface.curvature + torch.diag(precision))[moving][:, moving]
    step[moving] = -torch.linalg.solve(curvature, slope[moving])
    return step


def _penalised(surface: _Surface, weights: Tensor, precision: Tensor) -> float:
    return surface.loss + 0.5 * float((precision * weights.square()).sum())


def _surface(slates: Sequence[_Slates], weights: Tensor) -> _Surface:
    size = len(weights)
    loss, gradient = 0.0, torch.zeros(size, dtype=torch.float64)
    curvature, spread = (torch.zeros((size, size), dtype=torch.float64) for _ in range(2))
    for some in slates:
        columns, targets = some.columns.double(), some.targets.double()
        scores = (columns @ weights + some.offsets).masked_fill(~some.mask, _LOWEST)
        log_share = functional.log_softmax(scores, dim=-1)
        total, share = targets.sum(dim=1, keepdim=True), log_share.exp()
        loss -= float((targets * log_share.masked_fill(~some.mask, 0.0)).sum())
        of_slate = ((total * share - targets)[..., None] * columns).sum(dim=1)
        gradient += of_slate.sum(dim=0)
        spread += of_slate.T @ of_slate
        mean = (share[..., None] * columns).sum(dim=1)
        weighed = (total * share)[..., None] * columns
        curvature += weighed.flatten(0, 1).T @ columns.flatten(0, 1) - (total * mean).T @ mean
    return _Surface(loss, gradient, curvature, spread)


def _columns(module: RankerModule, batch: Batch) -> Tensor:
    """What each coefficient of coefficients_of multiplies: [B, K, P], 0 where there is no candidate."""
    cosine, shopper = module.shopper_columns(batch)
    engine = batch.engine_features / module.engine_scale
    of_class = functional.one_hot(batch.class_index, CLASSES)[:, None, :, None]
    by_class = of_class * engine[:, :, None, :]
    told = [by_class[..., 0], engine[..., 1:], by_class[..., 1:].flatten(-2), shopper, cosine[..., None]]
    return torch.cat(told, dim=-1) * batch.mask[..., None]
