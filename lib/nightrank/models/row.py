"""The row compiler: from shoppers' profiles and a ranker to facet weights and item boosts.

The shopper part of the ranker is g(u, i) = a (u - mean u).v_i + sum over features f of c_f F_f(u, i). It is fitted in
this order, so that nothing is counted twice: codes = d.C, where d.v_i is a (u - mean u).v_i and the features that are
linear in v_i (likeness.py), as v_i is about the sum of its code vectors C; named facets = c_kind x the shopper's share
of takes, the same of looks, and c_category_due x how due a category is, exact; boosts = g - beta_u - both, for the
candidates, where beta_u is the mean of g - row over random items (what the row misses of every item changes no order).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from nightrank.models.artefact import Ranker
from nightrank.models.catalogue import KINDS, Catalogue, positions
from nightrank.models.diversity import boosted
from nightrank.models.features import Shopper, shopper_features, tokens_of
from nightrank.models.int8 import to_int8
from nightrank.models.likeness import direction, vector_features
from nightrank.models.sequences import padded
from nightrank.models.similar import as_floats, most_similar
from nightrank.models.tower_artefact import longest_of
from nightrank.sections import RerankWeightsConfig

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
DECIMALS = 6  # weights are rounded here: a millionth of a score changes no ranking and keeps rows small


@dataclass(frozen=True)
class Row:
    """One shopper's weights: token -> weight, item -> boost, and the int8 interest vector [dims].

    centred [dims], beta: u - mean u and beta_u, with which g - beta_u is what the row stands for.
    """

    facet_weights: dict[str, float]
    item_boosts: dict[str, float]
    interest: NDArray[np.int8]
    centred: NDArray[np.float32]
    beta: float


@dataclass(frozen=True)
class _Shared:
    """What the shoppers of a batch share: found once, as some of it takes as long as a shopper.

    book: [levels, codes, dims]. code_tokens: text, level by level; code_places: [levels * codes] where the vocabulary
    has them, -1: nowhere. everyone: the random items that beta_u is a mean over.
    """

    book: Floats
    code_tokens: list[str]
    code_places: Indices
    everyone: Indices


def unit_vectors(catalogue: Catalogue, items: Indices) -> NDArray[np.float32]:
    """float32 [items, dims]: the tower vectors of items, whether the catalogue holds them as they are or in int8."""
    return as_floats(catalogue.vectors[items])


def interests(catalogue: Catalogue, ranker: Ranker, shoppers: Sequence[Shopper]) -> NDArray[np.float32]:
    """float32 [shoppers, dims]: unit vectors u, as the ranker's towers or its decayed means make them.

    Zeros for a shopper of whom no recent item is in the catalogue.
    """
    return _states(catalogue, ranker, shoppers) if ranker.shopper_tower else _means(catalogue, shoppers)


def _states(catalogue: Catalogue, ranker: Ranker, shoppers: Sequence[Shopper]) -> NDArray[np.float32]:
    """u = state of the shopper tower after the last take."""
    from nightrank.models.towers import last_states

    items, *rest = padded([shopper.taken for shopper in shoppers], longest_of(ranker.shopper_tower))
    return last_states(ranker.shopper_tower, partial(unit_vectors, catalogue), items, *rest)


def _means(catalogue: Catalogue, shoppers: Sequence[Shopper]) -> NDArray[np.float32]:
    """u = normalised sum of the weighted vectors of recent items."""
    interest = np.zeros((len(shoppers), catalogue.vectors.shape[1]), dtype=np.float32)
    for row, shopper in enumerate(shoppers):
        total = shopper.recent_weights.astype(np.float32) @ unit_vectors(catalogue, shopper.recent)
        norm = np.linalg.norm(total)
        interest[row] = total / norm if norm > 0 else 0.0
    return interest


def compile_rows(
    catalogue: Catalogue, ranker: Ranker, shoppers: Sequence[Shopper], config: RerankWeightsConfig
) -> list[Row]:
    """The rows of some shoppers. The same shoppers in the same order give the same bits."""
    interest = interests(catalogue, ranker, shoppers)
    centred = np.where(interest.any(axis=1, keepdims=True), interest - ranker.mean_shopper.astype(np.float32), 0)
    directions = _directions(catalogue, ranker, shoppers, centred)
    similar = most_similar(catalogue.vectors, directions.astype(np.float32), config.similar, config.item_block)
    shared = _shared(catalogue, ranker, config)
    wanted = zip(shoppers, to_int8(interest), centred.astype(np.float32), directions, similar, strict=True)
    return [_compile_row(catalogue, ranker, shared, *each, config) for each in wanted]


def _shared(catalogue: Catalogue, ranker: Ranker, config: RerankWeightsConfig) -> _Shared:
    levels, codes, _ = ranker.codebook.shape
    tokens = [code_token(ranker.code_version, level, code) for level in range(levels) for code in range(codes)]
    places = positions(catalogue.vocabulary, np.array(tokens, dtype=np.str_))
    everyone = _random_items(len(catalogue.item_ids), config.random_items)
    return _Shared(ranker.codebook.astype(np.float64), tokens, places, everyone)


def _directions(
    catalogue: Catalogue, ranker: Ranker, shoppers: Sequence[Shopper], centred: NDArray[np.float32]
) -> Floats:
    found = np.zeros(centred.shape)
    for row, shopper in enumerate(shoppers):
        recents = unit_vectors(catalogue, shopper.recent)
        found[row] = direction(ranker, centred[row], recents, shopper.recent_weights)
    return found


def candidates(catalogue: Catalogue, shopper: Shopper, similar: Indices, config: RerankWeightsConfig) -> Indices:
    """The items that may be boosted, in item order: taken, seen, near recent ones, popular in favoured facets, similar.

    What is due was taken before.
    """
    heaviest = np.lexsort((shopper.near, -shopper.near_weights))[: config.neighbour_candidates]
    favoured = shopper.tokens[np.lexsort((shopper.tokens, -shopper.shares))[: config.favourite_facets]]
    popular = [catalogue.popular_ids[catalogue.popular_offsets[t] : catalogue.popular_offsets[t + 1]] for t in favoured]
    known = shopper.own, shopper.recent, shopper.habits.seen, shopper.near[heaviest], similar
    return np.unique(np.concatenate([*known, *popular]).astype(np.int64))


def shopper_part(catalogue: Catalogue, ranker: Ranker, shopper: Shopper, centred: Floats, items: Indices) -> Floats:
    """g(u, i) of each item: float64 [items]."""
    vectors = unit_vectors(catalogue, items).astype(np.float64)
    alike = vector_features(ranker, vectors, unit_vectors(catalogue, shopper.recent), shopper.recent_weights)
    features = np.hstack([shopper_features(catalogue, shopper, items), alike])
    return float(ranker.a) * (vectors @ centred) + features @ ranker.shopper_coefficients.astype(np.float64)


def _compile_row(
    catalogue: Catalogue,
    ranker: Ranker,
    shared: _Shared,
    shopper: Shopper,
    interest: NDArray[np.int8],
    centred: NDArray[np.float32],
    wanted: Floats,
    similar: Indices,
    config: RerankWeightsConfig,
) -> Row:
    codes, code_weights = _code_weights(shared, wanted, config.codes)
    named, named_weights = _named_weights(catalogue, ranker, shopper, config.facets)
    dense = np.zeros(len(catalogue.vocabulary) + 1)  # the last is of codes that no item has
    dense[shared.code_places[codes]], dense[named] = code_weights, named_weights
    dense[-1] = 0.0
    chosen = candidates(catalogue, shopper, similar, config)
    items = np.concatenate([chosen, shared.everyone])
    full = shopper_part(catalogue, ranker, shopper, centred.astype(np.float64), items)
    beta = float((full[len(chosen) :] - _row_part(catalogue, dense, shared.everyone)).mean())
    top = boosted(catalogue, shopper, chosen, full[: len(chosen)], config)
    boosts = np.round(full[top] - beta - _row_part(catalogue, dense, chosen[top]), DECIMALS)
    code_tokens = [shared.code_tokens[code] for code in codes.tolist()]
    return Row(
        facet_weights=_weights(code_tokens, code_weights)
        | _weights(catalogue.vocabulary[named].tolist(), named_weights),
        item_boosts=_weights(catalogue.item_ids[chosen[top]].tolist(), boosts),
        interest=interest,
        centred=centred,
        beta=beta,
    )


def _weights(names: list[str], weights: Floats) -> dict[str, float]:
    return {name: weight for name, weight in zip(names, weights.tolist(), strict=True) if weight}


def code_token(code_version: str, level: int, code: int) -> str:
    """The index token of one code."""
    return f"code:{code_version}:{level}:{code}"


def _code_weights(shared: _Shared, wanted: Floats, most: int) -> tuple[Indices, Floats]:
    """The heaviest codes, and their weights, centred per level (an item has one a level: this changes no order)."""
    weights = shared.book @ wanted
    weights = np.round(weights - weights.mean(axis=1, keepdims=True), DECIMALS).ravel()
    heaviest = np.sort(np.argsort(-np.abs(weights), kind="stable")[:most])
    return heaviest, weights[heaviest]


def _named_weights(catalogue: Catalogue, ranker: Ranker, shopper: Shopper, most: int) -> tuple[Indices, Floats]:
    """The heaviest named tokens and their weights."""
    coefficients = dict(zip(ranker.shopper_features, ranker.shopper_coefficients.astype(np.float64), strict=True))
    told = [(shopper.habits.due_categories, coefficients["category_due"] * shopper.habits.category_due)]
    both = (shopper.tokens, shopper.shares, ""), (shopper.seen_tokens, shopper.seen_shares, "_seen")
    for named, shares, suffix in both:
        of_kind = np.array([coefficients[kind + suffix] for kind in KINDS])
        known = catalogue.kinds[named] >= 0
        told.append((named[known], of_kind[catalogue.kinds[named[known]]] * shares[known]))
    tokens, at = np.unique(np.concatenate([one for one, _ in told]), return_inverse=True)
    weights: Floats = np.round(np.bincount(at, np.concatenate([some for _, some in told]), len(tokens)), DECIMALS)
    heaviest: Indices = np.sort(np.lexsort((tokens, -np.abs(weights)))[:most])
    return tokens[heaviest], weights[heaviest]


def _row_part(catalogue: Catalogue, dense: Floats, items: Indices) -> Floats:
    """The sum of the row's facet weights (of each token of the vocabulary) over each item's tokens: float64 [items]."""
    owner, tokens = tokens_of(catalogue, items)
    return np.bincount(owner, weights=dense[tokens], minlength=len(items)).astype(np.float64)


def _random_items(items: int, most: int) -> Indices:
    """The same pseudo-random items for every shopper of a night, in item order."""
    chosen = np.random.Generator(np.random.Philox(0)).permutation(items)[:most]
    return np.sort(chosen).astype(np.int64)
