"""Raw logs to events, searches and items: a convention is a module that reads each, and the lines of those that are
lines of a file, listed here."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date, timedelta
from types import ModuleType

from pyspark.sql import DataFrame, SparkSession

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.sources import canonical, ga4, metarank, orders, snowplow, ubi
from nightrank.sources.broken import breaks, broken_among, file_named
from nightrank.sources.enrichments import read_enrichments
from nightrank.sources.people import read_people
from nightrank.sources.reading import Arrivals, Spoilt, files_of, spoilt_files, without_scheme
from nightrank.tables import RAW_EVENT_LINES, RAW_ITEM_LINES, RAW_SEARCH_LINES

CONVENTIONS: dict[str, ModuleType] = {
    "canonical": canonical, "ga4": ga4, "metarank": metarank, "orders": orders, "snowplow": snowplow, "ubi": ubi,
}  # fmt: skip
# Inputs of one shape whatever the convention.
OWN_INPUTS = {"people": read_people, "enrichments": read_enrichments}
# What the lines of a log's files are counted as; a convention whose rows are no lines of their own does not read them.
LINES = {"event_lines": RAW_EVENT_LINES, "search_lines": RAW_SEARCH_LINES, "item_lines": RAW_ITEM_LINES}
# Logs of which a file that cannot be read is left out, to be told of in the manifest: what it held is evidence that is
# missing. Without a part of its catalogue a shop would lose items and with them their events; without a file of
# `people` an opt-out: these are refused. So is a torn one of `enrichments`, without which texts would be plain again.
LEFT_OUT, REFUSED = ("events", "searches"), ("items", "people", "enrichments")


def read_raw(spark: SparkSession, kind: str, config: Config, first: date, last: date, tonight: date) -> DataFrame:
    """The raw rows of `kind` that arrived in first..last: RAW_EVENTS, RAW_SEARCHES, RAW_ITEMS, RAW_PEOPLE or
    RAW_ENRICHMENTS exactly.

    `event_lines`, `search_lines` and `item_lines` are LINES: those that the rows came from, and for each file of
    source.events and of source.searches that cannot be read one without a number of rows. A log that holds events and
    searches is one of events there.

    Rows of a path with `{run_date}` arrive with it; those of a static log on the date of their own ts, or `tonight`
    where that cannot be read; a static catalogue arrives whole. Nothing is dropped but what is no row of the kind.
    Raises InputMissingError (no path for tonight) and ContractError (no rows, missing columns, wrong types).
    """
    asked = Arrivals(first, last, tonight)
    if kind in OWN_INPUTS:
        return OWN_INPUTS[kind](spark, config, asked)
    read = getattr(CONVENTIONS[config.source.convention], f"read_{kind}", None)
    if read is None:
        return spark.createDataFrame([], LINES[kind])
    spoilt = {name: _spoilt(spark, config, name, asked) for name in _left_out_of(kind, config)}
    left_out = frozenset(path for paths in spoilt.values() for path in paths)
    frame: DataFrame = read(spark, config, replace(asked, left_out=left_out))
    told = spoilt.get({"event_lines": "events", "search_lines": "searches"}.get(kind, ""), {})
    unread = [(path, night) for path, night in sorted(told.items()) if first <= night <= last]
    if not unread:
        return frame
    unread_files = spark.createDataFrame(unread, "source_file string, arrived date")
    return frame.unionByName(unread_files, allowMissingColumns=True)


def listing(spark: SparkSession, config: Config, first: date, last: date) -> str:
    """A hash of path, size and time of every source file that those nights read: another one for a log delivered anew.

    A convention whose nights also read files of days before them says of how many: looks_back(config).
    """
    since = _read_since(config, first)
    templates = (_template(config, name) for name in (*LEFT_OUT, *REFUSED))
    files = sorted({file for template in templates if template for file in files_of(spark, template, since, last)})
    return hashlib.sha256(repr(files).encode()).hexdigest()[:16]


def broken_files(spark: SparkSession, config: Config, first: date, last: date, error: Exception) -> tuple[str, ...]:
    """The files of events and searches that those nights read and that break before their end, where `error` says
    that one of them could not be read; else none.

    Each file is read to its end: what the log holds is read once more, and only then. Raises ContractError where the
    file that broke is one of REFUSED.
    """
    named, since = file_named(error), _read_since(config, first)
    if named is None:
        return ()
    files = {name: _paths(spark, _template(config, name), since, last) for name in (*LEFT_OUT, *REFUSED)}
    if any(named in map(without_scheme, files[name]) for name in LEFT_OUT):
        return broken_among(spark, {path: _is_parquet(config, name) for name in LEFT_OUT for path in files[name]})
    for name in REFUSED:
        whole = [path for path in files[name] if without_scheme(path) == named]
        if whole and breaks(spark, whole[0], _is_parquet(config, name)):
            raise ContractError(
                f"File '{whole[0]}' cannot be used: expected a whole file of source.{name}, found one that breaks "
                "before its end. Nothing may be missing of this log, so no part of it is left out: deliver it again."
            )
    return ()


def _left_out_of(kind: str, config: Config) -> tuple[str, ...]:
    """The logs of LEFT_OUT that rows of the kind are made from: searches also from impressions or lists among events,
    items where there is no catalogue."""
    if kind in {"items", "item_lines"}:
        return ("events",) if config.source.items in {None, config.source.events} else ()
    return LEFT_OUT if kind in {"searches", "search_lines"} else ("events",)


def _spoilt(spark: SparkSession, config: Config, name: str, asked: Arrivals) -> Spoilt:
    """The files of a log that cannot be read, of the nights asked for and of those before them that are read too."""
    template = _template(config, name)
    # The file of a log that holds both is one of events.
    if template is None or (name != "events" and template == config.source.events):
        return {}
    wider = replace(asked, first=_read_since(config, asked.first))
    return spoilt_files(spark, template, _is_parquet(config, name), config.source.left_out_files, wider)


def _template(config: Config, name: str) -> str | None:
    template: str | None = getattr(config.source, name)
    return template


def _paths(spark: SparkSession, template: str | None, first: date, last: date) -> list[str]:
    return [path for path, *_ in files_of(spark, template, first, last)] if template else []


def _is_parquet(config: Config, name: str) -> bool:
    """Whether a log's files are Parquet: the catalogue is JSON lines but in the canonical convention."""
    return config.source.format == "parquet" and (name != "items" or config.source.convention == "canonical")


def _read_since(config: Config, first: date) -> date:
    looks_back = getattr(CONVENTIONS[config.source.convention], "looks_back", None)
    return first - timedelta(days=looks_back(config)) if looks_back else first
