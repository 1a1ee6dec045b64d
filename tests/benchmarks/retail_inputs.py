"""The canonical inputs of the Online Retail benchmark: events, searches and items as they were known at the cut."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
from derived_retail import Shelf, hidden_title, line_counts, sessions_from
from pyarrow import parquet

POPULARITY_NIGHTS = 14
TIME = pyarrow.timestamp("us", tz="UTC")
TEXT, NUMBER = pyarrow.string(), pyarrow.float64()
SHOWN = pyarrow.struct({"item_id": TEXT, "position": pyarrow.int32(), "base_score": NUMBER})
SEARCHES = pyarrow.schema(
    {"query_id": TEXT, "ts": TIME, "user_id": TEXT, "query": TEXT, "slate": pyarrow.list_(SHOWN), "session_id": TEXT,
     "derived": pyarrow.bool_()}
)  # fmt: skip
EVENTS = pyarrow.schema(
    {"event_id": TEXT, "ts": TIME, "user_id": TEXT, "action": TEXT, "item_id": TEXT, "session_id": TEXT,
     "query_id": TEXT, "quantity": NUMBER, "price": NUMBER}
)  # fmt: skip
ITEMS = pyarrow.schema({"item_id": TEXT, "title": TEXT, "category": TEXT, "price": NUMBER, "updated_at": TIME})


def write_inputs(before: pandas.DataFrame, shelf: Shelf, nights: int, folder: Path) -> None:
    """Writes events.parquet, searches.parquet and items.parquet from the lines before a cut.

    Purchases of the last `nights` days, the day of the cut included, become derived searches too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    searches = derived_searches(before, shelf, nights)
    for name, frame, schema in (
        ("searches", searches, SEARCHES),
        ("events", buy_events(before, set(searches["query_id"])), EVENTS),
        ("items", catalogue(before, shelf), ITEMS),
    ):
        table = pyarrow.Table.from_pandas(frame, schema=schema, preserve_index=False)
        parquet.write_table(table, folder / f"{name}.parquet")


def derived_searches(before: pandas.DataFrame, shelf: Shelf, nights: int) -> pandas.DataFrame:
    """The columns of SEARCHES: each purchase of an item bought on an earlier day, with its clean slate.

    base_score = log1p(lines in the 14 days before the day of the search); the slate holds what had been bought before
    that day, five items at least, by base score.
    """
    days = before["ts"].dt.normalize()
    first = days.max() - pandas.Timedelta(days=nights - 1)
    parts = [
        _searches_of_day(before[days == day], before[days < day], day, shelf) for day in days[days >= first].unique()
    ]
    return pandas.concat(parts, ignore_index=True)


def _searches_of_day(
    today: pandas.DataFrame, earlier: pandas.DataFrame, day: pandas.Timestamp, shelf: Shelf
) -> pandas.DataFrame:
    recent = line_counts(earlier[earlier["ts"] >= day - pandas.Timedelta(days=POPULARITY_NIGHTS)], shelf)
    known = line_counts(earlier, shelf) > 0
    slates = {query: own[known[own]] for query, own in shelf.slates.items()}
    there = {query: own for query, own in slates.items() if len(own) >= 5}
    sessions = sessions_from(today, Shelf(shelf.item_ids, shelf.titles, shelf.queries, there))
    kept = known[sessions.taken]
    made, queries = sessions.purchases[kept], shelf.queries[sessions.taken[kept]]
    shown = {query: _slate(own, recent, shelf) for query, own in there.items()}
    return pandas.DataFrame(
        {
            "query_id": query_id(made["line"]).to_numpy(),
            "ts": made["ts"].to_numpy(),
            "user_id": made["user_id"].to_numpy(),
            "query": queries.astype(object),
            "slate": [shown[query] for query in queries],
            "session_id": made["invoice"].to_numpy(),
            "derived": True,
        }
    )


def _slate(items: np.ndarray, recent: np.ndarray, shelf: Shelf) -> list[Mapping[str, Any]]:
    order = items[np.lexsort((items, -recent[items]))]
    return [
        {"item_id": str(shelf.item_ids[item]), "position": at, "base_score": float(np.log1p(recent[item]))}
        for at, item in enumerate(order, 1)
    ]


def query_id(line: pandas.Series) -> pandas.Series:
    """The id of the search that a purchase line may become."""
    return "line:" + line.astype(str)


def buy_events(before: pandas.DataFrame, searched: set[str]) -> pandas.DataFrame:
    """The columns of EVENTS: each line is a `buy`; query_id where a search was derived from it."""
    named = query_id(before["line"])
    return pandas.DataFrame(
        {
            "event_id": before["line"].map("{:07d}".format),  # in the order of the file: it breaks ties of time
            "ts": before["ts"],
            "user_id": before["user_id"],
            "action": "buy",
            "item_id": before["item_id"],
            "session_id": before["invoice"],
            "query_id": named.where(named.isin(searched), None),
            "quantity": before["quantity"],
            "price": before["price"],
        }
    )


def catalogue(before: pandas.DataFrame, shelf: Shelf) -> pandas.DataFrame:
    """The columns of ITEMS: descriptions without the words of their own query, which is the same for a whole slate."""
    prices = before.groupby("item_id")["price"].median().reindex(shelf.item_ids)
    return pandas.DataFrame(
        {
            "item_id": shelf.item_ids.astype(object),
            "title": [hidden_title(str(t), str(q)) for t, q in zip(shelf.titles, shelf.queries, strict=True)],
            "category": [str(q).split(" ")[-1].lower() or None for q in shelf.queries],
            "price": prices.to_numpy(),
            "updated_at": pandas.Series([pandas.NaT] * len(shelf.item_ids), dtype="datetime64[us]"),
        }
    )
