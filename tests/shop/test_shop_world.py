"""The world before and while it runs: who is in it, what they like, what the engine shows, what follows."""

from __future__ import annotations

from dataclasses import fields
from datetime import date

import numpy as np
import pytest

from nightrank.sections import ShopConfig
from nightrank.shop import planted
from nightrank.shop.behaviour import simulate_day
from nightrank.shop.catalogue import LEAVES
from nightrank.shop.logs import BUY, CART, CLICK, NO_SEARCH, VIEW, DayLog
from nightrank.shop.planted import KINDS, World
from nightrank.shop.queries import CLASSES
from nightrank.shop.shoppers import members
from nightrank.shop.utility import Tastes, Traits, attraction, intent, position_curve, utility
from nightrank.shop.world import Shop, make_world

CONFIG = ShopConfig(seed=3, shoppers=1000, items=800, days=30)


@pytest.fixture(scope="module")
def shop() -> Shop:
    """A shop of 1,000 shoppers."""
    return make_world(CONFIG)


@pytest.fixture(scope="module")
def days(shop: Shop) -> dict[int, DayLog]:
    """Six days of it, over the whole month."""
    return {day: simulate_day(shop, day) for day in (0, 5, 14, 15, 24, 29)}


def test_shares_of_kinds(shop: Shop) -> None:
    kinds = np.bincount(shop.shoppers.kind, minlength=len(KINDS))
    assert kinds[KINDS.index("bot")] == 4
    # Four standard errors of a share of 1,000 draws.
    for share, found in zip(planted.KIND_SHARES, kinds[:4] / CONFIG.shoppers, strict=True):
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / CONFIG.shoppers)


def test_one_more_shopper_changes_no_other() -> None:
    fewer, more = (make_world(CONFIG.model_copy(update={"shoppers": n})).shoppers for n in (150, 151))
    assert np.array_equal(fewer.tastes.words[:150], more.tastes.words[:150])
    assert np.array_equal(fewer.active[:150], more.active[:150])


