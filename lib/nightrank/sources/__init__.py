"""Raw logs to events, searches and items: a convention is a module of three functions, listed here."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date, timedelta
from types import ModuleType

from pyspark.sql import DataFrame, SparkSession

from nightrank.config import Config
from nightrank.sources import canonical, ga4, metarank, orders, snowplow, ubi
from nightrank.sources.people import read_people
from nightrank.sources.reading import Arrivals, Spoilt, files_of, spoilt_files
from nightrank.tables import RAW_EVENT_LINES

CONVENTIONS: dict[str, ModuleType] = {
    "canonical": canonical, "ga4": ga4, "metarank": metarank, "orders": orders, "snowplow": snowplow, "ubi": ubi,
}  # fmt: skip
# What is read from source.events, of which a file that cannot be read is left out, to be told of in the manifest.
OF_EVENTS = ("events", "event_lines")


def read_raw(spark: SparkSession, kind: str, config: Config, first: date, last: date, tonight: date) -> DataFrame:
    """The raw rows of `kind` that arrived in first..last: RAW_EVENTS, RAW_SEARCHES, RAW_ITEMS or RAW_PEOPLE exactly.

    `event_lines` are RAW_EVENT_LINES: the lines that the events came from, and a row without event_rows for each file
    of theirs that cannot be read. Of the other kinds such a file is refused.

    Rows of a path with `{run_date}` arrive with it; those of a static log on the date of their own ts, or `tonight`
    where that cannot be read; a static catalogue arrives whole. Nothing is dropped but what is no row of the kind.
    Raises InputMissingError (no path for tonight) and ContractError (no rows, missing columns, wrong types).
    """
    asked, source = Arrivals(first, last, tonight), config.source
    if kind == "people":
        return read_people(spark, config, asked)
    spoilt: Spoilt = {}
    if kind in OF_EVENTS:
        spoilt = spoilt_files(spark, source.events, source.format == "parquet", source.left_out_files, asked)
    read = getattr(CONVENTIONS[source.convention], f"read_{kind}")
    frame: DataFrame = read(spark, config, replace(asked, left_out=frozenset(spoilt)))
    if kind == "event_lines" and spoilt:
        unread = [(path, night, None) for path, night in sorted(spoilt.items())]
        return frame.unionByName(spark.createDataFrame(unread, RAW_EVENT_LINES))
    return frame


def listing(spark: SparkSession, config: Config, first: date, last: date) -> str:
    """A hash of path, size and time of every source file that those nights read: another one for a log delivered anew.

    A convention whose nights also read files of days before them says of how many: looks_back(config).
    """
    looks_back = getattr(CONVENTIONS[config.source.convention], "looks_back", None)
    since = first - timedelta(days=looks_back(config)) if looks_back else first
    templates = (config.source.events, config.source.searches, config.source.items, config.source.people)
    files = sorted({file for template in templates if template for file in files_of(spark, template, since, last)})
    return hashlib.sha256(repr(files).encode()).hexdigest()[:16]
