"""What is asked in the shop, of all three classes, and which items the engine finds for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nightrank.shop import planted, words
from nightrank.shop.catalogue import LEAVES, Catalogue
from nightrank.shop.draws import Floats, Ints

NONE = -1
CLASSES = tuple(planted.QUERY_MIX)


@dataclass(frozen=True)
class Queries:
    """The queries that are ever asked, Q of them.

    class_index counts into CLASSES; target: the item that a navigational query names, else -1; leaf: of a category
    query, else -1; weight: how often it is asked within its class; candidates (Q, C): items found, -1 after the last;
    scores (Q, C): text match and popularity of each, -inf after the last.
    """

    text: tuple[str, ...]
    class_index: Ints
    target: Ints
    leaf: Ints
    weight: Floats
    candidates: Ints
    scores: Floats


@dataclass(frozen=True)
class _Query:
    text: str
    query_class: str
    weight: float
    match: Floats  # share of the query's words that each item has; 0: not found
    target: int = NONE
    leaf: int = NONE


def make_queries(catalogue: Catalogue) -> Queries:
    """Every query of the three classes with its candidates."""
    asked = [*_navigational(catalogue), *_category(catalogue), *_exploratory(catalogue)]
    found = [_candidates(catalogue, query.match) for query in asked]
    width = max(len(items) for items, _ in found)
    return Queries(
        text=tuple(query.text for query in asked),
        class_index=np.array([CLASSES.index(query.query_class) for query in asked]),
        target=np.array([query.target for query in asked]),
        leaf=np.array([query.leaf for query in asked]),
        weight=np.array([query.weight for query in asked]),
        candidates=np.stack([np.pad(i, (0, width - len(i)), constant_values=NONE) for i, _ in found]),
        scores=np.stack([np.pad(s, (0, width - len(s)), constant_values=-np.inf) for _, s in found]),
    )


def _navigational(catalogue: Catalogue) -> Iterator[_Query]:
    """`alder rustic kettle`: popular items by brand, look and noun; the engine finds what has two of the three."""
    known = np.where((catalogue.added == 0) & catalogue.in_stock, catalogue.popularity, -np.inf)
    seen: set[str] = set()
    for target in map(int, np.argsort(-known, kind="stable")):
        brand, look, leaf = catalogue.brand[target], catalogue.item_words[target, 0], catalogue.leaf[target]
        text = f"{words.BRANDS[brand]} {words.WORDS[look]} {LEAVES[leaf][1]}".lower()
        if len(seen) == planted.NAVIGATIONAL_QUERIES or known[target] == -np.inf:
            return
        if text in seen:
            continue
        seen.add(text)
        share = (
            (catalogue.brand == brand).astype(float) + (catalogue.item_words[:, 0] == look) + (catalogue.leaf == leaf)
        ) / 3
        yield _Query(text, "navigational", _fading(len(seen)), np.where(share > 0.5, share, 0.0), target=target)


def _category(catalogue: Catalogue) -> Iterator[_Query]:
    """`kettle` and `kettles`: every item of the leaf."""
    for leaf, (_, singular, plural, _) in enumerate(LEAVES):
        match = (catalogue.leaf == leaf).astype(float)
        for text in (singular, plural):
            if match.any():
                yield _Query(text, "category", _fading(leaf), match, leaf=leaf)


def _exploratory(catalogue: Catalogue) -> Iterator[_Query]:
    """`gift`, `sale`: items of all categories whose description says so."""
    for occasion, text in enumerate(words.OCCASIONS):
        match = catalogue.occasions[:, occasion].astype(float)
        if match.any():
            yield _Query(text, "exploratory", _fading(4 * occasion), match)


def _fading(rank: int) -> float:
    """How often the rank-th query of a class is asked: the tenth half as often as the first."""
    return 1.0 / (1.0 + 0.1 * rank)


def _candidates(catalogue: Catalogue, match: Floats) -> tuple[Ints, Floats]:
    """The best items by text match and popularity, and their scores."""
    score = np.where(match > 0, planted.MATCH * match + planted.POPULARITY * catalogue.popularity, -np.inf)
    best = np.argsort(-score, kind="stable")[: min(planted.CANDIDATES, int((match > 0).sum()))]
    return best, score[best]
