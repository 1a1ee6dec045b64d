"""Files of raw logs that break before their end: found when a stage has failed on one, and left out from then on."""

from __future__ import annotations

import logging
from collections.abc import Collection

from pyspark.sql import SparkSession

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.sources import broken_files
from nightrank.stages import Stage

log = logging.getLogger("nightrank")


def leaving_out(config: Config, files: Collection[str]) -> Config:
    """The config with these files among source.left_out_files; the manifest tells of them."""
    if not files:
        return config
    named = (*config.source.left_out_files, *sorted(files))
    return config.model_copy(update={"source": config.source.model_copy(update={"left_out_files": named})})


def broken_logs(spark: SparkSession, config: Config, stage: Stage, night: Night, error: Exception) -> frozenset[str]:
    """The files of events and searches that the stage reads and that break before their end; none where `error`, which
    ended the stage, has another reason.

    All files of those nights are looked through at once, so that a stage is begun again once and not for each of them.
    Raises ContractError where nothing may be left out of the log that broke: see sources.
    """
    spans = [read.nights(night, config) for read in stage.reads if read.table is None]
    nights = [day for span in spans if span.first <= span.last for day in (span.first, span.last)]
    if not nights:
        return frozenset()
    found = broken_files(spark, config, min(nights), max(nights), error)
    if found:
        log.warning("stage=%s night=%s broken_files=%d first=%s", stage.name, night.run_date, len(found), found[0])
    return frozenset(found)
