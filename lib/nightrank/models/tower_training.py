"""Training the towers: which item each shopper takes next, by a sampled softmax corrected for its sampling.

Sequences come as a function of a fold that starts a new pass over its rows in a fixed order, as in training.py: columns
taken_index, taken_action, taken_gap [rows, longest], oldest first, index -1 where padded. Blocks of the stream are
shuffled by (seed, epoch, block) and cut into batches of like length. The same rows, items and settings give the same
bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nightrank.errors import ContractError
from nightrank.models.artefact import Floats
from nightrank.models.batches import Columns, Pass, shuffled
from nightrank.models.catalogue import positions
from nightrank.models.sampled_softmax import draw_negatives, log_popularity, sampled_softmax
from nightrank.models.team import ALONE, Team
from nightrank.models.tower_artefact import Images, Towers, image_dims
from nightrank.models.towers import ItemTower, ShopperTower
from nightrank.models.training import deterministic
from nightrank.sections import RankerRunsConfig, SequenceConfig

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

_LONGEST_STEP = 5.0
_TAKEN = ("taken_index", "taken_action", "taken_gap")


@dataclass(frozen=True)
class Fitting:
    """What a fit turns on. embeddings, images, takes: of the catalogue, in one order. steps: of the whole fit."""

    items: ItemTower
    shoppers: ShopperTower
    embeddings: Tensor
    images: Images | None
    takes: Doubles
    settings: SequenceConfig
    seed: int
    steps: int
    team: Team = ALONE


def train_towers(
    sequences: Pass,
    item_ids: NDArray[np.str_],
    embeddings: Floats,
    settings: RankerRunsConfig,
    start: Towers | None = None,
    images: Images | None = None,
    team: Team = ALONE,
) -> tuple[Towers, list[float]]:
    """The towers after the last epoch, and the mean loss of each epoch.

    item_ids [n] sorted, embeddings [n, encoder dims]: the catalogue, rows by item_index; images: those of its items.
    start: towers that it begins from, as far as they fit. Raises ContractError where nobody has taken two items or the
    loss is not a number.
    """
    takes, batches = _counts(sequences, len(item_ids), settings.sequence)
    if not batches:
        raise ContractError("Towers cannot be trained: expected shoppers with two takes or more, found none.")
    with deterministic(settings.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        items, shoppers = _modules(embeddings, images, takes, settings)
        if start is not None:
            _begin_from(start, items, shoppers, item_ids)
        steps = batches * settings.sequence.epochs
        text = torch.from_numpy(embeddings)
        fitting = Fitting(items, shoppers, text, images, takes, settings.sequence, settings.seed, steps, team)
        losses = _fit(fitting, sequences)
        return _kept(items, shoppers, item_ids, takes), losses


def _counts(sequences: Pass, items: int, settings: SequenceConfig) -> tuple[Doubles, int]:
    """Takes of each item, and the number of batches of an epoch."""
    takes = np.zeros(items)
    for part in sequences("train"):
        index = part["taken_index"]
        takes += np.bincount(index[index >= 0], minlength=items)
    return takes, sum(1 for _ in _batches(sequences, settings, 0, 0))


def _modules(
    embeddings: Floats, images: Images | None, takes: Doubles, settings: RankerRunsConfig
) -> tuple[ItemTower, ShopperTower]:
    sizes = settings.sequence
    centre = embeddings.mean(axis=0, dtype=np.float64)
    image_centre = None if images is None else images.vectors.mean(axis=0, dtype=np.float64)
    items = ItemTower(centre, log_popularity(takes), settings.dims, image_centre)
    tower = ShopperTower(settings.dims, sizes.layers, sizes.heads, sizes.width, sizes.longest, sizes.dropout)
    return items.train(), tower.train()


def _begin_from(start: Towers, items: ItemTower, shoppers: ShopperTower, item_ids: NDArray[np.str_]) -> None:
    """Puts the weights of `start` into towers of the same sizes: of the items that it knew, and all the shopper's."""
    own = shoppers.state_dict()
    given = {name: torch.tensor(np.asarray(values)) for name, values in start.shopper.items()}
    if start.projection.T.shape != items.projection.weight.shape or _shapes(given) != _shapes(own):
        return
    shoppers.load_state_dict(given)
    rows = positions(start.item_ids, item_ids)
    with torch.no_grad():
        items.projection.weight.copy_(torch.from_numpy(start.projection.T.copy()))
        items.ids.weight[rows >= 0] = torch.from_numpy(start.ids[rows[rows >= 0]])
        if image_dims(start) and items.image_dims() == image_dims(start):
            items.image_projection.weight.copy_(torch.from_numpy(start.image_projection.T.copy()))
            items.open_gate(torch.from_numpy(start.image_gate))


def _shapes(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(values.shape) for name, values in weights.items()}


def _fit(fitting: Fitting, sequences: Pass) -> list[float]:
    """The mean loss of each epoch; the learning rate falls to 0 in equal steps."""
    settings = fitting.settings
    sparse = [fitting.items.ids.weight, fitting.items.bias.weight]
    dense = [*fitting.items.dense_weights(), *fitting.shoppers.parameters()]
    optimisers = (
        torch.optim.SparseAdam(sparse, lr=settings.learning_rate),
        torch.optim.AdamW(dense, lr=settings.learning_rate, weight_decay=settings.weight_decay),
    )
    losses, step = [], 0
    for epoch in range(1, settings.epochs + 1):
        of_epoch = []
        for number, columns in enumerate(_batches(sequences, settings, fitting.seed, epoch)):
            _pace(optimisers, settings.learning_rate * (1 - step / fitting.steps))
            loss = _loss(fitting, columns, np.random.default_rng((fitting.seed, epoch, number)))
            of_epoch.append(_finite(fitting.team.mean(loss.item()), epoch))
            loss.backward()
            fitting.team.average([*dense, *sparse])
            torch.nn.utils.clip_grad_norm_(dense, _LONGEST_STEP)
            for optimiser in optimisers:
                optimiser.step()
            step += 1
        losses.append(float(np.mean(of_epoch)))
    return losses


