"""Whom personalising helps and whom it harms: shares of shoppers, by query class and by segment.

A mean gain says nothing of who pays for it. A shopper is helped by a ranker whose order of their own judged searches
is better in the mean than the shop's, harmed by one whose order is worse, and untouched where it is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nightrank.models.bootstrap import mean_interval, sums_by_user
from nightrank.models.report_card import ALL, RANKERS, SEED, Arrays, Figure, paired

SHARES = ("helped", "harmed", "untouched")
BASE = "shop"
NO_SEGMENT = "no segment"
# Beyond what sums of doubles are off: the same order has the same nDCG to the bit.
_LEAST = 1e-9


def shopper_shares(judged: Arrays, draws: int, nobody: str) -> list[Figure]:
    """Three figures a ranker and slice (all, `class:` and the name of each segment), metrics SHARES.

    value: the share of the slice's shoppers, with its 95 % interval over shoppers; user_value: the mean change in nDCG
    of those who are meant, each counted once. judged: columns of evaluations and `segment`, '' where there is none.
    nobody: the id of those who are no one shopper; they are left out.
    """
    somebody = (judged["part"] == "organic") & (judged["user_id"] != nobody)
    found = []
    for method in RANKERS:
        for name, within in _slices(judged, somebody):
            rows, differences = paired(judged, method, BASE, within)
            if len(rows):
                found += _shares(judged, rows, differences, method, name, draws)
    return found


def shares_of(found: Sequence[Figure]) -> list[Figure]:
    """Those of the figures that are shares of shoppers."""
    return [figure for figure in found if figure.metric in SHARES]


def _slices(judged: Arrays, somebody: NDArray[np.bool_]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    yield ALL, somebody
    for column, prefix in (("query_class", "class:"), ("segment", "")):
        for value in sorted(set(judged[column][somebody].tolist())):
            yield f"{prefix}{value}" or NO_SEGMENT, somebody & (judged[column] == value)


def _shares(
    judged: Arrays, rows: NDArray[np.intp], differences: NDArray[np.float64], method: str, name: str, draws: int
) -> list[Figure]:
    users, above, below = sums_by_user(judged["user_id"][rows], differences, judged["weight"][rows])
    change = np.divide(above, below, out=np.zeros(len(users)), where=below > 0)
    kinds = change > _LEAST, change < -_LEAST, np.abs(change) <= _LEAST
    found = []
    for metric, kind in zip(SHARES, kinds, strict=True):
        value, lower, upper = mean_interval(kind.astype(np.float64), np.ones(len(users)), draws, SEED)
        mean = float(change[kind].mean()) if kind.any() else 0.0
        bounds = max(0.0, lower), min(1.0, upper)
        found.append(Figure(method, BASE, name, metric, value, *bounds, mean, len(rows), len(users)))
    return found
