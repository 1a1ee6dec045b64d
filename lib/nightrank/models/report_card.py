"""Figures with intervals from judged searches: by method, slice and metric; absolute, and paired against another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from nightrank.models.bootstrap import mean_interval, sums_by_user, user_mean

METRICS = ("ndcg", "mrr", "recall", "diversity")
ALL = "all"
RANKERS = ("challenger", "champion")
# What is served, was, or could be, and the simplest two have figures of each slice; the others of all searches.
IN_SLICES = (*RANKERS, "shop", "shown", "popularity", "repeats")
# The challenger's whole ranker; its nDCG less the challenger's is what compiling it into rows loses.
FULL = "full"
# The challenger's rows with boosts chosen by score alone, where the settings ask for diversity.
UNDIVERSIFIED = "undiversified"
# Base scores with each item's prior added, as an engine may do, alone and under the challenger's rows.
PRIOR, WITH_PRIOR = "prior", "with_prior"
# No rivals: what was shown has the live rows in it already, and the others are the challenger's own.
NO_BASELINES = (*RANKERS, "shown", FULL, UNDIVERSIFIED, PRIOR, WITH_PRIOR)
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
    """All figures of judged searches (columns of the table evaluations, as arrays, in a fixed order of rows).

    Paired differences in nDCG: of each ranker from each baseline, the shop's order among them, and from each other; and
    of the challenger's whole ranker from its rows, the compile loss, and of its rows from those without diversity and
    from its priors alone; of an engine that adds priors to its base scores from one that does not.
    A list of which no two items have a vector has no diversity and is left out of that mean.
    """
    methods = sorted(set(judged["method"].tolist()))
    found = []
    for name, within in _slices(judged):
        for method in methods if name == ALL else sorted(IN_SLICES):
            rows = np.flatnonzero(within & (judged["method"] == method))
            if len(rows):
                measured = ((metric, rows[~np.isnan(judged[metric][rows])]) for metric in METRICS)
                found += [_figure(judged, on, method, name, metric, draws) for metric, on in measured if len(on)]
        for method, versus in _pairs(methods if name == ALL else ["shop"]):
            difference = paired_difference(judged, method, versus, name, within, draws)
            found += [difference] if difference else []
    return found


def below_baselines(found: Sequence[Figure]) -> list[Figure]:
    """The differences, of all searches, in which a ranker is below a baseline: the largest first, ties by name."""
    differences = [f for f in found if f.slice == ALL and f.metric == "ndcg" and f.versus]
    below = [f for f in differences if f.value < 0 and f.versus not in NO_BASELINES]
    return sorted(below, key=lambda f: (f.value, f.method, f.versus))


def _pairs(methods: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each ranker against each baseline among the methods, and the challenger against the champion and its own kin."""
    for method in RANKERS:
        yield from ((method, versus) for versus in methods if versus not in NO_BASELINES)
    yield RANKERS
    yield FULL, RANKERS[0]
    yield RANKERS[0], UNDIVERSIFIED
    yield PRIOR, "shop"
    yield RANKERS[0], PRIOR
    yield WITH_PRIOR, RANKERS[0]


def compile_loss(found: Sequence[Figure]) -> Figure | None:
    """nDCG of the challenger's whole ranker less that of its rows, on all searches; None: neither was judged."""
    return next((f for f in found if (f.method, f.versus, f.slice) == (FULL, RANKERS[0], ALL)), None)


def paired_difference(
    judged: Arrays, method: str, versus: str, name: str, within: NDArray[np.bool_], draws: int
) -> Figure | None:
    """nDCG of `method` minus nDCG of `versus` on the searches that both ranked; None: there is no such search."""
    rows, difference = paired(judged, method, versus, within)
    if not len(rows):
        return None
    return _interval(judged, rows, difference, judged["weight"][rows], (method, versus, name, "ndcg"), draws)


def paired(
    judged: Arrays, method: str, versus: str, within: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The method's rows of searches that both ranked, and the differences in nDCG."""
    one, other = (np.flatnonzero(within & (judged["method"] == m)) for m in (method, versus))
    keys = _keys(judged, one), _keys(judged, other)
    _, at, versus_at = np.intersect1d(*keys, assume_unique=True, return_indices=True)
    rows = one[at]
    return rows, judged["ndcg"][rows].astype(np.float64) - judged["ndcg"][other[versus_at]].astype(np.float64)


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


def _keys(judged: Arrays, rows: NDArray[np.intp]) -> NDArray[np.str_]:
    nights, queries = judged["run_date"][rows].astype(np.str_), judged["query_id"][rows].astype(np.str_)
    return np.char.add(np.char.add(nights, " "), queries)
