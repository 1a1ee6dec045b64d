"""What the named baselines know, and what they make of a search: all of it from what stood the night before.

A baseline that cannot be had has no rows, and a line of the log says so: those that compare vectors before there is a
ranker, EASE of more items than evaluations.ease_items.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.catalogue import Catalogue, positions
from nightrank.models.features import Shopper
from nightrank.models.row import unit_vectors
from nightrank.models.scorers.als import AlsSettings, als_scores, fit_items, gram_of
from nightrank.models.scorers.attribute_match import attribute_match_scores
from nightrank.models.scorers.attributes import attribute_vectors, item_attributes, liked_attributes
from nightrank.models.scorers.cooccurrence import cooccurrence_scores
from nightrank.models.scorers.ease import ease_scores, fit_ease
from nightrank.models.scorers.mean_interest import mean_interest_scores
from nightrank.models.scorers.popularity import popular_first, popularity_scores
from nightrank.models.scorers.repeats import repeat_scores
from nightrank.models.scorers.takes import Takes, make_takes
from nightrank.steps.arrays import Arrays, collect_arrays, share_arrays
from nightrank.steps.catalogue import Loader, share_catalogue
from nightrank.steps.consent import not_forgotten
from nightrank.steps.shoppers import flat_shoppers, listed, read_shopper

log = logging.getLogger("nightrank")
POPULARITY, REPEATS, COOCCURRENCE, ATTRIBUTES, ALS, EASE = (
    "popularity", "repeats", "cooccurrence", "attributes", "als", "ease",
)  # fmt: skip
INTEREST = "interest_"  # + the measure, and its activation where it has one
Scores = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Known:
    """What the baselines know. popular: items that were taken, with neighbours and popularity, but no tokens.

    indexed: the catalogue with tokens and vectors; None: there is no ranker yet. learned: arrays of ALS and EASE.
    """

    popular: Catalogue
    indexed: Catalogue | None
    learned: Mapping[str, NDArray[Any]]


def share_baselines(
    user_profiles: DataFrame, item_neighbours: DataFrame, indexed: Loader | None, people: DataFrame, config: Config
) -> Callable[[], Known]:
    """A loader that gives each worker what the baselines know, mapped into memory.

    user_profiles, item_neighbours: one snapshot. indexed: of a ranker's code version. people: of whom nothing is
    learned.
    """
    no_tokens, no_vector = F.array().cast("array<string>"), F.array(F.lit(0).cast("float"))
    diagonal = item_neighbours.where(F.col("rank") == 0)
    items = diagonal.select("item_id", no_tokens.alias("tokens"), no_vector.alias("vector"))
    takes = _sampled_takes(not_forgotten(user_profiles, people), config)
    learned = share_arrays(user_profiles, _learned(takes, config))
    if indexed is None:
        log.info("baseline=%s*,%s without rows: no ranker to take vectors from", INTEREST, ATTRIBUTES)
    return partial(_load, share_catalogue(items, item_neighbours, config), indexed, learned)


def baseline_scores(known: Known, row: Any, item_ids: NDArray[np.str_], config: Config) -> Scores:
    """The scores that each baseline ranks the items by: float64 [items]; of equal ones the more popular is first.

    row: a search beside its shopper's flat profile (shoppers.COLUMNS), NULLs for a stranger.
    """
    popular, items = known.popular, positions(known.popular.item_ids, item_ids)
    takes = np.zeros(len(items))
    takes[items >= 0] = popular.popularity[items[items >= 0]]
    shopper = read_shopper(popular, row, config.training_examples.recent_decay)
    popularity = popularity_scores(takes)
    scores = {
        POPULARITY: popularity,
        REPEATS: repeat_scores(_own_takes(shopper, items), popularity),
        COOCCURRENCE: cooccurrence_scores(popular, shopper.recent, shopper.recent_weights, items),
        **(_by_vectors(known.indexed, row, item_ids, config) if known.indexed else {}),
        **_by_takes(known.learned, row, item_ids, config),
    }
    return {method: popular_first(found, popularity) for method, found in scores.items()}


def _load(popular: Loader, indexed: Loader | None, learned: Callable[[], Arrays]) -> Known:
    return Known(popular(), indexed() if indexed else None, learned())


def _sampled_takes(user_profiles: DataFrame, config: Config) -> Takes:
    """What some shoppers have taken: those with the smallest hashes of their ids, the same whenever it is asked."""
    most = config.evaluations.baseline_shoppers
    taking = user_profiles.where(F.size("own_items") > 0).withColumn("as_of", F.col("run_date"))
    drawn = flat_shoppers(taking, config).select("user_id", "own_item_ids", "own_item_values")
    drawn = drawn.orderBy(F.xxhash64("user_id"), "user_id").limit(most)
    found = collect_arrays(drawn, most, "shoppers of the baselines", "evaluations.baseline_shoppers", ["user_id"])
    return make_takes(list(found["own_item_ids"]), list(found["own_item_values"]))


def _learned(takes: Takes, config: Config) -> Arrays:
    """Item factors of ALS and weights of EASE, by name, rows in order of item_ids."""
    items, section = len(takes.item_ids), config.evaluations
    if not items:
        log.info("baseline=%s,%s without rows: nobody's takes are known", ALS, EASE)
        return {}
    factors = fit_items(takes, _als(config))
    learned = {"item_ids": takes.item_ids, "factors": factors, "gram": gram_of(factors)}
    if items > section.ease_items:
        log.info("baseline=%s without rows: items=%d evaluations.ease_items=%d", EASE, items, section.ease_items)
        return learned
    return {**learned, "weights": fit_ease(takes, section.ease_l2)}


def _als(config: Config) -> AlsSettings:
    section = config.evaluations
    return AlsSettings(section.als_factors, section.als_rounds, section.als_alpha, section.als_l2)


def _own_takes(shopper: Shopper, items: NDArray[np.int64]) -> NDArray[np.float64]:
    own = dict(zip(shopper.own.tolist(), shopper.own_values.tolist(), strict=True))
    return np.array([own.get(item, 0.0) for item in items.tolist()])


def _by_vectors(indexed: Catalogue, row: Any, item_ids: NDArray[np.str_], config: Config) -> Scores:
    items = positions(indexed.item_ids, item_ids)
    shopper = read_shopper(indexed, row, config.training_examples.recent_decay)
    vectors = np.zeros((len(items), indexed.vectors.shape[1]))
    vectors[items >= 0] = unit_vectors(indexed, items[items >= 0])
    interest = unit_vectors(indexed, shopper.recent), shopper.recent_weights, vectors
    found = {
        INTEREST + score.name: mean_interest_scores(*interest, score.measure, score.activation)
        for score in config.evaluations.interest_scores
    }
    tokens, likes = liked_attributes(
        indexed, listed(row.affinity_tokens), listed(row.affinity_values), config.evaluations.attributes
    )
    owner, of_items, weights = item_attributes(indexed, items)
    distinct, at = np.unique(of_items, return_inverse=True)  # items of a slate are of a few categories
    alike = attribute_vectors(indexed, tokens), owner, weights, attribute_vectors(indexed, distinct)[at]
    return {**found, ATTRIBUTES: attribute_match_scores(likes, *alike, len(items))}


def _by_takes(learned: Mapping[str, NDArray[Any]], row: Any, item_ids: NDArray[np.str_], config: Config) -> Scores:
    if not learned:
        return {}
    wanted = positions(learned["item_ids"], item_ids)
    own = positions(learned["item_ids"], np.asarray(listed(row.own_item_ids), dtype=np.str_))
    values = np.asarray(listed(row.own_item_values), dtype=np.float64)[own >= 0]
    own = own[own >= 0]
    found = {ALS: als_scores(learned["factors"], learned["gram"], own, values, wanted, _als(config))}
    return {**found, EASE: ease_scores(learned["weights"], own, wanted)} if "weights" in learned else found
