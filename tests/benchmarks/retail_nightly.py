"""Online Retail night by night: a day's derived searches, ranked by the rows of the night before it."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import derived_retail as retail
import numpy as np
import pandas
from derived_retail import Floats, Sessions, Shelf
from lakes import with_lake_in
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from retail_inputs import write_inputs
from retail_judging import counted, figures, item_tokens, published_rows, row_scores

from nightrank.asked import nights_to_run
from nightrank.config import Config
from nightrank.nights import ONE_DAY
from nightrank.runner import run_nights

ROWS, REPEATS = "rows_nightly", "repeats_recent_nightly"


def nightly_figures(
    spark: SparkSession, config: Config, lines: pandas.DataFrame, sessions: Sessions, shelf: Shelf, days: int
) -> dict[str, float]:
    """What is known being brought up to date each night, over so many days from that of the first session.

    nDCG@10 of the rows over the purchase lines of the last 14 days, and of own repeats before these.
    """
    lines = lines[lines["item_id"].isin(shelf.item_ids)]  # the shelf stays that of the cut
    first = sessions.purchases["ts"].min().date()
    served = [first + timedelta(days=day) for day in range(days)]
    config = nightly_config(config, served)
    _run(spark, config, lines, shelf, served)
    kept = sessions.purchases["ts"].dt.date.isin(served).to_numpy()
    judged = part_of(sessions, kept)
    scores = {name: np.zeros(judged.slates.shape) for name in (ROWS, REPEATS)}
    new = np.zeros(len(judged.taken), dtype=bool)
    for day in served:
        at = (judged.purchases["ts"].dt.date == day).to_numpy()
        before, of_day = lines[lines["ts"] < pandas.Timestamp(day)], part_of(judged, at)
        known = retail.baseline_scores(before, of_day, shelf, pandas.Timestamp(day))
        scores[REPEATS][at] = known["repeats_recent"]
        scores[ROWS][at] = _ranked(spark, config, day - ONE_DAY, known["recent_popularity"], of_day, shelf)
        new[at] = retail.new_to_customer(before, of_day, shelf)
    told = {f"{name}_nightly": count for name, count in counted(judged, new).items()}
    return {"days_nightly": days, **told, **figures(scores, judged, shelf, new, ROWS)}


def nightly_config(config: Config, served: list[date]) -> Config:
    """The settings with a folder of their own; the nights are those before the days that are served."""
    folder = Path(config.lake.path).parent / "nightly"
    inputs = {name: f"{folder}/input/{name}.parquet" for name in ("events", "searches", "items")}
    calendar = {"bulk_until": served[0] - ONE_DAY, "nights": len(served) - 1}
    return with_lake_in(folder, config).model_copy(
        update={
            "source": config.source.model_copy(update=inputs),
            "calendar": config.calendar.model_copy(update=calendar),
        }
    )


def part_of(sessions: Sessions, kept: NDArray[np.bool_]) -> Sessions:
    """Those sessions, in their order."""
    return Sessions(sessions.purchases[kept].reset_index(drop=True), sessions.taken[kept], sessions.slates[kept])


def _run(spark: SparkSession, config: Config, lines: pandas.DataFrame, shelf: Shelf, served: list[date]) -> None:
    folder = Path(config.lake.path).parent
    shutil.rmtree(folder, ignore_errors=True)
    nights = nights_to_run(spark, config, None)
    known = lines[lines["ts"] < pandas.Timestamp(served[-1])]
    write_inputs(known, shelf, config.training_examples.window_nights + len(served), folder / "input")
    run_nights(spark, config, "nightly", nights)


def _ranked(spark: SparkSession, config: Config, night: date, base: Floats, sessions: Sessions, shelf: Shelf) -> Floats:
    rows, _ = published_rows(spark, config, night)
    return row_scores(rows, item_tokens(spark, config, night), base, sessions, shelf)
