"""The loss of a batch of shoppers: a softmax over what each of them takes next, sampled and corrected for that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nightrank.models.batches import Columns
from nightrank.models.lazy_decay import LazyDecay
from nightrank.models.sampled_softmax import draw_negatives, sampled_softmax
from nightrank.models.sequences import TAKEN
from nightrank.models.team import ALONE, Team
from nightrank.models.tower_artefact import Images
from nightrank.models.towers import ItemTower, ShopperTower
from nightrank.sections import SequenceConfig

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Fitting:
    """What a fit turns on. embeddings, images, takes: of the catalogue, in one order. batches: of an epoch.

    id_decay: of items.ids.
    """

    items: ItemTower
    shoppers: ShopperTower
    embeddings: Tensor
    images: Images | None
    takes: Doubles
    settings: SequenceConfig
    seed: int
    batches: int
    id_decay: LazyDecay
    team: Team = ALONE


def loss_of(fitting: Fitting, columns: Columns, random: np.random.Generator) -> Tensor:
    """The batch's mean loss over all takes but each shopper's first, each by the head of its own action.

    Of a device in a team: what its shoppers add to it, times the devices: their mean is the batch's.
    """
    settings, index = fitting.settings, columns["taken_index"].astype(np.int64)
    negatives, predicted = draw_negatives(fitting.takes, settings.draws, random), (index[:, 1:] >= 0).sum()
    rows = np.union1d(index[index >= 0], negatives.rows)
    fitting.id_decay.bring_up_to_date(rows)
    vectors, biases = _items_at(fitting, rows)
    columns = _part_of(fitting.team, columns)
    index, drawn = columns["taken_index"].astype(np.int64), np.searchsorted(rows, negatives.rows)
    at = np.searchsorted(rows, np.maximum(index, rows[0]))
    action, gap = (torch.from_numpy(columns[name][:, :-1].astype(np.int64)) for name in TAKEN[1:])
    hidden = torch.rand(action.shape) < settings.hidden
    shown = functional.embedding(torch.from_numpy(at[:, :-1]), vectors)
    states = fitting.shoppers.states(shown, action, gap, hidden, settings.input_dropout)
    shopper, place = np.nonzero(index[:, 1:] >= 0)
    by = torch.from_numpy(columns["taken_action"][:, 1:][shopper, place].astype(np.int64))
    known = states[torch.from_numpy(shopper), torch.from_numpy(place)]
    scaled = fitting.shoppers.scale() * fitting.shoppers.towards(known, by)
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
