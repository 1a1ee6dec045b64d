"""How regularly something is bought again: buying days and the days between them, in exact sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nightrank.models.folding import Entries, merged, successors
from nightrank.models.ordering import Longs, order_of

# The columns of a cycle's values.
BUYS, DAYS, SQUARED_DAYS, LAST = range(4)


def first_buys(key: Longs, night: Longs, day: Longs) -> Entries:
    """Each buy as if it were its key's only one, by key, night of arrival and day; values: (n, 4) longs."""
    order = order_of(key, night, day)
    values = np.zeros((len(key), 4), dtype=np.int64)
    values[:, BUYS], values[:, LAST] = 1, day[order]
    return Entries(key[order], night[order], values)


def fold_buys(previous: Entries, buys: Entries, forget_nights: int) -> Entries:
    """The cycle of each key after each buy: buying days, the sums of the days between them and their squares, the last.

    Buys are taken in order of arrival, then of day. One of the last buying day adds nothing, and neither does a late
    one of a day before it: the gaps on both sides of it are not known any more. After more than forget_nights
    without a buy everything begins anew.
    """
    entries = merged(previous, buys)
    values = entries.values.copy()
    for at in successors(entries.key):
        forgotten = entries.night[at] - entries.night[at - 1] > forget_nights
        values[at] = np.where(forgotten[:, None], values[at], _one_more(values[at - 1], values[at, LAST]))
    return Entries(entries.key, entries.night, values)


def _one_more(cycle: NDArray[np.int64], day: Longs) -> NDArray[np.int64]:
    gap: Longs = np.maximum(day - cycle[:, LAST], 0)
    after: NDArray[np.int64] = cycle + np.stack([gap > 0, gap, gap * gap, gap], axis=1)
    return after


def how_due(buys: ArrayLike, days: ArrayLike, squared_days: ArrayLike, since: ArrayLike) -> NDArray[np.float64]:
    """How due the next buy of each cycle is, 0 to 1: min(r, 1/r) · m / (m + s); 0 where there was one buy only.

    m: the mean of the days between buys. r: days since the last one, `since`, in m: on the day of a buy nothing is due,
    after m days it is most so, and the longer it is overdue the less: whoever stopped buying buys no more. m / (m + s):
    how regular they are, s² being the mean square of their differences from m, with one more that is as large as m, as
    days between chance buys are: so a single gap does not pass for a rule.
    """
    many, total, squares, passed = (np.asarray(each, np.float64) for each in (buys, days, squared_days, since))
    gaps = np.maximum(many - 1, 1)
    mean = total / gaps
    spread = np.sqrt((squares - gaps * mean**2 + mean**2) / (gaps + 1))
    counts = (many > 1) & (mean > 0) & (passed > 0)
    ratio = np.divide(passed, mean, out=np.ones_like(mean), where=counts)
    regular = np.divide(mean, mean + spread, out=np.zeros_like(mean), where=counts)
    return np.asarray(np.minimum(ratio, 1 / ratio) * regular)