def test_the_split_into_buckets_does_not_matter(shop: Shop) -> None:
    whole = simulate_day(shop, 7)
    one, two = simulate_day(shop, 7, only=[7, 2, 5]), simulate_day(shop, 7, only=[0, 6, 1, 3, 4])
    for rows in ("searches", "events"):
        for field in fields(getattr(whole, rows)):
            all_of_it, *parts = (getattr(getattr(log, rows), field.name) for log in (whole, one, two))
            shopper, *owners = (getattr(log, rows).shopper for log in (whole, one, two))
            # Stable by bucket: within one, the order is that of the simulation.
            order = np.argsort(np.concatenate(owners) // planted.SHOPPERS_PER_BUCKET, kind="stable")
            expected = all_of_it[np.argsort(shopper // planted.SHOPPERS_PER_BUCKET, kind="stable")]
            assert np.array_equal(np.concatenate(parts)[order], expected), field.name


def test_a_new_shopper_does_nothing_before_arrival(shop: Shop, days: dict[int, DayLog]) -> None:
    new = shop.shoppers.kind == KINDS.index("new")
    assert shop.shoppers.arrived[new].min() >= 25
    assert not shop.shoppers.arrived[~new].any()
    for day, log in days.items():
        assert (shop.shoppers.arrived[log.events.shopper] <= day).all()
        assert (shop.shoppers.arrived[log.searches.shopper] <= day).all()
    assert new[days[29].searches.shopper].sum() > 20


def test_bots_look_at_hundreds_of_items_and_never_search(shop: Shop, days: dict[int, DayLog]) -> None:
    bots = shop.shoppers.kind == KINDS.index("bot")
    crawled = [log.events for log in days.values() if bots[log.events.shopper].any()]
    assert crawled
    for events in crawled:
        mine = bots[events.shopper]
        assert set(events.action[mine]) == {VIEW}
        assert np.bincount(events.shopper[mine]).max() > 200
    assert not any(bots[log.searches.shopper].any() for log in days.values())


def test_a_share_of_sessions_is_anonymous(days: dict[int, DayLog]) -> None:
    anonymous = np.concatenate([log.searches.anonymous for log in days.values()])
    assert 0.06 < anonymous.mean() < 0.10


def test_slates_follow_base_scores_but_for_one_flagged_sponsored_slot(shop: Shop, days: dict[int, DayLog]) -> None:
    carried = []
    for log in days.values():
        for items, scores, sponsored in zip(
            log.searches.items, log.searches.scores, log.searches.sponsored, strict=True
        ):
            shown = items >= 0
            assert len(set(items[shown])) == shown.sum() >= 1
            assert not shown[np.argmin(shown) :].any() or shown.all()
            assert (np.diff(scores[shown & ~sponsored]) <= 0).all()
            assert sponsored.sum() <= 1
            assert shop.catalogue.promoted[items[sponsored]].all()
            assert np.flatnonzero(sponsored).max(initial=0) <= planted.SPONSORED_AFTER
            carried.append(sponsored.any())
    assert 0.18 < np.mean(carried) < 0.22


def test_the_three_classes_are_asked_and_found(shop: Shop, days: dict[int, DayLog]) -> None:
    query = np.concatenate([log.searches.query for log in days.values()])
    shares = np.bincount(shop.queries.class_index[query], minlength=3) / len(query)
    assert np.allclose(shares, [planted.QUERY_MIX[name] for name in CLASSES], atol=0.03)
    of_category = shop.queries.class_index == CLASSES.index("category")
    assert ((shop.queries.candidates[of_category] >= 0).sum(axis=1) >= 20).all()
    kettle = shop.queries.text.index("kettle")
    found = shop.queries.candidates[kettle]
    assert {LEAVES[leaf][1] for leaf in shop.catalogue.leaf[found[found >= 0]]} == {"kettle"}


def test_the_same_pair_is_seen_at_many_positions(days: dict[int, DayLog]) -> None:
    first = days[0].searches
    pair = {(q, i) for q, row in zip(first.query, first.items, strict=True) for i in row if i >= 0}
    places = {(q, i, p) for q, row in zip(first.query, first.items, strict=True) for p, i in enumerate(row) if i >= 0}
    assert len(places) > 2 * len(pair)


def test_the_planted_position_curve_is_what_clicks_follow(shop: Shop) -> None:
    clicks, expected = np.zeros((2, planted.SLATE)), np.zeros((2, planted.SLATE))
    for day in range(12):
        log = simulate_day(shop, day)
        searches, strength = log.searches, shop.shoppers.tastes.strength[log.searches.shopper][:, None]
        wants = utility(shop.shoppers.tastes, shop.traits, searches.shopper[:, None], searches.items, day)
        wants = wants + intent(searches.items, shop.queries.target[searches.query][:, None])
        chance = np.where(searches.items >= 0, attraction(wants, strength), 0.0)
        for mobile in (0, 1):
            expected[mobile] += chance[searches.mobile == mobile].sum(axis=0)
            mine = (log.events.action == CLICK) & (log.events.number != NO_SEARCH) & (log.events.mobile == mobile)
            clicks[mobile] += np.bincount(log.events.position[mine] - 1, minlength=planted.SLATE)
    for mobile, device in enumerate(planted.DEVICES):
        curve = position_curve(device)
        error = 4 * np.sqrt(clicks[mobile]) / expected[mobile]
        assert (np.abs(clicks[mobile] / expected[mobile] - curve) < error).all()
    assert position_curve("desktop")[9] == 10**-0.8
    assert position_curve("mobile")[9] == 10**-1.2


def test_what_follows_a_click_follows_it_in_time(days: dict[int, DayLog]) -> None:
    events = days[5].events
    moments: dict[int, dict[tuple[int, ...], int]] = {CLICK: {}, CART: {}, BUY: {}}
    columns = (events.action, events.shopper, events.number, events.position, events.ms)
    for action, *place, ms in zip(*(column.tolist() for column in columns), strict=True):
        if action in moments and place[1] != NO_SEARCH:
            moments[action][tuple(place)] = ms
    assert moments[BUY]
    assert all(moments[CART][place] < ms for place, ms in moments[BUY].items())
    assert all(moments[CLICK][place] < ms for place, ms in moments[CART].items())
    assert events.ms.max() < 86_400_000


def test_utility_by_hand() -> None:
    tastes = Tastes(
        brand=np.array([[0, 1]]), second_brand=np.array([[2, 2]]), categories=np.array([[[0, 1], [0, 1]]]),
        band=np.array([[2, 2]]), words=np.array([[[4, 5, 6], [4, 5, 6]]]), strength=np.array([0.5]),
        changes_on=np.array([10]),
    )  # fmt: skip
    traits = Traits(
        brand=np.array([0, 1, 2]), category=np.array([1, 3, 0]), band=np.array([2, 0, 1]),
        words=np.array([[4, 6], [1, 2], [3, 5]]), quality=np.array([0.3, -0.2, 0.0]),
    )  # fmt: skip
    brand, second, category, band, word = (
        planted.BRAND, planted.SECOND_BRAND, planted.CATEGORY, planted.PRICE_BAND, planted.WORD,
    )  # fmt: skip
    before = [0.3 + 0.5 * (brand + category + band + 2 * word), -0.2, 0.5 * (second + category + word)]
    after = [before[0] - 0.5 * brand, -0.2 + 0.5 * brand, before[2]]
    who, items = np.zeros(3, dtype=np.int64), np.arange(3)
    assert np.allclose(utility(tastes, traits, who, items, 9), before)
    assert np.allclose(utility(tastes, traits, who, items, 10), after)


def test_a_drifting_shopper_changes_the_brand_and_nothing_else(shop: Shop) -> None:
    tastes, drifting = shop.shoppers.tastes, shop.shoppers.kind == KINDS.index("drifting")
    assert set(tastes.changes_on[drifting]) == {15}
    assert (tastes.changes_on[~drifting] > CONFIG.days).all()
    assert (tastes.brand[:, 0] != tastes.brand[:, 1]).all()
    assert (tastes.brand != tastes.second_brand).all()
    for same in (tastes.second_brand, tastes.categories, tastes.band, tastes.words):
        assert np.array_equal(same[:, 0], same[:, 1])


def test_without_tastes_all_shoppers_want_the_same() -> None:
    plain = make_world(CONFIG, World(taste_strength=0.0))
    everyone = utility(plain.shoppers.tastes, plain.traits, np.arange(50)[:, None], np.arange(800)[None, :], 3)
    assert (everyone == plain.catalogue.quality).all()


def test_on_the_flip_day_all_tastes_are_others() -> None:
    flipped = make_world(CONFIG, World(flip_day=date(2026, 1, 11))).shoppers.tastes
    assert set(flipped.changes_on) == {10}
    for taste in (flipped.brand, flipped.second_brand, flipped.band):
        assert (taste[:, 0] != taste[:, 1]).all()
    for several in (flipped.categories, flipped.words):
        assert not (several[:, 0, :, None] == several[:, 1, None, :]).any()


def test_members_of_buckets_cover_everyone() -> None:
    assert np.array_equal(np.concatenate([members(300, b) for b in range(3)]), np.arange(300))
