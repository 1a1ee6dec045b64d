"""The ranker as a torch module: the maths of artefact.py, with a gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nightrank.models.artefact import CLASSES, Ranker
from nightrank.models.feature_names import ENGINE_FEATURES, SHOPPER_FEATURES, VECTOR_FEATURES
from nightrank.models.likeness import BEST_OF

# Cosines within a slate spread by about a fifth: with this, one unit of a moves scores as other coefficients do.
_COSINE_SCALE = 5.0
_START_RAW_A = -1.0  # softplus .31: the shop's order leads until the data say otherwise
UNIT_SOFTPLUS = math.log(math.e - 1)  # softplus of it is 1


@dataclass(frozen=True)
class Batch:
    """B examples of K candidates and L recents; U different items among them.

    embeddings: [U, encoder dims] of those items. candidates [B, K], recents [B, L]: rows of `embeddings`.
    mask [B, K]: whether there is a candidate. recent_weight [B, L]: newest first, 0 where there is no recent item.
    shopper_features [B, K, f]: those of the profile. gains [B, K]: as logged; log_propensity [B, K]: of the position.
    shoppers [B, dims]: u, where it is no mean of the recents.
    """

    embeddings: Tensor
    candidates: Tensor
    recents: Tensor
    recent_weight: Tensor
    mask: Tensor
    engine_features: Tensor
    shopper_features: Tensor
    class_index: Tensor
    gains: Tensor
    log_propensity: Tensor
    shoppers: Tensor | None = None


class RankerModule(nn.Module):  # type: ignore[misc]  # torch is not type-checked: nn.Module is Any here
    """Scores of slates: engine part + shopper part. Scales: what a unit of each feature is divided by.

    profile_scale: of the shopper features that are made of the profile; cosines have one of their own.
    """

    def __init__(self, projection: NDArray[Any], engine_scale: NDArray[Any], profile_scale: NDArray[Any]) -> None:
        super().__init__()
        self.projection = nn.Parameter(torch.from_numpy(np.array(projection)))
        kind = self.projection.dtype
        self.register_buffer("engine_scale", torch.as_tensor(engine_scale, dtype=kind))
        shopper_scale = [*profile_scale, *[1 / _COSINE_SCALE for _ in VECTOR_FEATURES]]
        self.register_buffer("shopper_scale", torch.as_tensor(shopper_scale, dtype=kind))
        self.raw_a = nn.Parameter(torch.full((), _START_RAW_A, dtype=kind))
        self.shopper = nn.Parameter(torch.zeros(len(SHOPPER_FEATURES), dtype=kind))
        self.shared = nn.Parameter(torch.zeros(len(ENGINE_FEATURES), dtype=kind))
        self.offset = nn.Parameter(torch.zeros((CLASSES, len(ENGINE_FEATURES)), dtype=kind))

    def forward(self, batch: Batch) -> Tensor:
        """Scores [B, K]; what stands where there is no candidate means nothing."""
        cosine, named = self.shopper_columns(batch)
        engine = (batch.engine_features * self.engine_coefficients()[batch.class_index][:, None, :]).sum(dim=-1)
        return engine + functional.softplus(self.raw_a) * cosine + named @ self.shopper

    def shopper_columns(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What softplus(raw_a) multiplies, [B, K], and what `shopper` does, [B, K, f]: in standard units."""
        vectors = unit(batch.embeddings @ self.projection)
        candidates, recents = vectors[batch.candidates], vectors[batch.recents]
        mean = unit((batch.recent_weight[..., None] * recents).sum(dim=1))
        shoppers = mean if batch.shoppers is None else batch.shoppers
        cosine = (candidates * shoppers[:, None, :]).sum(dim=-1)
        # Where u is the mean of the recents, a alone weighs it.
        other = torch.zeros_like(mean) if batch.shoppers is None else mean
        likeness = vector_features(candidates, recents, batch.recent_weight, other)
        return _COSINE_SCALE * cosine, torch.cat([batch.shopper_features, likeness], dim=-1) / self.shopper_scale

    def a(self) -> Tensor:
        """The coefficient of the cosine, >= 0."""
        return _COSINE_SCALE * functional.softplus(self.raw_a)

    def engine_coefficients(self) -> Tensor:
        """b [3 classes, 3]: shared + offset of the class; that of base_score, the first, is > 0."""
        free = self.shared + self.offset
        base = functional.softplus(free[:, :1] + UNIT_SOFTPLUS)
        return torch.cat([base, free[:, 1:]], dim=1) / self.engine_scale

    def penalty(self) -> Tensor:
        """Sum of squares of what is drawn towards 0: shopper coefficients and class offsets, a standard unit each."""
        return self.shopper.square().sum() + self.offset.square().sum()