def _finite(loss: float, epoch: int) -> float:
    if not np.isfinite(loss):
        raise ContractError(
            f"Towers cannot be trained: expected a finite loss, found {loss} in epoch {epoch}. Look for "
            "numbers in the table item_embeddings, or lower ranker_runs.sequence.learning_rate."
        )
    return loss


def _pace(optimisers: tuple[torch.optim.Optimizer, ...], learning_rate: float) -> None:
    """Gets the optimisers ready for a step at that rate."""
    for optimiser in optimisers:
        optimiser.zero_grad()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate


def _batches(sequences: Pass, settings: SequenceConfig, seed: int, epoch: int) -> Iterator[Columns]:
    """Batches of shoppers with two takes or more, of like length within a block, cut to the longest of them."""
    for number, block in enumerate(shuffled(_told(sequences("train")), seed, epoch)):
        lengths = (block["taken_index"] >= 0).sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        starts = np.arange(0, len(order), settings.batch)
        for start in np.random.default_rng((seed, epoch, number, 1)).permutation(starts):
            rows = order[start : start + settings.batch]
            yield {name: block[name][rows, : lengths[rows].max()] for name in _TAKEN}


def _told(stream: Iterator[Columns]) -> Iterator[Columns]:
    """The rows that tell what came after something."""
    for part in stream:
        kept = (part["taken_index"] >= 0).sum(axis=1) > 1
        if kept.any():
            yield {name: column[kept] for name, column in part.items()}


def _loss(fitting: Fitting, columns: Columns, random: np.random.Generator) -> Tensor:
    """The batch's mean loss over all takes but each shopper's first.

    Of a device in a team: what its shoppers add to it, times the devices: their mean is the batch's.
    """
    settings, index = fitting.settings, columns["taken_index"].astype(np.int64)
    negatives, predicted = draw_negatives(fitting.takes, settings.draws, random), (index[:, 1:] >= 0).sum()
    rows = np.union1d(index[index >= 0], negatives.rows)
    vectors, biases = _items_at(fitting, rows)
    columns = _part_of(fitting.team, columns)
    index, drawn = columns["taken_index"].astype(np.int64), np.searchsorted(rows, negatives.rows)
    at = np.searchsorted(rows, np.maximum(index, rows[0]))
    action, gap = (torch.from_numpy(columns[name][:, :-1].astype(np.int64)) for name in _TAKEN[1:])
    hidden = torch.rand(action.shape) < settings.hidden
    shown = functional.embedding(torch.from_numpy(at[:, :-1]), vectors)
    states = fitting.shoppers(shown, action, gap, hidden, settings.input_dropout)
    shopper, place = np.nonzero(index[:, 1:] >= 0)
    scaled = fitting.shoppers.scale() * states[torch.from_numpy(shopper), torch.from_numpy(place)]
    positive = torch.from_numpy(at[:, 1:][shopper, place])
    taken = (scaled * functional.embedding(positive, vectors)).sum(dim=-1) + biases[positive]
    scores = scaled @ vectors[torch.from_numpy(drawn)].T + biases[torch.from_numpy(drawn)]
    out = torch.from_numpy(_takes_too(index, at, len(rows))[:, drawn][shopper])
    losses = sampled_softmax(taken, scores, negatives.log_chance, out)
    return losses.mean() if fitting.team.size == 1 else losses.sum() * (fitting.team.size / float(predicted))


def _items_at(fitting: Fitting, rows: Indices) -> tuple[Tensor, Tensor]:
    """Vectors [U, dims] and biases [U] of these rows of the catalogue."""
    in_catalogue = torch.from_numpy(rows)
    images = fitting.images and tuple(map(torch.from_numpy, fitting.images.among(rows)))
    text = fitting.embeddings[in_catalogue]
    return fitting.items(in_catalogue, text, fitting.settings.id_dropout, images), fitting.items.biases(in_catalogue)


def _part_of(team: Team, columns: Columns) -> Columns:
    """This device's shoppers; one that stands in for another takes nothing."""
    if team.size == 1:
        return columns
    count = len(columns["taken_index"])
    part = {name: column[team.rows(count)] for name, column in columns.items()}
    part["taken_index"][team.stands_in(count)] = -1
    return part


def _takes_too(index: Indices, at: Indices, items: int) -> NDArray[np.bool_]:
    """bool [B, items]: whether the shopper takes the item anywhere in the sequence: no negative of theirs, then."""
    takes = np.zeros((len(index), items), dtype=np.bool_)
    shopper, place = np.nonzero(index >= 0)
    takes[shopper, at[shopper, place]] = True
    return takes


def _kept(items: ItemTower, shoppers: ShopperTower, item_ids: NDArray[np.str_], takes: Doubles) -> Towers:
    weights = {name: values.numpy().astype(np.float32) for name, values in shoppers.state_dict().items()}
    with torch.no_grad():
        return Towers(
            item_ids=item_ids,
            ids=items.ids.weight.numpy().copy(),
            bias=items.bias.weight[:, 0].numpy().copy(),
            takes=takes.astype(np.float32),
            centre=items.centre.numpy().copy(),
            projection=items.projection.weight.numpy().T.copy(),
            shopper=weights,
            **items.of_images(),
        )
