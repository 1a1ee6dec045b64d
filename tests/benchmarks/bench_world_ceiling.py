"""make bench-world-ceiling: what better tastes could gain in bench-world's shops.

Each returning shopper's searches of the bulk load's last night are ranked by base score + k * taste, the shopper's own
tastes being read from all earlier days by the shop's own model (taste_posterior.py): `taste_share` of the oracle's gain
over the shop's order. `true_taste_share`: were the tastes known; `with_quality_share`: with the items' true qualities
beside the tastes that were read. k: the best of SHARES_OF_TASTE for each, on these searches. Searches, takes and
weights are the simulation's own, not those that the product attributes: near bench-world's returning_share, not the
same searches. SHOPS=n takes the first n. DAYS=n: tastes are read from the last n days alone, as if they had flipped
before them; oracle_gain tells what a share is of.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from bench_world import SEEDS, world_config
from figures import say_figures
from taste_posterior import Doubles, Favourite, Ints, Seen, favourites_of, gained, mean_taste, seen_by

from nightrank.config import Config
from nightrank.models.metrics import ndcg_at_k
from nightrank.shop import planted
from nightrank.shop.behaviour import simulate_day
from nightrank.shop.logs import BUY, CART, CLICK, LIKE, DayLog
from nightrank.shop.utility import intent, position_curve, utility
from nightrank.shop.world import Shop, make_world

SHARES_OF_TASTE = (0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
# As the product names them.
GAINFUL = {CLICK: "click", CART: "cart", BUY: "buy", LIKE: "like"}


def shares(seed: int) -> dict[str, float]:
    """The figures of one shop."""
    config = world_config(seed)
    shop = make_world(config.shop)
    last = (config.calendar.bulk_until - config.shop.first_day).days
    logs = [simulate_day(shop, day) for day in range(last)]
    known, told = seen_by(shop, logs), seen_by(shop, logs, since=last - int(os.environ.get("DAYS", last)))
    log = simulate_day(shop, last)
    judge, rows = judged_by(config, log, np.array(sorted(known)))
    items, shoppers = log.searches.items[rows].clip(min=0), log.searches.shopper[rows]
    favourites, random = favourites_of(shop), np.random.default_rng(seed)
    read = {one: _taste_of(shop, favourites, told, one, random) for one in np.unique(shoppers).tolist()}
    taste = np.stack([read[one][shown] for one, shown in zip(shoppers.tolist(), items, strict=True)])
    quality = shop.catalogue.quality[items]
    true = utility(shop.shoppers.tastes, shop.traits, shoppers[:, None], items, last) - quality
    base = log.searches.scores[rows]
    asked = intent(items, shop.queries.target[log.searches.query[rows]][:, None])
    shop_worth, best = judge(base), judge(true + quality + asked)
    of_each = {
        "taste_share": max(judge(base + k * taste) for k in SHARES_OF_TASTE),
        "true_taste_share": max(judge(base + k * true) for k in SHARES_OF_TASTE),
        "with_quality_share": max(judge(base + k * (taste + quality)) for k in SHARES_OF_TASTE),
    }
    return {name: (worth - shop_worth) / (best - shop_worth) for name, worth in of_each.items()} | {
        "searches": float(len(rows)),
        "oracle_gain": best - shop_worth,
    }


def _taste_of(
    shop: Shop,
    favourites: Sequence[Favourite],
    known: Mapping[int, Seen],
    shopper: int,
    random: np.random.Generator,
) -> Doubles:
    """Zeros for a shopper without tastes, that they have none is given, and for one of whom nothing is known."""
    if shop.shoppers.tastes.strength[shopper] == 0 or shopper not in known:
        return np.zeros(shop.catalogue.size)
    return mean_taste(shop, favourites, known[shopper], random)


def judged_by(config: Config, log: DayLog, known: Ints) -> tuple[Callable[[Doubles], float], Ints]:
    """What gives scores [rows, slate] their mean nDCG, and the rows: searches of these shoppers with a gain."""
    searches = log.searches
    organic = (searches.items >= 0) & ~searches.sponsored
    logged = gained(log, {action: config.searches.gains[name] for action, name in GAINFUL.items()}) * organic
    rows = np.flatnonzero(np.isin(searches.shopper, known) & ~searches.anonymous & logged.any(axis=1))
    curves = np.stack([position_curve(device) for device in planted.DEVICES])
    seen = np.maximum(curves / curves[:, :1], config.propensities.clip)[searches.mobile[rows].astype(np.int64)]
    gains = logged[rows] / seen
    weight, mask, items = gains.sum(axis=1) / logged[rows].sum(axis=1), organic[rows], searches.items[rows]

    def judge(scores: Doubles) -> float:
        ndcg = ndcg_at_k(np.where(mask, scores, -np.inf), gains, config.evaluations.cutoff, tie_order=items, mask=mask)
        return float(np.average(ndcg, weights=weight))

    return judge, rows


def main() -> None:
    """Each shop's figures, then their means."""
    found = {seed: shares(seed) for seed in SEEDS[: int(os.environ.get("SHOPS", len(SEEDS)))]}
    figures = {f"{name}_{seed}": value for seed, one in found.items() for name, value in one.items()}
    means = {name: float(np.mean([one[name] for one in found.values()])) for name in next(iter(found.values()))}
    say_figures("world_ceiling", figures | means)


if __name__ == "__main__":
    main()