def vector_features(candidates: Tensor, recents: Tensor, recent_weight: Tensor, mean: Tensor) -> Tensor:
    """likeness.vector_features [B, K, 3] of candidates [B, K, dims] and recents [B, L, dims], m [B, dims]."""
    known = (recent_weight > 0)[:, None, :]
    # -1 is the least that a cosine can be; padding comes last, so the first recent says whether there is any.
    cosines = (candidates @ recents.transpose(1, 2)).masked_fill(~known, -1.0)
    best = cosines[..., :BEST_OF].amax(dim=-1)
    alike = torch.stack([cosines[..., 0], (candidates * mean[:, None, :]).sum(dim=-1), best], dim=-1)
    return alike * known[..., :1]


def unit(rows: Tensor) -> Tensor:
    """Rows divided by their norm; a zero row stays zero and has a zero gradient."""
    squares = rows.square().sum(dim=-1, keepdim=True)
    # The square root's gradient at 0 is infinite: it is never taken there.
    return rows * torch.where(squares > 0, squares, torch.ones_like(squares)).rsqrt() * (squares > 0)


def to_batch(columns: dict[str, NDArray[Any]], embeddings: NDArray[Any]) -> Batch:
    """The columns of training_examples as tensors in the embeddings' type, with only the items that occur."""
    candidates, recents = columns["item_index"], columns["recent_index"]
    size, slate = candidates.shape
    flat = np.concatenate([candidates, recents], axis=1).clip(min=0)
    items, rows = np.unique(flat, return_inverse=True)
    rows = torch.from_numpy(rows.reshape(flat.shape))
    kind = embeddings.dtype
    weight = np.where(recents >= 0, columns["recent_weight"], 0).astype(kind)
    return Batch(
        embeddings=torch.from_numpy(embeddings[items]),
        candidates=rows[:, :slate],
        recents=rows[:, slate:],
        recent_weight=torch.from_numpy(weight),
        mask=torch.from_numpy(candidates >= 0),
        engine_features=torch.from_numpy(columns["engine_features"].reshape(size, slate, -1).astype(kind)),
        shopper_features=torch.from_numpy(columns["shopper_features"].reshape(size, slate, -1).astype(kind)),
        class_index=torch.from_numpy(columns["class_index"].astype(np.int64)),
        gains=torch.from_numpy(columns["logged_gains"].astype(kind)),
        log_propensity=torch.from_numpy(columns["log_propensity"].astype(kind)),
        shoppers=torch.from_numpy(columns["shopper"].astype(kind)) if "shopper" in columns else None,
    )


class RowScores(nn.Module):  # type: ignore[misc]  # torch is not type-checked: nn.Module is Any here
    """A trained ranker that scores rows: what MLflow registers, for whoever wants its scores without this package.

    A row: class_index, engine features, shopper features (those of vectors among them), the shopper's unit vector, the
    item's encoder vector: of a ranker with towers, the item's unit vector.
    """

    def __init__(self, ranker: Ranker) -> None:
        super().__init__()
        dims = ranker.projection.shape[1]
        projection = ranker.projection if ranker.tower_id is None else np.eye(dims, dtype=np.float32)
        self.register_buffer("projection", torch.tensor(projection))
        self.register_buffer("shopper", torch.tensor(ranker.shopper_coefficients, dtype=torch.float32))
        self.register_buffer("engine", torch.tensor(ranker.engine_coefficients, dtype=torch.float32))
        self.a = ranker.a
        self.widths = [1, len(ranker.engine_features), len(ranker.shopper_features), dims, len(projection)]

    def forward(self, rows: Tensor) -> Tensor:
        """Scores [n] of rows [n, sum of widths]."""
        class_index, engine, shopper, interest, embeddings = rows.split(self.widths, dim=1)
        cosine = (unit(embeddings @ self.projection) * interest).sum(dim=1)
        engine_part = (engine * self.engine[class_index[:, 0].long()]).sum(dim=1)
        return engine_part + self.a * cosine + shopper @ self.shopper
