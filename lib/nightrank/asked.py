"""What a run is of: which stages, of which nights."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.config import Config
from nightrank.errors import ContractError, UsageError
from nightrank.nights import ONE_DAY, Night, bulk_night, ordinary_night
from nightrank.stages import JOBS, STAGES, WEEKLY, WEEKLY_JOBS, Stage
from nightrank.storage import nights_of


def stages_named(what: str, config: Config) -> tuple[Stage, ...]:
    """The stages of a job, of `nightly` (all but the weekly), or the one of that name, in running order: those wanted.

    Raises UsageError where none is.
    """
    found = tuple(s for s in STAGES if what in {"nightly", s.job, s.name})
    found = found or tuple(s for s in WEEKLY if what in {s.job, s.name})
    if not found:
        names = ", ".join(("nightly", *JOBS, *WEEKLY_JOBS, *(s.name for s in (*STAGES, *WEEKLY))))
        raise UsageError(f"There is no stage or job '{what}'. Name one of: {names}.")
    wanted = tuple(stage for stage in found if stage.wanted(config))
    if not wanted:
        raise UsageError(f"Stage '{what}' makes nothing for this shop: the config names none of what it is made from.")
    return wanted


def weekly_night(spark: SparkSession, config: Config, what: str) -> date | None:
    """The lake's last night, which a weekly job is run for where none is named; None: `what` is not weekly."""
    if what not in {word for stage in WEEKLY for word in (stage.job, stage.name)}:
        return None
    held = nights_of(spark, config.lake, tables.USER_PROFILES)
    if not held:
        raise UsageError(f"No night to run '{what}' for: the lake holds none. Run the job prepare first.")
    return held[-1]


def nights_to_run(
    spark: SparkSession, config: Config, run_date: date | None, backfill: bool = False
) -> tuple[date, ...]:
    """The nights of a run: the one named, or the calendar's bulk load and the nights after it.

    backfill: with the night every later one that the lake holds, as each stands on the one before. Raises UsageError
    where nothing names a night, and ContractError where a later night stands on them and is not run again with them.
    """
    calendar = config.calendar
    if run_date is None and calendar.bulk_until is None:
        raise UsageError("No night to run: give --run-date, or calendar.bulk_until in the config.")
    first = run_date or calendar.bulk_until
    assert first is not None
    nights = tuple(first + n * ONE_DAY for n in range(1 if run_date else calendar.nights + 1))
    held = nights_of(spark, config.lake, tables.USER_PROFILES)
    later = tuple(d for d in held if d > nights[-1])
    if calendar.bulk_until and first < calendar.bulk_until and later:
        raise ContractError(
            f"Night {first} cannot be run alone: it is part of the bulk load up to {calendar.bulk_until}. Run "
            "that again: --run-date of its last night, with --backfill."
        )
    if later and not backfill:
        raise ContractError(
            f"Night {nights[0]} cannot be run alone: night {later[0]} stands on it, and {len(later) - 1} more. "
            "Run it with --backfill: every later night is run again after it, in order."
        )
    return (*nights, *later)


def the_night(spark: SparkSession, config: Config, run_date: date, planned: Sequence[date] = ()) -> Night:
    """The night of that date: a bulk load where the calendar says so, else an ordinary one.

    planned: nights that will stand by then, beside those that the lake holds.
    """
    examples = config.training_examples
    if run_date == config.calendar.bulk_until:
        return bulk_night(run_date, examples.window_nights, examples.held_out_nights)
    held = {*nights_of(spark, config.lake, tables.USER_PROFILES), *planned}
    return ordinary_night(run_date, tuple(sorted(held)))
