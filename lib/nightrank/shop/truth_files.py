"""How the truth is written beside the logs; truth.py reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nightrank.shop import planted, words
from nightrank.shop.catalogue import NEVER, item_id, path, title
from nightrank.shop.queries import CLASSES, NONE
from nightrank.shop.shoppers import user_id
from nightrank.shop.utility import Tastes, position_curve
from nightrank.shop.world import Shop, date_of


def write_truth(shop: Shop, folder: Path) -> None:
    """Writes shoppers.jsonl, items.jsonl, queries.jsonl, position_curve.json and world.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in {"shoppers": _shopper_lines, "items": _item_lines, "queries": _query_lines}.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines(shop))
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8", newline="\n")
    curve = {device: position_curve(device).tolist() for device in planted.DEVICES}
    config = shop.config.model_dump(mode="json", exclude={"path"})
    flip = shop.world.flip_day.isoformat() if shop.world.flip_day else None
    world = {**config, "taste_strength": shop.world.taste_strength, "flip_day": flip}
    (folder / "position_curve.json").write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")
    (folder / "world.json").write_text(json.dumps(world, indent=1) + "\n", encoding="utf-8")


def _shopper_lines(shop: Shop) -> Iterator[dict[str, Any]]:
    people, tastes = shop.shoppers, shop.shoppers.tastes
    for n in range(people.size):
        changes = int(tastes.changes_on[n])
        yield {
            "user_id": user_id(n),
            "kind": planted.KINDS[people.kind[n]],
            "arrived_on": date_of(shop, int(people.arrived[n])).isoformat(),
            "strength": float(tastes.strength[n]),
            **_taste(tastes, n, 0),
            "changes_on": None if changes == NEVER else date_of(shop, changes).isoformat(),
            "after": None if changes == NEVER else _taste(tastes, n, 1),
        }


def _taste(tastes: Tastes, shopper: int, which: int) -> dict[str, Any]:
    return {
        "brand": words.BRANDS[tastes.brand[shopper, which]],
        "second_brand": words.BRANDS[tastes.second_brand[shopper, which]],
        "categories": [list(words.CATEGORIES)[n] for n in tastes.categories[shopper, which]],
        "price_band": words.PRICE_BANDS[tastes.band[shopper, which]],
        "words": [words.WORDS[n] for n in tastes.words[shopper, which]],
    }


def _item_lines(shop: Shop) -> Iterator[dict[str, Any]]:
    made = shop.catalogue
    for n in range(made.size):
        yield {
            "item_id": item_id(n),
            "title": title(made, n),
            "brand": words.BRANDS[made.brand[n]],
            "category": list(words.CATEGORIES)[made.category[n]],
            "path": path(made, n),
            "price_band": words.PRICE_BANDS[made.band[n]],
            "words": [words.WORDS[w] for w in made.item_words[n]],
            "quality": float(made.quality[n]),
            "added_on": date_of(shop, int(made.added[n])).isoformat(),
            "promoted": bool(made.promoted[n]),
        }


def _query_lines(shop: Shop) -> Iterator[dict[str, Any]]:
    asked = shop.queries
    for n, text in enumerate(asked.text):
        target = int(asked.target[n])
        yield {
            "query": text,
            "class": CLASSES[asked.class_index[n]],
            "target": None if target == NONE else item_id(target),
        }
