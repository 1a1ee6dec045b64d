"""Rows that tests of several rerank stages use: gates, the ledger, searches."""

from __future__ import annotations

from datetime import datetime, timedelta

from nightrank import tables

ITEMS = [f"i{n}" for n in range(6)]

# query_class, min_evidence, min_agreement, alpha, bound, gain, lower, upper, searches, users, own_gain
OPEN = [
    ("category", 0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0.0),
    ("category", 1, -1.0, 0.25, 8.0, 0.1, 0.05, 0.2, 40, 40, 0.1),
    ("category", 5, -1.0, 0.5, 4.0, 0.1, 0.05, 0.2, 40, 40, 0.1),
    ("navigational", 1, -1.0, 0.0, 0.0, 0.0, -0.1, 0.1, 40, 40, 0.0),
]


def ledger_row(shop, promoted, champion, live):
    """A row of `promotions` of tonight."""
    version = "c1" if live != "none" else None
    return (shop.night.run_date, shop.ranker_id, champion, live, version, promoted, "", 1, [])


def searches_of(spark, shop, takes, nights_ago):
    """Rows of `searches`: one a (shopper, taken item), all six items shown, base scores falling by 0.2."""
    day = shop.night.run_date - timedelta(days=nights_ago)
    at = datetime(day.year, day.month, day.day, 9)
    rows = []
    for n, (user, taken) in enumerate(takes):
        slate = [(i, p + 1, 3.0 - p * 0.2, False, 1.0, 1.0 if i == taken else 0.0) for p, i in enumerate(ITEMS)]
        rows.append((day, f"q{n}", at, user, "thing", slate, "s", "desktop", None, False, "thing", None, [], True))
    return spark.createDataFrame(rows, tables.SEARCHES.schema)


def people(spark, *rows):
    """Rows of `people`: run_date, user_id, person_id, opted_out, forgotten_until."""
    return spark.createDataFrame([(*row, None, None, None, None, None, [], True) for row in rows], tables.PEOPLE.schema)
