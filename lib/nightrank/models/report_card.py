"""Figures with intervals from judged searches: by method, slice and metric; absolute, and paired against another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from nightrank.models.bootstrap import mean_interval, sums_by_user, user_mean

METRICS = ("ndcg", "mrr", "recall")
ALL = "all"
SEED = 21  # of the bootstrap; any fixed number: a rerun must draw the same samples
Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Figure:
    """A mean over searches, weighted by inverse propensity, with its 95 % interval over shoppers.

    Without those weights the logged order would win by having been looked at from the top (Swaminathan & Joachims
    2015, the self-normalised estimator).

    versus: the method that a paired difference is taken from; '' for a figure of the method itself. user_value: the
    mean over shoppers of each one's own mean.
    """

    method: str
    versus: str
    slice: str
    metric: str
    value: float
    lower: float
    upper: float
    user_value: float
    searches: int
    users: int

    def row(self) -> tuple[object, ...]:
        """The figure as a row, fields in order."""
        return astuple(self)


def figures(judged: Arrays, draws: int) -> list[Figure]:
    """All figures of judged searches (columns of the table evaluations, as arrays, in a fixed order of rows)."""
    methods = sorted(set(judged["method"].tolist()))
    found = []
    for name, within in _slices(judged):
        for method in methods:
            rows = np.flatnonzero(within & (judged["method"] == method))
            if len(rows):
                found += [_figure(judged, rows, method, name, metric, draws) for metric in METRICS]
        for method, versus in (("challenger", "shop"), ("champion", "shop"), ("challenger", "champion")):
            difference = paired_difference(judged, method, versus, name, within, draws)
            found += [difference] if difference else []
    return found


def paired_difference(
    judged: Arrays, method: str, versus: str, name: str, within: NDArray[np.bool_], draws: int
) -> Figure | None:
    """nDCG of `method` minus nDCG of `versus` on the searches that both ranked; None: there is no such search."""
    one, other = (np.flatnonzero(within & (judged["method"] == m)) for m in (method, versus))
    keys = _keys(judged)
    _, at, versus_at = np.intersect1d(keys[one], keys[other], assume_unique=True, return_indices=True)
    if not len(at):
        return None
    rows = one[at]
    difference = judged["ndcg"][rows].astype(np.float64) - judged["ndcg"][other[versus_at]].astype(np.float64)
    return _interval(judged, rows, difference, judged["weight"][rows], (method, versus, name, "ndcg"), draws)


def _figure(judged: Arrays, rows: NDArray[np.intp], method: str, name: str, metric: str, draws: int) -> Figure:
    return _interval(judged, rows, judged[metric][rows], judged["weight"][rows], (method, "", name, metric), draws)


def _interval(
    judged: Arrays,
    rows: NDArray[np.intp],
    values: NDArray[np.generic],
    weights: NDArray[np.generic],
    names: tuple[str, str, str, str],
    draws: int,
) -> Figure:
    users, numerator, denominator = sums_by_user(judged["user_id"][rows], values, weights)
    value, lower, upper = mean_interval(numerator, denominator, draws, SEED)
    return Figure(*names, value, lower, upper, user_mean(numerator, denominator), len(rows), len(users))


def _slices(judged: Arrays) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Every slice by name, as a mask over the rows. Sponsored slots stand apart from all others."""
    organic = judged["part"] == "organic"
    yield ALL, organic
    yield "sponsored", ~organic
    for query_class in sorted(set(judged["query_class"].tolist())):
        yield f"class:{query_class}", organic & (judged["query_class"] == query_class)
    for column, yes, no in (("returning", "returning", "new"), ("head", "head", "tail")):
        flag = judged[column].astype(bool)
        yield yes, organic & flag
        yield no, organic & ~flag
    if judged["derived"].astype(bool).any():
        yield "derived", organic & judged["derived"].astype(bool)


def _keys(judged: Arrays) -> NDArray[np.str_]:
    return np.char.add(np.char.add(judged["run_date"].astype(np.str_), " "), judged["query_id"].astype(np.str_))
