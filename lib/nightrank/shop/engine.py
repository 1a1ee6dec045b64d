"""The shop's own ranking: base scores and the slates that searches were shown. It does not know who asks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nightrank.shop import planted
from nightrank.shop.catalogue import Catalogue
from nightrank.shop.draws import Flags, Floats, Ints, stream
from nightrank.shop.queries import NONE, Queries


@dataclass(frozen=True)
class Slates:
    """What searches were shown, (searches, SLATE): items (-1 after the last), base scores, which are sponsored."""

    items: Ints
    scores: Floats
    sponsored: Flags


def day_scores(seed: int, catalogue: Catalogue, queries: Queries, day: int) -> Floats:
    """Scores of each query's candidates on a day, (Q, C): the index's own noise added; -inf: not to be had."""
    noise = stream(seed, "index", day).standard_normal(queries.scores.shape)
    here = (catalogue.added <= day) & catalogue.in_stock
    sold = (queries.candidates != NONE) & here[queries.candidates]
    return np.where(sold, queries.scores + planted.DAY_NOISE * noise, -np.inf)


def show(rng: np.random.Generator, catalogue: Catalogue, queries: Queries, scores: Floats, asked: Ints) -> Slates:
    """The slates of searches for the queries `asked` (searches,), from the day's scores (Q, C)."""
    found = queries.candidates[asked]
    noise = planted.SEARCH_NOISE * rng.standard_normal(found.shape)
    base = np.round(scores[asked] + noise, 4)  # as written: the order must follow from the scores in the log
    organic = np.argsort(np.argsort(-base, axis=1, kind="stable"), axis=1).astype(np.float64)
    promoted = _promoted(rng, catalogue, found, base)
    # Just above the organic result that would follow, wherever the engine itself would put the item.
    place = np.where(promoted, planted.SPONSORED_AFTER - 0.5, np.where(base == -np.inf, np.inf, organic))
    best = np.argsort(place, axis=1, kind="stable")[:, : planted.SLATE]
    order = np.full((len(asked), planted.SLATE), NONE)
    order[:, : best.shape[1]] = best
    kept = (order != NONE) & (np.take_along_axis(base, order, axis=1) > -np.inf)
    return Slates(
        items=np.where(kept, np.take_along_axis(found, order, axis=1), NONE),
        scores=np.where(kept, np.take_along_axis(base, order, axis=1), -np.inf),
        sponsored=kept & np.take_along_axis(promoted, order, axis=1),
    )


def _promoted(rng: np.random.Generator, catalogue: Catalogue, found: Ints, base: Floats) -> Flags:
    """At most one promoted item a search, (searches, C), in those searches that have a sponsored slot."""
    slot = rng.random(len(found)) < planted.SPONSORED_TRIES
    draw = np.where((base > -np.inf) & catalogue.promoted[found], rng.random(found.shape), -1.0)
    first = np.argmax(draw, axis=1)
    taken = slot & (draw.max(axis=1, initial=-1.0) >= 0)
    return np.asarray(taken[:, None] & (np.arange(found.shape[1]) == first[:, None]))
