"""What a shop writes: UBI lines that any source could read, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from nightrank.shop.planted import World
from nightrank.shop.ubi_log import item_lines, write_shop
from nightrank.shop.world import Shop

QUERY_KEYS = {
    "application", "query_id", "client_id", "session_id", "user_query", "timestamp", "query_response_id",
    "query_response_hit_ids", "object_id_field", "query_attributes",
}  # fmt: skip
EVENT_KEYS = {
    "application", "action_name", "query_id", "session_id", "client_id", "timestamp", "message_type", "message",
    "event_attributes",
}  # fmt: skip
ITEM_KEYS = {
    "item_id", "title", "description", "brand", "category", "price", "seller", "in_stock", "attributes", "updated_at",
}  # fmt: skip


def lines(folder: Path, name: str) -> list[tuple[str, dict[str, Any]]]:
    """(day, line) of every day's file."""
    files = sorted((folder / "logs").glob(f"*/{name}"))
    return [(file.parent.name, json.loads(line)) for file in files for line in file.read_text().splitlines()]


def digest(folder: Path) -> dict[str, str]:
    """sha256 of every file."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_the_same_seed_writes_the_same_bytes(written_shop: tuple[Shop, Path], tmp_path: Path) -> None:
    shop, folder = written_shop
    write_shop(shop.config, tmp_path)
    assert digest(tmp_path) == digest(folder)
    assert len(digest(folder)) == 3 * shop.config.days + 5


def test_another_seed_writes_others_and_an_earlier_shop_is_replaced(
    written_shop: tuple[Shop, Path], tmp_path: Path
) -> None:
    config = written_shop[0].config
    write_shop(config.model_copy(update={"days": 3, "seed": 6}), tmp_path)
    other = digest(tmp_path)
    write_shop(config.model_copy(update={"days": 2}), tmp_path)
    assert len(list((tmp_path / "logs").iterdir())) == 2
    first = "logs/2026-01-01/queries.ndjson"
    assert other[first] != digest(tmp_path)[first]


def test_queries_have_the_keys_and_parallel_arrays(written_shop: tuple[Shop, Path]) -> None:
    found = lines(written_shop[1], "queries.ndjson")
    assert len(found) > 2000
    for day, line in found:
        attributes = line["query_attributes"]
        assert set(line) == QUERY_KEYS
        assert set(attributes) == {"base_scores", "sponsored", "device"}
        assert len(attributes["base_scores"]) == len(attributes["sponsored"]) == len(line["query_response_hit_ids"])
        assert datetime.strptime(line["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ").date().isoformat() == day
    assert max(Counter(line["query_id"] for _, line in found).values()) == 1
    order = [(line["timestamp"], line["query_id"]) for _, line in found]
    assert order == sorted(order)


def test_events_have_the_keys_and_point_into_their_slate(written_shop: tuple[Shop, Path]) -> None:
    slates = {q["query_id"]: q for _, q in lines(written_shop[1], "queries.ndjson")}
    found = lines(written_shop[1], "events.ndjson")
    actions = Counter(line["action_name"] for _, line in found)
    assert set(actions) == {"click", "add_to_cart", "purchase", "view", "like", "hide"}
    for day, line in found:
        attributes = line["event_attributes"]
        assert set(line) == EVENT_KEYS
        assert line["timestamp"].startswith(day)
        assert (
            ("price" in attributes)
            == ("quantity" in attributes)
            == (line["action_name"] in ("add_to_cart", "purchase"))
        )
        assert ("position" in attributes) == (line["query_id"] is not None)
        if line["query_id"]:
            query = slates[line["query_id"]]
            shown = query["query_response_hit_ids"][attributes["position"]["ordinal"] - 1]
            assert shown == attributes["object"]["object_id"]
            assert (query["client_id"], query["session_id"]) == (line["client_id"], line["session_id"])
            assert query["timestamp"] < line["timestamp"]
    assert [line["timestamp"] for _, line in found] == sorted(line["timestamp"] for _, line in found)
    assert any(line["query_id"] is None and line["action_name"] == "click" for _, line in found)


def test_no_client_id_in_anonymous_sessions(written_shop: tuple[Shop, Path]) -> None:
    both = [*lines(written_shop[1], "queries.ndjson"), *lines(written_shop[1], "events.ndjson")]
    clients: dict[str, set[str | None]] = {}
    for _, line in both:
        clients.setdefault(line["session_id"], set()).add(line["client_id"])
    assert all(len(who) == 1 for who in clients.values())
    assert 0.05 < sum(None in who for who in clients.values()) / len(clients) < 0.11


def test_the_catalogue_is_whole_on_the_first_day_and_changes_later(written_shop: tuple[Shop, Path]) -> None:
    shop, folder = written_shop
    found = lines(folder, "items.jsonl")
    assert all(set(line) == ITEM_KEYS for _, line in found)
    by_day = Counter(day for day, _ in found)
    late = int((shop.catalogue.added > 0).sum())
    assert by_day["2026-01-01"] == shop.config.items - late
    assert len(by_day) == shop.config.days  # never an empty file
    assert max(n for day, n in by_day.items() if day != "2026-01-01") < 20
    assert {line["item_id"] for _, line in found} == {f"i{n:05d}" for n in range(shop.config.items)}
    prices: dict[str, set[float]] = {}
    for _, line in found:
        prices.setdefault(line["item_id"], set()).add(line["price"])
    assert sum(len(price) > 1 for price in prices.values()) > 5


def test_nothing_is_shown_or_taken_before_it_is_sold(written_shop: tuple[Shop, Path]) -> None:
    shop, folder = written_shop
    since = {f"i{n:05d}": day for n, day in enumerate(shop.catalogue.added.tolist())}
    days = sorted(file.name for file in (folder / "logs").iterdir())
    for day, line in lines(folder, "queries.ndjson"):
        assert all(since[item] <= days.index(day) for item in line["query_response_hit_ids"])
    for day, line in lines(folder, "events.ndjson"):
        assert since[line["event_attributes"]["object"]["object_id"]] <= days.index(day)


def test_titles_and_descriptions_read_like_a_shop(written_shop: tuple[Shop, Path]) -> None:
    for line in list(item_lines(written_shop[0], 0))[:50]:
        look, making, noun = line["attributes"]["look"], line["attributes"]["making"], line["category"].split(" > ")[1]
        assert line["title"].startswith(f"{line['brand']} {look.title()} {making.title()} ")
        assert line["title"].split()[-1].lower()[:3] in noun.lower()
        assert line["brand"] in line["description"]
        assert look in line["description"]
        assert line["price"] > 0


def test_a_world_without_tastes_can_be_written(written_shop: tuple[Shop, Path], tmp_path: Path) -> None:
    config = written_shop[0].config.model_copy(update={"days": 1, "shoppers": 50})
    write_shop(config, tmp_path, World(taste_strength=0.0))
    assert json.loads((tmp_path / "truth" / "world.json").read_text())["taste_strength"] == 0.0
