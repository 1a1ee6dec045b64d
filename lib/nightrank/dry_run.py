"""What a run would do, without doing it: `nightrank run … --dry-run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from pyspark.sql import SparkSession

from nightrank.asked import stages_named, the_night
from nightrank.config import Config
from nightrank.nights import Night
from nightrank.resuming import Known, made_from, stands_already
from nightrank.spans import Span
from nightrank.stages import Read, Stage
from nightrank.storage import address


def dry_run_in_words(
    spark: SparkSession, config: Config, what: str, nights: Sequence[date], again: bool = False
) -> str:
    """A line a stage and night: whether it would run or stands, what it reads and what it writes. Writes nothing."""
    lines: list[str] = []
    for number, run_date in enumerate(nights):
        night = the_night(spark, config, run_date, nights[:number])
        lines += [f"night {run_date}, {'bulk load' if night.bulk else 'arrivals of that date'}:"]
        lines += _night_in_words(spark, config, stages_named(what, config), night, again or number > 0)
    return "\n".join(lines)


def _night_in_words(
    spark: SparkSession, config: Config, stages: Sequence[Stage], night: Night, all_run: bool
) -> Iterator[str]:
    known: Known = {}
    made_new: set[str] = set()
    for stage in stages:
        reads_new = any(read.table and read.table.name in made_new for read in stage.reads)
        made = made_from(spark, config, stage, night, known)
        if all_run or reads_new or not stands_already(spark, config, stage, night, made, known):
            made_new.add(stage.name)
        word = "run   " if stage.name in made_new else "stands"
        sources = ", ".join(_read_in_words(config, read, night) for read in stage.reads)
        yield f"  {word} {stage.name:<18} reads {sources}; writes {address(config.lake, stage.table)}"


def _read_in_words(config: Config, read: Read, night: Night) -> str:
    span: Span = read.nights(night, config)
    if span.first > span.last:
        return f"{read.parameter} (none)"
    return f"{read.parameter} {span.first}..{span.last}" if span.first < span.last else f"{read.parameter} {span.last}"
