"""The truth beside the logs: what was planted, and the oracle that knows it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightrank.errors import ContractError, InputMissingError
from nightrank.shop.catalogue import NEVER
from nightrank.shop.draws import Floats, Ints
from nightrank.shop.queries import NONE
from nightrank.shop.utility import Tastes, Traits, attraction, intent, utility

UNKNOWN = -1  # the last row of the tastes: of a shopper whom the shop does not know


@dataclass(frozen=True)
class Truth:
    """What was planted.

    shoppers, items, queries: the lines of their files, in order; curve: device -> chance that position 1.. is looked
    at; the rest is what utilities are computed from, with a row without tastes for unknown shoppers at the end.
    """

    first_day: date
    curve: dict[str, Floats]
    shoppers: tuple[dict[str, Any], ...]
    items: tuple[dict[str, Any], ...]
    queries: dict[str, dict[str, Any]]
    shopper_index: dict[str, int]
    item_index: dict[str, int]
    tastes: Tastes
    traits: Traits


def load_truth(folder: str | Path) -> Truth:
    """The truth in a shop's `truth/` folder, or in the folder that holds it.

    Raises InputMissingError where there is none.
    """
    root = Path(folder)
    root = root if (root / "world.json").exists() else root / "truth"
    if not (root / "world.json").exists():
        raise InputMissingError(f"Truth '{folder}' is not there: expected world.json in it. Write the shop first.")
    first_day = date.fromisoformat(json.loads((root / "world.json").read_text(encoding="utf-8"))["first_day"])
    curve = json.loads((root / "position_curve.json").read_text(encoding="utf-8"))
    shoppers, items, queries = (_lines(root / f"{name}.jsonl") for name in ("shoppers", "items", "queries"))
    return Truth(
        first_day=first_day,
        curve={device: np.array(values) for device, values in curve.items()},
        shoppers=shoppers,
        items=items,
        queries={line["query"]: line for line in queries},
        shopper_index={line["user_id"]: n for n, line in enumerate(shoppers)},
        item_index={line["item_id"]: n for n, line in enumerate(items)},
        tastes=_tastes(shoppers, first_day),
        traits=_traits(items),
    )


def _lines(file: Path) -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())


def _tastes(shoppers: Sequence[dict[str, Any]], first_day: date) -> Tastes:
    """Tastes by name, and a last row for unknown shoppers, who have none."""
    both = [(line, line["after"] or line) for line in (*shoppers, shoppers[-1])]
    return Tastes(
        brand=np.array([[taste["brand"] for taste in pair] for pair in both]),
        second_brand=np.array([[taste["second_brand"] for taste in pair] for pair in both]),
        categories=np.array([[taste["categories"] for taste in pair] for pair in both]),
        band=np.array([[taste["price_band"] for taste in pair] for pair in both]),
        words=np.array([[taste["words"] for taste in pair] for pair in both]),
        strength=np.array([*(line["strength"] for line in shoppers), 0.0]),
        changes_on=np.array([_changes_on(line, first_day) for line, _ in both]),
    )


def _changes_on(line: dict[str, Any], first_day: date) -> int:
    return (date.fromisoformat(line["changes_on"]) - first_day).days if line["after"] else NEVER


def _traits(items: Sequence[dict[str, Any]]) -> Traits:
    return Traits(
        brand=np.array([line["brand"] for line in items]),
        category=np.array([line["category"] for line in items]),
        band=np.array([line["price_band"] for line in items]),
        words=np.array([line["words"] for line in items]),
        quality=np.array([line["quality"] for line in items]),
    )


def true_utility(
    truth: Truth,
    user_ids: Sequence[str | None],
    item_ids: Sequence[str],
    day: date | npt.NDArray[np.datetime64],
    queries: Sequence[str] | None = None,
) -> Floats:
    """The oracle's score of each (shopper, item) pair on a day, in log-odds of a click: shape (pairs,).

    Quality plus taste; a shopper whom the truth does not know has quality only. With `queries`, one a pair, what a
    search by name asks for is added: an oracle that ranks slates needs it. `day`: one date, or one a pair.
    Raises ContractError for an item that is not in the truth.
    """
    items = _items(truth, item_ids)
    shoppers = np.array([truth.shopper_index.get(u or "", UNKNOWN) for u in user_ids], dtype=np.int64)
    days = (np.asarray(day, dtype="datetime64[D]") - np.datetime64(truth.first_day)).astype(np.int64)
    known = utility(truth.tastes, truth.traits, shoppers, items, days)
    return known if queries is None else known + intent(items, _targets(truth, queries))


def true_attraction(
    truth: Truth,
    user_ids: Sequence[str | None],
    item_ids: Sequence[str],
    day: date | npt.NDArray[np.datetime64],
    queries: Sequence[str],
) -> Floats:
    """Chance of a click on each pair's item once it is looked at, shape (pairs,); meaningless for unknown shoppers."""
    shoppers = np.array([truth.shopper_index.get(u or "", UNKNOWN) for u in user_ids], dtype=np.int64)
    return attraction(true_utility(truth, user_ids, item_ids, day, queries), truth.tastes.strength[shoppers])


def _items(truth: Truth, item_ids: Sequence[str]) -> Ints:
    try:
        return np.array([truth.item_index[i] for i in item_ids], dtype=np.int64)
    except KeyError as error:
        raise ContractError(
            f"The true utility of item {error} cannot be told: expected one of the {len(truth.item_index)} items of "
            "truth/items.jsonl. Read the truth that lies beside these logs."
        ) from None


def _targets(truth: Truth, queries: Sequence[str]) -> Ints:
    """The item that each query names, or -1; blanks and capitals do not matter."""
    plain = (" ".join(query.lower().split()) for query in queries)
    named = (truth.queries.get(text, {}).get("target") for text in plain)
    return np.array([NONE if target is None else truth.item_index[target] for target in named], dtype=np.int64)
