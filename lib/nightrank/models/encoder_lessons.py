"""What an encoder learns from: searches with an item that they took, and what is known of all of them together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightrank.models.batches import Columns, row_count
from nightrank.models.encoder_module import TextEncoder
from nightrank.models.losses import binary_cross_entropy, in_batch_softmax, listwise_softmax
from nightrank.models.query_augmenting import augmented
from nightrank.models.retrieval import Flags, Takes
from nightrank.models.team import ALONE, Team
from nightrank.sections import EncoderRunsConfig


@dataclass(frozen=True)
class Lessons:
    """Texts by number, and who took what.

    unseen [I]: items that are kept from training, to be judged by. examples: starts a pass over `rows` rows in a fixed
    order: query_index [rows], item_index [rows, 1 + hard negatives], the taken item first, then items that were looked
    at in its slate and not taken, -1 where there are fewer. valid: what a later day took, for early stopping.
    """

    query_texts: tuple[str, ...]
    item_texts: tuple[str, ...]
    unseen: Flags
    rows: int
    examples: Callable[[], Iterator[Columns]]
    valid: Takes


@dataclass(frozen=True)
class Overview:
    """What one pass over the examples tells.

    share [I]: of all takes, those of each item. taken: sorted codes (query × items + item) of the pairs that were ever
    taken. digest: names the lessons.
    """

    share: NDArray[np.float64]
    taken: NDArray[np.int64]
    digest: str

    def took(self, queries: NDArray[np.int64], items: NDArray[np.int64]) -> Flags:
        """Whether an example of each query [B] took each of the items [K]: [B, K]."""
        return np.isin(queries[:, None] * len(self.share) + items, self.taken)


def overview(lessons: Lessons) -> Overview:
    """What one pass over the lessons' examples tells."""
    takes, pairs = np.zeros(len(lessons.item_texts)), [np.zeros(0, np.int64)]
    said = hashlib.sha256("\0".join((*lessons.query_texts, "", *lessons.item_texts)).encode())
    for columns in lessons.examples():
        query, items = columns["query_index"].astype(np.int64), columns["item_index"].astype(np.int64)
        takes += np.bincount(items[:, 0], minlength=len(takes))
        pairs.append(query * len(takes) + items[:, 0])
        said.update(np.column_stack([query, items]).tobytes())
    for part in (lessons.valid.search, lessons.valid.query, lessons.valid.item, lessons.valid.gain):
        said.update(part.tobytes())
    return Overview(takes / max(takes.sum(), 1.0), np.unique(np.concatenate(pairs)), said.hexdigest())


@dataclass(frozen=True)
class Texts:
    """The lessons' texts for one encoder: the token ids of items, and queries as they were typed."""

    queries: tuple[str, ...]
    item_ids: list[tuple[int, ...]]


def loss_of(
    model: TextEncoder,
    texts: Texts,
    columns: Columns,
    known: Overview,
    settings: EncoderRunsConfig,
    draws: np.random.Generator,
    team: Team = ALONE,
) -> Tensor:
    """What training brings down on one batch: the contrastive loss, and the two heads by their weights.

    draws: decides which queries are typed in another way, and how. Each device of a team encodes its own rows and has
    the others' vectors from them: the loss is that of the whole batch, and every row is told apart from all others.
    """
    query, item = columns["query_index"].astype(np.int64), columns["item_index"].astype(np.int64)
    mask = torch.from_numpy(item >= 0).to(model.device)
    typed, own = _typed([texts.queries[n] for n in query], settings.augmented_share, draws), team.rows(len(query))
    slates = team.joined(_slates(model, texts, np.where(item >= 0, item, item[:, :1])[own]), len(query))
    queries = team.joined(_queries(model, [typed[n] for n in own]), len(query))
    cosines = (queries.unsqueeze(1) * slates).sum(dim=-1)
    total = in_batch_softmax(
        queries @ slates[:, 0].T / settings.temperature,
        torch.from_numpy(np.log(row_count(columns) * known.share[item[:, 0]])).to(cosines),
        torch.from_numpy(known.took(query, item[:, 0])).to(model.device),
        cosines[:, 1:] / settings.temperature,
        mask[:, 1:],
    )
    taken = torch.zeros_like(cosines)
    taken[:, 0] = 1.0
    if settings.pointwise_weight:
        logits = (cosines - model.offset) / settings.temperature
        total = total + settings.pointwise_weight * binary_cross_entropy(logits[mask], taken[mask])
    if settings.listwise_weight:
        listwise = listwise_softmax(cosines / settings.temperature, taken, mask, torch.ones_like(cosines[:, 0]))
        total = total + settings.listwise_weight * listwise
    return total


def _slates(model: TextEncoder, texts: Texts, item: NDArray[np.int64]) -> Tensor:
    """[B, 1 + K, dims]: each item of the batch is encoded once."""
    numbers, place = np.unique(item, return_inverse=True)
    vectors = model([texts.item_ids[n] for n in numbers])
    return vectors[torch.from_numpy(place.reshape(item.shape)).to(model.device)]


def _queries(model: TextEncoder, typed: list[str]) -> Tensor:
    """[B, dims]: each query of the batch is encoded once."""
    distinct = sorted(set(typed))
    place = {query: n for n, query in enumerate(distinct)}
    vectors = model(model.tokens(distinct))
    return vectors[torch.tensor([place[query] for query in typed], device=model.device)]


def _typed(queries: list[str], share: float, draws: np.random.Generator) -> list[str]:
    changed = draws.random(len(queries)) < share
    return [augmented(query, draws) if change else query for query, change in zip(queries, changed, strict=True)]
