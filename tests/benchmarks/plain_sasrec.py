"""SASRec as it was published (Kang & McAuley 2018, "Self-Attentive Sequential Recommendation"): item ids, nothing else.

Settings are the paper's for its sparse data: two blocks of one head, 50 dims, the last 50 items, dropout .5, Adam 1e-3
in batches of 128, binary cross-entropy with one random negative a take, stopped when 20 epochs bring nothing. What it
is stopped by is the last known take of every 25th shopper, which it does not learn from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from llmrank_games import CANDIDATES, Games, Ints, Lists, padded
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nightrank.models.metrics import ndcg_at_k
from nightrank.models.training import deterministic

Doubles = NDArray[np.float64]
# Batches are cut from so many at a time, in order of length: short sequences need no padding to long ones.
BATCHES_OF_LIKE_LENGTH = 20


@dataclass(frozen=True)
class Settings:
    """The paper's; every: epochs between two looks at whether it has become better."""

    dims: int = 50
    blocks: int = 2
    heads: int = 1
    longest: int = 50
    dropout: float = 0.5
    batch: int = 128
    learning_rate: float = 1e-3
    epochs: int = 200
    every: int = 5
    patience: int = 20
    held_out: int = 25
    threads: int = 2


PAPER = Settings()


class SasRec(nn.Module):
    """States of sequences; items count from 1, 0 is padding, which comes behind."""

    def __init__(self, items: int, settings: Settings) -> None:
        super().__init__()
        dims = settings.dims
        self.longest, self.scale = settings.longest, dims**0.5
        self.items = nn.Embedding(items + 1, dims, padding_idx=0)
        self.positions = nn.Embedding(settings.longest, dims)
        self.dropout = nn.Dropout(settings.dropout)
        block = nn.TransformerEncoderLayer(
            dims, settings.heads, dims, settings.dropout, activation="relu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, settings.blocks, nn.LayerNorm(dims), enable_nested_tensor=False)
        for weights in self.parameters():
            if weights.dim() > 1:
                nn.init.xavier_normal_(weights)
        with torch.no_grad():
            self.items.weight[0] = 0.0

    def forward(self, takes: Tensor) -> Tensor:
        """[B, L, dims] of takes [B, L]; the last take of each has the same position, however long the sequence is."""
        length = takes.shape[1]
        back = (takes > 0).sum(dim=1, keepdim=True) - 1 - torch.arange(length)
        states = self.items(takes) * self.scale + self.positions(back.clamp(0, self.longest - 1))
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        return self.blocks(self.dropout(states), mask=later, is_causal=True)


def sasrec_scores(games: Games, lists: list[Lists], seed: int, settings: Settings = PAPER) -> list[Doubles]:
    """The scores [n, K] of each of the lists, by a model trained on what is known."""
    with deterministic(settings.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = trained(games, seed, settings)
        return [scores(model, games, one) for one in lists]


def trained(games: Games, seed: int, settings: Settings) -> SasRec:
    """The model of the epoch that ranks the held out takes best."""
    random = np.random.default_rng(seed)
    known, held = _without_last(games, settings, random)
    model = SasRec(len(games.titles), settings)
    optimiser = torch.optim.Adam(model.parameters(), settings.learning_rate, betas=(0.9, 0.98))
    best, best_epoch, kept = -1.0, 0, model.state_dict()
    for epoch in range(1, settings.epochs + 1):
        model.train()
        for takes in _batches(known, settings, random):
            _step(model, optimiser, takes, random)
        if epoch % settings.every == 0 or epoch == settings.epochs:
            found = float(ndcg_at_k(scores(model, known, held), held.gains, 10, held.items, held.mask).mean())
            if found > best:
                best, best_epoch = found, epoch
                kept = {name: values.clone() for name, values in model.state_dict().items()}
            elif epoch - best_epoch >= settings.patience:
                break
    model.load_state_dict(kept)
    return model


def _without_last(games: Games, settings: Settings, random: np.random.Generator) -> tuple[Games, Lists]:
    """What is known without the last take of every 25th shopper of two takes or more, and lists of these takes."""
    users = [user for user, items in games.histories.items() if len(items) > 1][:: settings.held_out]
    taken = np.array([games.histories[user][-1] for user in users], dtype=np.int64)
    histories = {**games.histories, **{user: games.histories[user][:-1] for user in users}}
    drawn = random.choice(games.shelf, (len(users), CANDIDATES - 1))
    # A random item that is the one taken would count as found.
    others = np.where(drawn == taken[:, None], -1, drawn)
    known = Games(games.titles, histories, games.targets, games.shelf)
    return known, Lists(np.array(users, np.str_), np.hstack([taken[:, None], others]), taken)


def _batches(games: Games, settings: Settings, random: np.random.Generator) -> Iterator[Tensor]:
    """Takes [B, L] of shoppers with two or more, in a new order."""
    rows = [items[-settings.longest - 1 :] + 1 for items in games.histories.values() if len(items) > 1]
    order, most = random.permutation(len(rows)), settings.batch * BATCHES_OF_LIKE_LENGTH
    for start in range(0, len(order), most):
        block = sorted(order[start : start + most].tolist(), key=lambda row: len(rows[row]))
        starts = range(0, len(block), settings.batch)
        for at in random.permutation(len(starts)):
            chosen = block[starts[at] : starts[at] + settings.batch]
            yield torch.from_numpy(padded([rows[row].tolist() for row in chosen]).clip(min=0))


def _step(model: SasRec, optimiser: torch.optim.Optimizer, takes: Tensor, random: np.random.Generator) -> None:
    asked, wanted = takes[:, :-1], takes[:, 1:]
    there = wanted > 0
    states = model(asked)[there]
    negative = torch.from_numpy(_negatives(takes.numpy(), model.items.num_embeddings, random))[there]
    yes = (states * model.items(wanted[there])).sum(dim=-1)
    no = (states * model.items(negative)).sum(dim=-1)
    loss = functional.softplus(-yes).mean() + functional.softplus(no).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _negatives(takes: Ints, items: int, random: np.random.Generator) -> Ints:
    """One random item for each take but the first that its shopper has not taken: int64 [B, L - 1]."""
    drawn = random.integers(1, items, (takes.shape[0], takes.shape[1] - 1))
    for _ in range(100):  # of a small catalogue a shopper may have everything
        wrong = (drawn[:, :, None] == takes[:, None, :]).any(axis=2)
        if not wrong.any():
            break
        drawn[wrong] = random.integers(1, items, int(wrong.sum()))
    return drawn


@torch.no_grad()
def scores(model: SasRec, games: Games, lists: Lists) -> Doubles:
    """state after the last known take . item, of each candidate: [n, K]."""
    model.eval()
    found = np.zeros(lists.items.shape)
    for start in range(0, len(lists.users), 512):
        part = slice(start, start + 512)
        rows = [games.histories[user][-model.longest :] + 1 for user in lists.users[part].tolist()]
        takes = torch.from_numpy(padded([row.tolist() for row in rows]).clip(min=0))
        last = model(takes)[torch.arange(len(rows)), torch.tensor([len(row) - 1 for row in rows])]
        candidates = model.items(torch.from_numpy(lists.items[part].clip(min=-1) + 1))
        found[part] = (candidates * last[:, None, :]).sum(dim=-1).numpy()
    return found
