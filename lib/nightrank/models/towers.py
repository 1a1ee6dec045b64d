"""The two towers: a unit vector for each item, and for each moment of a shopper's takes in order.

v_i = unit(id_i + P'(e_i - mean e) + g Q'(m_i - mean m))    e_i, m_i: vectors of the item's text and of its image
h_t = state t of a causal, pre-norm transformer over v of the items, the actions and the gaps up to t
u_t^a = unit((1 + c_a) h_t + d_a)                           a head an action: what would be taken next by action a
s u_t^a.v_i + b_i is about log p(i is taken next | by action a, the shopper's takes up to t), up to a constant of u_t^a
u_t = unit(sum_a w_a u_t^a)                                 w_a: how often a is next, times its utility, capped

Vectors have length 1, so that int8 directions, codes and the ranker's cosine take them as they are; one scale s and
the biases b say the rest. Sources: Kang & McAuley 2018 (self-attention over a sequence), Hou et al. 2022 (text beside
ids), Wang et al. 2017 (a scaled cosine in a softmax), Perez et al. 2018 (heads that scale and shift one state; they
begin alike), Alayrac et al. 2022 (images added late behind a gate that begins at 0: at first nothing changes). An item
without an image has no such part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from nightrank.models.artefact import Floats, unit_rows
from nightrank.models.ranker import unit
from nightrank.models.sequences import ACTION_INDICES, GAPS

_START_SPREAD = 0.02
# One number against the thousands of a projection: with their steps alone it would hardly move within a fit.
_GATE_PACE = 10.0
_WIDEST_GATE = 0.99
_START_SCALE = 10.0  # a cosine spreads by some tenths, a log probability by some units
# Shoppers whose states are computed at once: some 50 MB of activations for fifty takes of 128 dims.
_SHOPPERS_AT_ONCE = 256


class ItemTower(nn.Module):  # type: ignore[misc]  # torch is not type-checked: nn.Module is Any here
    """Vectors and biases of items.

    centre: [encoder dims] the mean encoder vector. log_popularity: [items with an id], what biases start from.
    image_centre: [image dims] the mean image; None: no item has one, and there is no weight for it.
    """

    def __init__(
        self,
        centre: NDArray[Any],
        log_popularity: NDArray[Any],
        dims: int,
        image_centre: NDArray[Any] | None = None,
    ) -> None:
        super().__init__()
        # Sparse gradients: a step costs what its batch holds, not what the catalogue holds.
        self.ids = nn.Embedding(len(log_popularity), dims, sparse=True)
        self.bias = nn.Embedding(len(log_popularity), 1, sparse=True)
        self.projection = nn.Linear(len(centre), dims, bias=False)
        self.register_buffer("centre", torch.as_tensor(centre, dtype=torch.float32))
        nn.init.normal_(self.ids.weight, std=_START_SPREAD)
        with torch.no_grad():
            self.bias.weight.copy_(torch.as_tensor(log_popularity, dtype=torch.float32)[:, None])
        if image_centre is not None:
            self.image_projection = nn.Linear(len(image_centre), dims, bias=False)
            self.image_gate = nn.Parameter(torch.zeros(1))
            self.register_buffer("image_centre", torch.as_tensor(image_centre, dtype=torch.float32))

    def forward(
        self, rows: Tensor, embeddings: Tensor, id_dropout: float = 0.0, images: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """v [U, dims] of the items with ids in these rows [U], -1: without one, and these encoder vectors.

        images: which of the U items have one, [m], and its vector, [m, image dims].

        While training, the share `id_dropout` of the items is treated as if it had no id: the projection learns to do
        without, which is all that a new item has.
        """
        known = rows >= 0
        if self.training and id_dropout:
            known = known & (torch.rand(len(rows)) >= id_dropout)
        told = self.projection(embeddings - self.centre) + known[:, None] * self.ids(rows.clamp(min=0))
        if images is not None and len(images[0]):
            seen = self.gate() * self.image_projection(images[1] - self.image_centre)
            told = told.index_add(0, images[0], seen)
        return unit(told)

    def dense_weights(self) -> list[nn.Parameter]:
        """What a step changes as a whole, unlike ids and biases."""
        sparse = {id(self.ids.weight), id(self.bias.weight)}
        return [own for own in self.parameters() if id(own) not in sparse]

    def gate(self) -> Tensor:
        """g [1], in (-1, 1): how much an image counts."""
        return torch.tanh(_GATE_PACE * self.image_gate)

    def open_gate(self, gate: Tensor) -> None:
        """Sets g; from 1 nothing would lead back."""
        with torch.no_grad():
            self.image_gate.copy_(gate.clamp(-_WIDEST_GATE, _WIDEST_GATE).atanh() / _GATE_PACE)

    def of_images(self) -> dict[str, Floats]:
        """What of it reads images, as arrays by the names of tower_artefact.Towers; nothing where nothing does."""
        if not self.image_dims():
            return {}
        return {
            "image_centre": self.image_centre.numpy().copy(),
            "image_projection": self.image_projection.weight.detach().numpy().T.copy(),
            "image_gate": self.gate().detach().numpy().copy(),
        }

    def image_dims(self) -> int:
        """How long an image vector it reads; 0: it reads none."""
        return len(self.image_centre) if hasattr(self, "image_centre") else 0

    def biases(self, rows: Tensor) -> Tensor:
        """b [U]."""
        return self.bias(rows)[:, 0]


class ShopperTower(nn.Module):  # type: ignore[misc]  # as above
    """Shoppers' unit vectors at each of their takes."""

    def __init__(self, dims: int, layers: int, heads: int, width: int, longest: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.position = nn.Embedding(longest, dims)
        self.action = nn.Embedding(ACTION_INDICES, dims)
        self.gap = nn.Embedding(GAPS, dims)
        self.hidden_item = nn.Parameter(torch.zeros(dims))
        self.log_scale = nn.Parameter(torch.tensor(math.log(_START_SCALE)))
        # By the next take's action: c and d, and w.
        self.head_scale = nn.Embedding(ACTION_INDICES, dims)
        self.head_shift = nn.Embedding(ACTION_INDICES, dims)
        self.register_buffer("action_weights", torch.full((ACTION_INDICES,), 1 / ACTION_INDICES))
        # Beside the weights, so that they alone say what to build.
        self.register_buffer("heads", torch.tensor(float(heads)))
        for table in (self.position, self.action, self.gap):
            nn.init.normal_(table.weight, std=_START_SPREAD)
        for table in (self.head_scale, self.head_shift):
            nn.init.zeros_(table.weight)
        block = nn.TransformerEncoderLayer(
            dims, heads, width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, layers, norm=nn.LayerNorm(dims), enable_nested_tensor=False)

    def forward(self, vectors: Tensor, action: Tensor, gap: Tensor) -> Tensor:
        """u [B, L, dims], of what `states` makes of the same."""
        return self.expected(self.states(vectors, action, gap))

    def towards(self, states: Tensor, action: Tensor) -> Tensor:
        """u^a [..., dims] of states [..., dims] and the index of an action for each, [...]."""
        return unit(states * (1 + self.head_scale(action)) + self.head_shift(action))

    def expected(self, states: Tensor) -> Tensor:
        """u [..., dims] of states [..., dims]: the heads of all actions, each as much as action_weights say."""
        weighed = [
            self.action_weights[a] * self.towards(states, torch.tensor(a))
            for a in torch.nonzero(self.action_weights)[:, 0].tolist()
        ]
        return unit(torch.stack(weighed).sum(dim=0))

    def states(
        self, vectors: Tensor, action: Tensor, gap: Tensor, hidden: Tensor | None = None, dropout: float = 0.0
    ) -> Tensor:
        """h [B, L, dims]; h[b, t] knows of the takes 0..t of shopper b alone.

        vectors [B, L, dims]: of the items taken. action, gap [B, L]: indices. hidden [B, L]: where the item is not
        shown, so that the tower learns to go by the others. Padding comes last, where no state before it looks.
        """
        if hidden is not None:
            vectors = torch.where(hidden[..., None], self.hidden_item, vectors)
        length, dims = vectors.shape[1:]
        context = self.position.weight[:length] + self.action(action) + self.gap(gap)
        states = functional.dropout(vectors * math.sqrt(dims) + context, dropout, self.training)
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        return self.blocks(states, mask=later, is_causal=True)

    def scale(self) -> Tensor:
        """s, what a cosine is multiplied by in a log probability."""
        return self.log_scale.exp()


def shopper_tower(weights: Mapping[str, Floats]) -> ShopperTower:
    """The tower with these weights, in float64, for use."""
    layers = len({name.split(".")[2] for name in weights if name.startswith("blocks.layers.")})
    longest, dims = weights["position.weight"].shape
    width = len(weights["blocks.layers.0.linear1.bias"])
    tower = ShopperTower(dims, layers, int(weights["heads"]), width, longest)
    tower.load_state_dict({name: torch.tensor(np.asarray(values)) for name, values in weights.items()})
    tower.double().eval()
    return tower


def last_states(
    weights: Mapping[str, Floats],
    vectors_of: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    items: ArrayLike,
    actions: ArrayLike,
    gaps: ArrayLike,
) -> Floats:
    """u after each shopper's last take, float32 [B, dims]; zero for a shopper without takes.

    items [B, L], L at most longest_of: positions, -1 where padded, which comes last. vectors_of: gives items [n] their
    vectors [n, dims]. Computed in float64 and rounded as item vectors are: a shopper's vector is the same in whatever
    batch.
    """
    taken = np.asarray(items, np.int64)
    lengths, dims = (taken >= 0).sum(axis=1), weights["position.weight"].shape[1]
    found = np.zeros((len(taken), dims))
    some = np.flatnonzero(lengths)
    tower = shopper_tower(weights)
    for at in range(0, len(some), _SHOPPERS_AT_ONCE):
        rows = some[at : at + _SHOPPERS_AT_ONCE]
        longest = lengths[rows].max()
        shown = vectors_of(np.maximum(taken[rows, :longest], 0).ravel()).reshape(len(rows), longest, dims)
        rest = (torch.as_tensor(np.asarray(each)[rows, :longest], dtype=torch.int64) for each in (actions, gaps))
        with torch.no_grad():
            states = tower.states(torch.as_tensor(shown, dtype=torch.float64), *rest)
            last = states[torch.arange(len(rows)), torch.from_numpy(lengths[rows] - 1)]
            found[rows] = tower.expected(last).numpy()
    return unit_rows(found)
