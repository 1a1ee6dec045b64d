"""A night: the date whose arrivals it takes in, what the lake held before it, and which snapshots it writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

ONE_DAY = timedelta(days=1)
BEGINNING = date(1970, 1, 1)


@dataclass(frozen=True)
class Night:
    """One run of the job.

    run_date: the night; rows that arrive in it carry this date.
    first_arrival: the earliest arrival that it takes in: run_date itself, or BEGINNING in a bulk load.
    held: the earlier nights that the lake has snapshots of, in order; none in a bulk load, which builds anew.
    snapshots: the nights, in order, that a snapshot table is written for; the last is run_date. A bulk load also
        writes the earlier nights that training and judging look back to, so that they read tables as on any night.
    """

    run_date: date
    first_arrival: date
    held: tuple[date, ...]
    snapshots: tuple[date, ...]

    @property
    def bulk(self) -> bool:
        """Whether this night takes in the arrivals of more than one night."""
        return self.first_arrival != self.run_date

    @property
    def previous(self) -> date | None:
        """The last night that the lake holds before this one's arrivals; None: this is the first."""
        return self.held[-1] if self.held else None

    @property
    def cut(self) -> datetime:
        """The first moment that the night does not know: midnight UTC after run_date."""
        return end_of(self.run_date)

    def latest_snapshot(self, at_most: date) -> date | None:
        """The latest night up to `at_most` that a snapshot stands for, before or in this night; None: there is none."""
        return max((day for day in (*self.held, *self.snapshots) if day <= at_most), default=None)


def end_of(day: date) -> datetime:
    """Midnight UTC after `day`: exclusive upper bound of what happened on it."""
    return datetime.combine(day + ONE_DAY, time(), tzinfo=UTC)


def ordinary_night(run_date: date, held: tuple[date, ...]) -> Night:
    """A night with its own arrivals and its own snapshot, on top of the nights that the lake holds."""
    return Night(run_date, run_date, tuple(day for day in sorted(held) if day < run_date), (run_date,))


def bulk_night(run_date: date, window_nights: int, held_out_nights: int) -> Night:
    """The night of a bulk load: all arrivals up to run_date.

    Snapshots: the night before the training window (window_nights long, run_date its last), the one before the nights
    that gates are fitted on (held_out_nights, before run_date), that before run_date, which rows are judged from, and
    run_date itself.
    """
    before_window = window_start(run_date, window_nights) - ONE_DAY
    looked_back_to = {before_window, night_before_held_out(run_date, held_out_nights), run_date - ONE_DAY}
    return Night(run_date, BEGINNING, (), (*sorted(looked_back_to), run_date))


def night_before_held_out(run_date: date, held_out_nights: int) -> date:
    """The last night that the night of run_date trains on: before the held-out ones, which come before run_date."""
    return run_date - (held_out_nights + 1) * ONE_DAY


def window_start(run_date: date, window_nights: int) -> date:
    """The first night of a window of `window_nights` nights that ends with run_date."""
    return run_date - (window_nights - 1) * ONE_DAY
