"""Training the ranker: listwise softmax with positions as offsets, AdamW, early stopping.

An item is taken where it is looked at and wanted: of a slate with a take, the share of each item in it is about that of
propensity x exp(score), if takes are rare. So the propensity's logarithm stands beside the score while training (an
offset, as McFadden 1978 has for alternatives offered unevenly). Gains divided by propensities (Joachims et al. 2017)
ask for the same scores, but a few takes from deep positions then outweigh all others; only measures are weighted so.

Examples come as a function of a fold, 'train' or 'valid', that starts a new pass over its rows in a fixed order; how
the rows are cut into parts does not matter. The same rows, embeddings and settings give the same bits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightrank.errors import ConfigError, ContractError
from nightrank.models.artefact import Floats, project, shopper_vector
from nightrank.models.batches import Columns, Pass, recut, shuffled
from nightrank.models.feature_names import Doubles
from nightrank.models.feature_scales import feature_scales
from nightrank.models.losses import listwise_softmax
from nightrank.models.metrics import has_relevant, ndcg_at_k
from nightrank.models.ranker import RankerModule, to_batch
from nightrank.models.refit import refit
from nightrank.sections import RankerRunsConfig

# The projection starts from the catalogue's main directions: it needs smaller steps than coefficients that start at 0.
_PROJECTION_PACE = 0.02
_LONGEST_STEP = 5.0
_CUTOFF = 10
_FITTED_ITEMS = 200_000


@dataclass(frozen=True)
class Trained:
    """What training learned. curves: one mapping an epoch, of train_loss and, with valid examples, valid figures."""

    projection: Floats
    a: float
    shopper_coefficients: Doubles
    engine_coefficients: Doubles
    mean_shopper: Floats
    curves: tuple[dict[str, float], ...]
    best_epoch: int
    metrics: dict[str, float]


def train_ranker(
    examples: Pass, embeddings: Floats, settings: RankerRunsConfig, tower: Floats | None = None
) -> Trained:
    """The ranker that ranks the valid fold best among the epochs (without valid examples the last), refitted.

    Its coefficients are fitted anew over its projection (refit.py), and the projection is kept if it beats the first.

    embeddings: [items, encoder dims], rows by item_index. tower: a projection to be kept as it is; None: one is
    learned. Where examples have a column `shopper` [rows, dims], that is u. Raises ContractError where the loss is not
    a number; ConfigError where dims exceed the encoder's.
    """
    with deterministic(settings.threads):
        start = first_projection(embeddings, settings.dims) if tower is None else tower
        scales = feature_scales(examples, settings.batch)
        module = RankerModule(start, *scales)
        module.projection.requires_grad_(tower is None)
        curves, best_epoch = _fit(module, examples, embeddings, settings)
        figures = _refitted(module, examples, embeddings, settings)
        if tower is None:
            module, figures = _better(module, figures, RankerModule(start, *scales), examples, embeddings, settings)
        with torch.no_grad():
            projection = module.projection.numpy().copy()
            return Trained(
                projection=projection,
                a=float(module.a()),
                shopper_coefficients=(module.shopper / module.shopper_scale).double().numpy(),
                engine_coefficients=module.engine_coefficients().double().numpy(),
                mean_shopper=_mean_shopper(examples, project(embeddings, projection), settings.batch),
                curves=tuple(curves),
                best_epoch=best_epoch,
                metrics={**curves[best_epoch - 1], **figures, **_base_order(examples, settings)},
            )


def _refitted(module: RankerModule, examples: Pass, embeddings: Floats, settings: RankerRunsConfig) -> dict[str, float]:
    """The valid figures of the module, whose coefficients are refitted."""
    told = recut(examples("train"), settings.batch)
    refit(module, (to_batch(columns, embeddings) for columns in told), settings.l2)
    return _validate(module, examples, embeddings, settings)


def _better(
    learned: RankerModule,
    figures: dict[str, float],
    plain: RankerModule,
    examples: Pass,
    embeddings: Floats,
    settings: RankerRunsConfig,
) -> tuple[RankerModule, dict[str, float]]:
    """The module of the lower valid loss, and its figures: few examples teach a projection what is not so.

    On what a projection was learned from it always looks better. Without valid examples the learned one stands.
    """
    if not figures:
        return learned, figures
    told = _refitted(plain, examples, embeddings, settings)
    is_learned = figures["valid_loss"] <= told["valid_loss"]
    module, chosen = (learned, figures) if is_learned else (plain, told)
    return module, {**chosen, "projection_learned": float(is_learned)}


def first_projection(embeddings: Floats, dims: int) -> Floats:
    """The catalogue's `dims` main directions, orthonormal columns [encoder dims, dims] in a fixed sign."""
    if not 1 <= dims <= embeddings.shape[1]:
        raise ConfigError(f"ranker_runs.dims: expected 1 to {embeddings.shape[1]}, the encoder's, found {dims}.")
    items = torch.from_numpy(embeddings[:: -(-len(embeddings) // _FITTED_ITEMS)].astype(np.float64))
    centred = items - items.mean(dim=0)
    _, directions = torch.linalg.eigh(centred.T @ centred)
    main = directions[:, -dims:].flip(1).numpy()
    largest = main[np.abs(main).argmax(axis=0), np.arange(dims)]
    return np.ascontiguousarray(main * np.sign(largest), np.float32)


def _fit(
    module: RankerModule, examples: Pass, embeddings: Floats, settings: RankerRunsConfig
) -> tuple[list[dict[str, float]], int]:
    """The curves and the best epoch, from 1; the module is left as it was after that epoch."""
    optimiser = _optimiser(module, settings)
    curves: list[dict[str, float]] = []
    best_epoch, best, kept = 0, -np.inf, module.state_dict()
    for epoch in range(1, settings.epochs + 1):
        train_loss = _train_epoch(module, optimiser, examples, embeddings, settings, epoch)
        curves.append({"train_loss": train_loss, **_validate(module, examples, embeddings, settings)})
        judged = curves[-1].get("valid_ndcg", float(epoch))
        if judged > best:
            best_epoch, best = epoch, judged
            kept = {name: value.clone() for name, value in module.state_dict().items()}
        if epoch - best_epoch >= settings.patience:
            break
    module.load_state_dict(kept)
    return curves, best_epoch


def _optimiser(module: RankerModule, settings: RankerRunsConfig) -> torch.optim.Optimizer:
    coefficients = [module.raw_a, module.shopper, module.shared, module.offset]
    tower = {"params": [module.projection], "lr": settings.learning_rate * _PROJECTION_PACE}
    # Coefficients are drawn to 0 by the penalty in the loss, where the data can outweigh it; not by decay.
    return torch.optim.AdamW(
        [{"params": coefficients, "weight_decay": 0.0}, {**tower, "weight_decay": settings.weight_decay}],
        lr=settings.learning_rate,
    )


def _train_epoch(
    module: RankerModule,
    optimiser: torch.optim.Optimizer,
    examples: Pass,
    embeddings: Floats,
    settings: RankerRunsConfig,
    epoch: int,
) -> float:
    """The epoch's mean loss."""
    losses, counts = [0.0], [0]
    for columns in recut(shuffled(examples("train"), settings.seed, epoch), settings.batch):
        optimiser.zero_grad()
        loss, count, _ = _loss(module, columns, embeddings)
        if not torch.isfinite(loss):
            raise ContractError(
                f"The ranker cannot be trained: expected a finite loss, found {loss.item()} in epoch {epoch}. Look for "
                "extreme features or gains in the table training_examples, or lower ranker_runs.learning_rate."
            )
        (loss + settings.l2 * module.penalty()).backward()
        torch.nn.utils.clip_grad_norm_([p for p in module.parameters() if p.requires_grad], _LONGEST_STEP)
        optimiser.step()
        losses.append(loss.item() * count)
        counts.append(count)
    return sum(losses) / max(sum(counts), 1)


def _validate(module: RankerModule, examples: Pass, embeddings: Floats, settings: RankerRunsConfig) -> dict[str, float]:
    """valid_ndcg and valid_loss, means over slates with a gain; nothing where there is none."""
    total, ndcg = np.zeros(2), np.zeros(2)
    with torch.no_grad():
        for columns in recut(examples("valid"), settings.batch):
            loss, count, scores = _loss(module, columns, embeddings)
            total += [float(loss) * count, count]
            ndcg += _ndcg(scores.numpy(), columns)
    if total[1] <= 0:
        return {}
    return {"valid_ndcg": float(ndcg[0] / ndcg[1]), "valid_loss": float(total[0] / total[1])}


def _base_order(examples: Pass, settings: RankerRunsConfig) -> dict[str, float]:
    """base_ndcg: what the order of base scores alone is worth on the valid fold."""
    total = np.zeros(2)
    for columns in recut(examples("valid"), settings.batch):
        base = columns["engine_features"].reshape(*columns["item_index"].shape, -1)[..., 0]
        total += _ndcg(base, columns)
    return {"base_ndcg": float(total[0] / total[1])} if total[1] > 0 else {}


def _loss(module: RankerModule, columns: Columns, embeddings: Floats) -> tuple[Tensor, int, Tensor]:
    """The mean loss of the slates with a gain, how many they are, and all scores."""
    batch = to_batch(columns, embeddings)
    scores, alike = module(batch), torch.ones(len(batch.mask), dtype=batch.gains.dtype)
    loss = listwise_softmax(scores + batch.log_propensity, batch.gains, batch.mask, alike)
    return loss, int(_with_gain(columns).sum()), scores


def _ndcg(scores: NDArray[np.floating], columns: Columns) -> Doubles:
    """Sums of nDCG times inverse propensity and of the latter: [2], as nights are judged; equal scores rank by item."""
    mask = columns["item_index"] >= 0
    ndcg = ndcg_at_k(scores, columns["gains"], _CUTOFF, tie_order=columns["item_index"], mask=mask)
    weight = np.where(_with_gain(columns), columns["inverse_propensity"].astype(np.float64), 0.0)
    return np.array([(ndcg * weight).sum(), weight.sum()])


def _with_gain(columns: Columns) -> NDArray[np.bool_]:
    return has_relevant(columns["gains"], columns["item_index"] >= 0)


def _mean_shopper(examples: Pass, vectors: Floats, rows: int) -> Floats:
    """Mean unit vector over the training examples whose shopper has recents; zero without any."""
    total, count = np.zeros(vectors.shape[1]), 0
    for columns in recut(examples("train"), rows):
        recents = columns["recent_index"], columns["recent_weight"]
        shoppers = columns["shopper"] if "shopper" in columns else shopper_vector(vectors, *recents)
        total += shoppers.sum(axis=0, dtype=np.float64)
        count += int(shoppers.any(axis=1).sum())
    return (total / max(count, 1)).astype(np.float32)


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Torch's settings for equal bits, put back afterwards."""
    # On a GPU torch refuses matrix products without it; it is read when the first one is made, and stays.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
