"""What a simulated shop's published rows are expected to gain on the next day, under the planted truth.

The searches that bench-world's night judges are some five hundred a shop, with a take or two each, weighed by
propensities: too few to tell a share of the oracle's gain well. The simulation knows more. The rows that stand at the
end of the last night rank the searches of the day after it, and what would be taken of each slate, were all of it
looked at, is drawn DRAWS times from the shop's own model: nDCG is a mean over these, and nothing is weighed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.config import Config
from nightrank.models.metrics import ndcg_at_k
from nightrank.models.scorer import reranked_scores, row_sums
from nightrank.shop import planted
from nightrank.shop.behaviour import happens, simulate_day, wanted
from nightrank.shop.catalogue import item_id
from nightrank.shop.queries import CLASSES
from nightrank.shop.shoppers import user_id
from nightrank.shop.utility import attraction
from nightrank.shop.world import Shop, make_world
from nightrank.storage import read_table

Doubles = NDArray[np.float64]
DRAWS = 10


@dataclass(frozen=True)
class NextDay:
    """Searches of known shoppers with the scores of four orders, [n, slate]; -inf where nothing organic was shown.

    prior: base scores, with priors where the engine adds them: what alpha 0 gives. wants: log-odds of a click on a
    look, of the shopper and search.
    """

    shoppers: NDArray[np.int64]
    items: NDArray[np.int64]
    shop: Doubles
    prior: Doubles
    rows: Doubles
    wants: Doubles


def expected_figures(spark: SparkSession, config: Config) -> dict[str, float]:
    """Of the last night's rows: expected_returning_share of the oracle's gain, of shoppers of whom something is known.

    expected_indifferent_gain: nDCG over the shop's order for those of them without tastes;
    expected_indifferent_row_gain: over what alpha 0 gives, which is another where the engine adds priors.
    expected_helped, expected_harmed: shares of all those shoppers, whose own nDCG is above or below the shop's order.
    """
    shop = make_world(config.shop)
    return figures_of(config, shop, next_day(spark, config, shop))


def figures_of(config: Config, shop: Shop, day: NextDay) -> dict[str, float]:
    """As expected_figures."""
    gains = drawn_gains(config, shop, day)
    indifferent = shop.shoppers.kind[day.shoppers] == planted.KINDS.index("indifferent")
    worth = {name: _worth(config, day, getattr(day, name), gains) for name in ("shop", "prior", "rows", "wants")}
    everyone = np.ones(len(indifferent), dtype=bool)
    of_all, of_these = (
        {name: float(sums[kept].sum() / gains.any(axis=2)[:, kept].sum()) for name, sums in worth.items()}
        for kept in (everyone, indifferent)
    )
    return {
        "expected_returning_share": (of_all["rows"] - of_all["shop"]) / (of_all["wants"] - of_all["shop"]),
        "expected_indifferent_gain": of_these["rows"] - of_these["shop"],
        "expected_indifferent_row_gain": of_these["rows"] - of_these["prior"],
        **_touched(day, worth["rows"] - worth["shop"]),
    }


def _touched(day: NextDay, gains: Doubles) -> dict[str, float]:
    _, shopper = np.unique(day.shoppers, return_inverse=True)
    own = np.bincount(shopper, weights=gains).round(9)
    return {"expected_helped": float((own > 0).mean()), "expected_harmed": float((own < 0).mean())}


def next_day(spark: SparkSession, config: Config, shop: Shop) -> NextDay:
    """The searches of the day after the bulk load, by shoppers who have a row of their own."""
    night = config.calendar.bulk_until
    weights = read_table(spark, config.lake, tables.RERANK_WEIGHTS, night, night).where("evidence > 0").collect()
    index = read_table(spark, config.lake, tables.ITEM_TOKENS, night, night).collect()
    served = {row.user_id: row for row in weights}
    told = {row.item_id: row for row in index if row.code_version == weights[0].code_version}
    number = (night - shop.config.first_day).days + 1
    searches = simulate_day(shop, number).searches
    known = np.array([user_id(shopper) in served for shopper in searches.shopper]) & ~searches.anonymous
    at, organic = np.flatnonzero(known), (searches.items >= 0) & ~searches.sponsored
    shown, wants = (np.where(organic, one, -np.inf)[at] for one in (searches.scores, wanted(shop, number, searches)))
    prior, rows = shown.copy(), shown.copy()
    asked = [CLASSES[one] for one in shop.queries.class_index[searches.query[at]]]
    for n, search in enumerate(at.tolist()):
        row, slots = served[user_id(searches.shopper[search])], organic[search]
        names = [item_id(item) for item in searches.items[search, slots]]
        prior[n, slots] += _priors(told, names, config)
        sums = row_sums(names, [_tokens(told, name) for name in names], row.facet_weights, row.item_boosts)
        rows[n, slots] = reranked_scores(prior[n, slots], sums, row.alpha[asked[n]], row.bound[asked[n]])
    return NextDay(searches.shopper[at], searches.items[at].clip(min=0), shown, prior, rows, wants)


def _tokens(told: Mapping[str, Any], name: str) -> Sequence[str]:
    return told[name].tokens if name in told else ()


def _priors(told: Mapping[str, Any], names: Sequence[str], config: Config) -> Doubles:
    """What the shop's engine adds: [names]."""
    adds = config.item_tokens.prior_added
    return np.array([told[name].prior if adds and name in told else 0.0 for name in names])


def drawn_gains(config: Config, shop: Shop, day: NextDay) -> Doubles:
    """Gains of what is taken of each slate, all being looked at: [draws, n, slate]."""
    random, gains = np.random.default_rng(shop.config.seed), config.searches.gains
    liking = attraction(day.wants, shop.shoppers.tastes.strength[day.shoppers][:, None])

    def once() -> Doubles:
        clicked = np.isfinite(day.wants) & (random.random(liking.shape) < liking)
        carted = clicked & happens(random, planted.CART, day.wants)
        bought = carted & happens(random, planted.BUY, day.wants)
        liked = clicked & happens(random, planted.LIKE, day.wants)
        told = ((clicked, "click"), (carted, "cart"), (bought, "buy"), (liked, "like"))
        return np.asarray(np.max([done * gains[name] for done, name in told], axis=0))

    return np.stack([once() for _ in range(DRAWS)])


def _worth(config: Config, day: NextDay, scores: Doubles, gains: Doubles) -> Doubles:
    """The sum of nDCG over the draws, of each search: [n]."""
    mask = np.isfinite(day.wants)
    cutoff = config.evaluations.cutoff
    each = [ndcg_at_k(scores, drawn, cutoff, tie_order=day.items, mask=mask) * drawn.any(axis=1) for drawn in gains]
    return np.asarray(np.sum(each, axis=0))
