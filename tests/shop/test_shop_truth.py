"""The truth beside the logs agrees with the world, and who knows it ranks better than the shop."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from nightrank.errors import ContractError, InputMissingError
from nightrank.sections import ShopConfig
from nightrank.shop.planted import World
from nightrank.shop.truth import Truth, load_truth, true_attraction, true_utility
from nightrank.shop.truth_files import write_truth
from nightrank.shop.utility import position_curve, utility
from nightrank.shop.world import Shop, make_world

GAINS = {"click": 1.0, "add_to_cart": 2.0, "like": 2.0, "purchase": 3.0}


@pytest.fixture(scope="module")
def truth(written_shop: tuple[Shop, Path]) -> Truth:
    """The truth as read back."""
    return load_truth(written_shop[1])


def test_read_back_it_says_what_the_world_does(written_shop: tuple[Shop, Path], truth: Truth) -> None:
    shop = written_shop[0]
    rng = np.random.default_rng(0)
    people, items = rng.integers(shop.shoppers.size, size=500), rng.integers(shop.config.items, size=500)
    for day in (0, 5, 6, 11):
        told = true_utility(truth, [f"c{n:06d}" for n in people], [f"i{n:05d}" for n in items], date(2026, 1, 1 + day))
        assert np.allclose(told, utility(shop.shoppers.tastes, shop.traits, people, items, day))
    assert np.allclose(truth.curve["mobile"], position_curve("mobile"))
    assert truth.first_day == date(2026, 1, 1)


def test_unknown_shoppers_have_quality_only(truth: Truth) -> None:
    ids = [line["item_id"] for line in truth.items]
    quality = [line["quality"] for line in truth.items]
    for unknown in (None, "anonymous", "c999999"):
        assert np.allclose(true_utility(truth, [unknown] * len(ids), ids, date(2026, 1, 3)), quality)


def test_drift_changes_the_utility_on_its_day_and_for_drifting_shoppers_only(truth: Truth) -> None:
    ids = [line["item_id"] for line in truth.items]
    changed = {}
    for line in truth.shoppers:
        before, after = (true_utility(truth, [line["user_id"]] * len(ids), ids, date(2026, 1, d)) for d in (6, 7))
        changed[line["user_id"]] = not np.array_equal(before, after)
    assert changed == {line["user_id"]: line["kind"] == "drifting" for line in truth.shoppers}
    assert sum(changed.values()) > 10


def test_one_date_a_pair(truth: Truth) -> None:
    drifting = next(line for line in truth.shoppers if line["kind"] == "drifting")
    item = next(line["item_id"] for line in truth.items if line["brand"] == drifting["brand"])
    dates = np.array(["2026-01-06", "2026-01-07"], dtype="datetime64[D]")
    both = true_utility(truth, [drifting["user_id"]] * 2, [item] * 2, dates)
    each = [true_utility(truth, [drifting["user_id"]], [item], date(2026, 1, d))[0] for d in (6, 7)]
    assert np.allclose(both, each)
    assert both[0] > both[1]


def test_a_search_by_name_wants_its_item(truth: Truth) -> None:
    query = next(line for line in truth.queries.values() if line["class"] == "navigational")
    ids = [line["item_id"] for line in truth.items]
    shouted = query["query"].upper().replace(" ", "  ")
    score = true_utility(truth, [None] * len(ids), ids, date(2026, 1, 1), [shouted] * len(ids))
    assert ids[int(np.argmax(score))] == query["target"]


def test_a_world_without_tastes_tells_the_same_of_all(tmp_path: Path) -> None:
    write_truth(make_world(ShopConfig(shoppers=40, items=60, days=4), World(taste_strength=0.0)), tmp_path)
    plain = load_truth(tmp_path)
    ids = [line["item_id"] for line in plain.items]
    told = [true_utility(plain, [line["user_id"]] * 60, ids, date(2026, 1, 2)) for line in plain.shoppers]
    assert (np.array(told) == told[0]).all()


def test_what_cannot_be_told_is_refused(truth: Truth, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"item 'i99999'.*300 items"):
        true_utility(truth, [None], ["i99999"], date(2026, 1, 1))
    with pytest.raises(InputMissingError, match=r"world\.json"):
        load_truth(tmp_path)


def test_the_oracle_beats_the_shops_order(written_shop: tuple[Shop, Path], truth: Truth) -> None:
    base, oracle, weight = _judged(written_shop[1], truth)
    # Self-normalised: a slate's nDCG alone forgets how unlikely a deep take was, which favours the logged order.
    difference = weight * (oracle - base)
    gain = difference.sum() / weight.sum()
    error = np.sqrt(((weight * (oracle - base - gain)) ** 2).sum()) / weight.sum()
    assert gain > 0.10
    assert gain - 4 * error > 0.05


def test_the_oracle_gains_most_where_it_is_known_without_noise(written_shop: tuple[Shop, Path], truth: Truth) -> None:
    for query in _queries(written_shop[1])[:300]:
        if query["client_id"]:
            hits, n = query["query_response_hit_ids"], len(query["query_response_hit_ids"])
            day, asked = date.fromisoformat(query["timestamp"][:10]), [query["user_query"]] * n
            chance = true_attraction(truth, [query["client_id"]] * n, hits, day, asked)
            score = true_utility(truth, [query["client_id"]] * n, hits, day, asked)
            assert np.isclose(_ndcg(chance[np.argsort(-score, kind="stable")]), 1.0)


def _judged(folder: Path, truth: Truth) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """nDCG@10 of the base order and of the oracle's, and the SNIPS weight, of each organic slate with a take."""
    rows, taken = [], _taken(folder)
    for query in _queries(folder):
        kept = ~np.array(query["query_attributes"]["sponsored"])
        hits = np.array(query["query_response_hit_ids"])
        gains = np.array([taken[query["query_id"]].get(item, 0.0) for item in hits])
        if not gains[kept].any():
            continue
        seen = np.maximum(truth.curve[query["query_attributes"]["device"]][: len(hits)], 0.1)
        users, asked = [query["client_id"]] * len(hits), [query["user_query"]] * len(hits)
        score = true_utility(truth, users, list(hits), date.fromisoformat(query["timestamp"][:10]), asked)[kept]
        base, weighted = np.array(query["query_attributes"]["base_scores"])[kept], (gains / seen)[kept]
        orders = [weighted[np.argsort(-by, kind="stable")] for by in (base, score)]
        rows.append((_ndcg(orders[0]), _ndcg(orders[1]), weighted.sum() / gains[kept].sum()))
    base, oracle, weight = np.array(rows).T
    return base, oracle, weight


def _ndcg(gains: np.ndarray) -> float:
    """nDCG@10 of gains in the order shown."""
    discount = 1 / np.log2(np.arange(2, 12))[: len(gains)]
    return float((gains[:10] * discount).sum() / (np.sort(gains)[::-1][:10] * discount).sum())


def _queries(folder: Path) -> list[dict]:
    return [json.loads(line) for file in sorted(folder.glob("logs/*/queries.ndjson")) for line in file.open()]


def _taken(folder: Path) -> dict[str, dict[str, float]]:
    """query id -> item -> its best gain."""
    taken: dict[str, dict[str, float]] = defaultdict(dict)
    for file in sorted(folder.glob("logs/*/events.ndjson")):
        for event in map(json.loads, file.open()):
            item, gain = event["event_attributes"]["object"]["object_id"], GAINS.get(event["action_name"], 0.0)
            if event["query_id"] and gain > taken[event["query_id"]].get(item, 0.0):
                taken[event["query_id"]][item] = gain
    return taken
