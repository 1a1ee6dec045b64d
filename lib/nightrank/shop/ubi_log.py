"""The day's logs as a shop writes them: UBI queries and events as NDJSON, the catalogue as JSON lines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from nightrank.sections import ShopConfig
from nightrank.shop import words
from nightrank.shop.behaviour import simulate_day
from nightrank.shop.catalogue import Catalogue, changed_on, description, item_id, path, title
from nightrank.shop.draws import identifier
from nightrank.shop.logs import ACTIONS, BUY, CART, HIDE, LIKE, NO_SEARCH, DayLog, Events, Searches
from nightrank.shop.planted import DEVICES, World
from nightrank.shop.queries import NONE
from nightrank.shop.shoppers import user_id
from nightrank.shop.truth_files import write_truth
from nightrank.shop.world import Shop, date_of, make_world

QUERIES_FILE, EVENTS_FILE, ITEMS_FILE = "queries.ndjson", "events.ndjson", "items.jsonl"
APPLICATION, ID_FIELD = "nightrank-shop", "item_id"
MESSAGE_TYPES = {CART: "CONVERSION", BUY: "CONVERSION", LIKE: "CONVERSION", HIDE: "REJECT"}  # the rest: CLICK_THROUGH


def write_shop(config: ShopConfig, folder: str | Path, world: World | None = None) -> Shop:
    """The shop whose logs and truth now lie in `folder`: logs/<date>/{queries,events}.ndjson, items.jsonl, truth/.

    Replaces an earlier simulated shop in the same folder.
    """
    shop, root = make_world(config, world), Path(folder)
    if (root / "truth" / "world.json").exists():  # an earlier world: its days must not mix with these
        for name in ("logs", "truth"):
            shutil.rmtree(root / name, ignore_errors=True)
    for day in range(config.days):
        write_day(shop, day, root / "logs" / date_of(shop, day).isoformat())
    write_truth(shop, root / "truth")
    return shop


def write_day(shop: Shop, day: int, folder: Path) -> None:
    """Writes the three files of a day number into `folder`."""
    log = simulate_day(shop, day)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / QUERIES_FILE, query_lines(shop, day, log))
    _write(folder / EVENTS_FILE, event_lines(shop, day, log))
    _write(folder / ITEMS_FILE, item_lines(shop, day))


def _write(file: Path, lines: Iterable[dict[str, Any]]) -> None:
    text = "".join(json_line(line) + "\n" for line in lines)
    file.write_text(text, encoding="utf-8", newline="\n")


def json_line(line: dict[str, Any]) -> str:
    """The line as it is written, without its end."""
    return json.dumps(line, ensure_ascii=False)


def query_lines(shop: Shop, day: int, log: DayLog) -> Iterator[dict[str, Any]]:
    """UBI queries, by time then id."""
    found = [_query(shop, day, log.searches, row) for row in range(len(log.searches.shopper))]
    yield from sorted(found, key=lambda line: (line["timestamp"], line["query_id"]))


def event_lines(shop: Shop, day: int, log: DayLog) -> Iterator[dict[str, Any]]:
    """UBI events, by time, then session, action and item."""
    prices = shop.catalogue.price_on(day)
    found = [_event(shop, day, log.events, row, prices) for row in range(len(log.events.shopper))]
    yield from sorted(found, key=lambda e: (e["timestamp"], e["session_id"], e["action_name"], e["message"]))


def _query(shop: Shop, day: int, searches: Searches, row: int) -> dict[str, Any]:
    shopper, shown = int(searches.shopper[row]), searches.items[row] != NONE
    text = shop.queries.text[searches.query[row]]
    query_id = _query_id(shop, day, shopper, int(searches.number[row]))
    return {
        "application": APPLICATION,
        "query_id": query_id,
        "client_id": None if searches.anonymous[row] else user_id(shopper),
        "session_id": identifier(shop.config.seed, "session", day, shopper),
        "user_query": text.title().replace(" ", "  ") if searches.recased[row] else text,
        "timestamp": _timestamp(date_of(shop, day), int(searches.ms[row])),
        "query_response_id": query_id[::-1],
        "query_response_hit_ids": [item_id(n) for n in searches.items[row, shown].tolist()],
        "object_id_field": ID_FIELD,
        "query_attributes": {
            "base_scores": searches.scores[row, shown].tolist(),
            "sponsored": searches.sponsored[row, shown].tolist(),
            "device": DEVICES[int(searches.mobile[row])],
        },
    }


def _event(shop: Shop, day: int, events: Events, row: int, prices: np.ndarray[Any, Any]) -> dict[str, Any]:
    shopper, number, item = int(events.shopper[row]), int(events.number[row]), int(events.item[row])
    action, position = int(events.action[row]), int(events.position[row])
    attributes: dict[str, Any] = {
        "object": {"object_id": item_id(item), "object_id_field": ID_FIELD},
        "device": DEVICES[int(events.mobile[row])],
    }
    if position:
        attributes["position"] = {"ordinal": position}
    if action in (CART, BUY):
        attributes |= {"quantity": int(events.quantity[row]), "price": float(prices[item])}
    return {
        "application": APPLICATION,
        "action_name": ACTIONS[action],
        "query_id": None if number == NO_SEARCH else _query_id(shop, day, shopper, number),
        "session_id": identifier(shop.config.seed, "session", day, shopper),
        "client_id": None if events.anonymous[row] else user_id(shopper),
        "timestamp": _timestamp(date_of(shop, day), int(events.ms[row])),
        "message_type": MESSAGE_TYPES.get(action, "CLICK_THROUGH"),
        "message": f"{ACTIONS[action]} {item_id(item)}",
        "event_attributes": attributes,
    }


def _query_id(shop: Shop, day: int, shopper: int, number: int) -> str:
    return identifier(shop.config.seed, "query", day, shopper, number)


def _timestamp(day: date, ms: int) -> str:
    seconds, rest = divmod(ms, 1000)
    return f"{day.isoformat()}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}Z"


def item_lines(shop: Shop, day: int) -> Iterator[dict[str, Any]]:
    """Canonical items of a day, by id: the whole catalogue on day 0, what is new or changed later."""
    made, prices = shop.catalogue, shop.catalogue.price_on(day)
    for item in map(int, changed_on(made, day)):
        yield {
            "item_id": item_id(item),
            "title": title(made, item),
            "description": description(made, item),
            "brand": words.BRANDS[made.brand[item]],
            "category": path(made, item),
            "price": float(prices[item]),
            "seller": words.SELLERS[made.seller[item]],
            "in_stock": bool(made.in_stock[item]),
            "attributes": _attributes(made, item),
            "updated_at": _timestamp(date_of(shop, day), 0),
        }


def _attributes(made: Catalogue, item: int) -> dict[str, str]:
    return {
        "colour": words.COLOURS[made.colour[item]],
        "look": words.WORDS[made.item_words[item, 0]],
        "making": words.WORDS[made.item_words[item, 1]],
    }
