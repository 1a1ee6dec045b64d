"""The canonical inputs of the games' benchmarks, on days that are made up as the data have none.

The k-th last item of a shopper was taken on the k-th last day. Some shoppers are searchers: each of their takes of the
last days is a search too, a list like those of protocol A, and the ranker's coefficients are learned from these. Towers
learn only from what precedes the searches, so everybody else's days end before the searches begin: nothing that is
known of them is kept from the towers. Which shoppers search is drawn by a fixed seed among those who are not judged and
have taken enough that something precedes their searches.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from llmrank_games import CANDIDATES, SEED, Games, Ints
from pyarrow import parquet

LAST = date(2020, 1, 31)
SEARCHERS, LEAST_BEFORE = 8000, 3
EVERYTHING = "*"  # a query without words: nothing is asked for, so nothing but the shopper tells games apart
TIME, TEXT = pyarrow.timestamp("us", tz="UTC"), pyarrow.string()
SHOWN = pyarrow.struct({"item_id": TEXT, "position": pyarrow.int32(), "base_score": pyarrow.float64()})
SEARCHES = pyarrow.schema(
    {"query_id": TEXT, "ts": TIME, "user_id": TEXT, "query": TEXT, "slate": pyarrow.list_(SHOWN),
     "derived": pyarrow.bool_()}
)  # fmt: skip
EVENTS = pyarrow.schema(
    {"event_id": TEXT, "ts": TIME, "user_id": TEXT, "action": TEXT, "item_id": TEXT, "query_id": TEXT}
)
ITEMS = pyarrow.schema({"item_id": TEXT, "title": TEXT})


def searchers(games: Games, judged: Iterable[str], days: int) -> list[str]:
    """Shoppers whose takes of the last `days` days become searches, in order of their ids."""
    others = sorted(set(games.histories) - set(judged))
    able = [user for user in others if len(games.histories[user]) >= days + LEAST_BEFORE]
    drawn = np.random.default_rng(SEED).permutation(len(able))[:SEARCHERS]
    return [able[at] for at in np.sort(drawn)]


def write_log(games: Games, searching: Iterable[str], days: int, folder: Path) -> None:
    """Writes events.parquet and searches.parquet; the searches are of the last `days` days."""
    events = {user: day_of_takes(len(items), days) for user, items in games.histories.items()}
    searched = {user: day_of_takes(len(games.histories[user]), 0) for user in searching}
    _write(_events(games, events | searched, set(searched), days), EVENTS, folder / "events.parquet")
    _write(_searches(games, searched, days), SEARCHES, folder / "searches.parquet")


def write_items(games: Games, folder: Path) -> None:
    """Writes items.parquet: the shelf's titles."""
    rows = [{"item_id": str(item), "title": games.titles[item]} for item in games.shelf.tolist()]
    _write(rows, ITEMS, folder / "items.parquet")


def day_of_takes(takes: int, later_days: int) -> list[date]:
    """The day of each of a shopper's takes, one a day, the last one `later_days` before LAST."""
    return [LAST - timedelta(days=later_days + back) for back in reversed(range(takes))]


def _events(games: Games, days_of: dict[str, list[date]], searching: set[str], days: int) -> list[dict[str, Any]]:
    first = LAST - timedelta(days=days - 1)
    return [
        {
            "event_id": f"{user}:{place:03d}",
            "ts": _noon(day),
            "user_id": user,
            "action": "buy",
            "item_id": str(item),
            "query_id": query_id(user, day) if user in searching and day >= first else None,
        }
        for user, of_user in days_of.items()
        for place, (day, item) in enumerate(zip(of_user, games.histories[user].tolist(), strict=True))
    ]


def _searches(games: Games, days_of: dict[str, list[date]], days: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(SEED)
    return [
        {
            "query_id": query_id(user, day),
            "ts": _noon(day),
            "user_id": user,
            "query": EVERYTHING,
            "slate": slate(item, games.shelf, random),
            "derived": True,
        }
        for user, of_user in days_of.items()
        for day, item in zip(of_user[-days:], games.histories[user][-days:].tolist(), strict=True)
    ]


def slate(taken: int, shelf: Ints, random: np.random.Generator) -> list[dict[str, Any]]:
    """A list of protocol A: the item taken among 19 others of the shelf, shuffled; no base score tells them apart."""
    drawn = random.choice(shelf, min(CANDIDATES, len(shelf)), replace=False)
    items = random.permutation(np.append(drawn[drawn != taken][: CANDIDATES - 1], taken))
    return [{"item_id": str(item), "position": at, "base_score": 0.0} for at, item in enumerate(items.tolist(), 1)]


def query_id(user: str, day: date) -> str:
    """The id of the search that a shopper's take of a day is."""
    return f"{user}:{day}"


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(12), tzinfo=UTC)


def _write(rows: list[dict[str, Any]], schema: pyarrow.Schema, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), path)
