"""`make bench-online-retail`: the rows of one night, judged on derived searches of the five weeks after it.

The product gets what was known at the cut, as canonical Parquet, and runs a bulk load and two nights; its published
rows and tokens then score later searches with the formula. Base score: log1p of the purchase lines of the 14 days
before the cut.
NIGHTLY=n: the first n days of them once more, ranked by rows that each night brings up to date.
Another cut (--cut) judges on searches before the real one: settings are chosen there, never on the real sessions.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from pathlib import Path

import derived_retail as retail
import pandas
from derived_retail import Shelf
from figures import FOLDER, say_figures
from pyspark.sql import SparkSession
from retail_inputs import write_inputs
from retail_judging import counted, figures, item_tokens, published_rows, row_scores
from retail_nightly import nightly_figures

from nightrank.asked import nights_to_run
from nightrank.config import Config, load_config
from nightrank.nights import ONE_DAY
from nightrank.runner import run_nights
from nightrank.session import build_session

NAME = "online_retail"
CONFIG = Path(__file__).with_name("online_retail.yaml")
WEEKS_AFTER = pandas.Timedelta(weeks=5, days=3)


def main() -> None:
    """Prints the figures and keeps them in build/bench/online_retail.json."""
    arguments = _arguments()
    if not retail.PARQUET.exists():
        sys.exit(f"{retail.PARQUET} is not there: put the data beside the project, as its README says.")
    _log_plainly()
    cut, lines = arguments.cut, retail.known_lines()
    before = lines[lines["ts"] <= cut]
    until = cut + WEEKS_AFTER if cut >= retail.CUT else min(cut + WEEKS_AFTER, retail.CUT)
    after = lines[(lines["ts"] > cut) & (lines["ts"] <= until)]
    shelf, config = retail.shelf_before(before), config_at(arguments.config, cut)
    spark = build_session(config.spark)
    if not arguments.judge_only:
        run_product(spark, config, before, shelf)
    sessions = retail.judged_sessions(before, after, shelf)
    scores = retail.baseline_scores(before, sessions, shelf, cut)
    rows, opened = published_rows(spark, config, cut.date())
    tokens = item_tokens(spark, config, cut.date())
    scores["rows"] = row_scores(rows, tokens, scores["recent_popularity"], sessions, shelf)
    new = retail.new_to_customer(before, sessions, shelf)
    found = counted(sessions, new) | opened | figures(scores, sessions, shelf, new)
    if days := int(os.environ.get("NIGHTLY", "0")):
        sys.stderr.write(f"frozen: {found}\n")  # a night that fails later loses nothing
        found |= nightly_figures(spark, config, lines, sessions, shelf, days)
    say_figures(NAME, {"derived": "true", "cut": str(cut), **found})


def run_product(spark: SparkSession, config: Config, before: pandas.DataFrame, shelf: Shelf) -> None:
    """Writes the inputs and runs the calendar's nights into a new lake."""
    shutil.rmtree(FOLDER / NAME, ignore_errors=True)
    nights = nights_to_run(spark, config, None)
    # The bulk load's training window reaches back from its own night.
    write_inputs(before, shelf, config.training_examples.window_nights + len(nights), FOLDER / NAME / "input")
    run_nights(spark, config, "nightly", nights)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cut", type=pandas.Timestamp, default=retail.CUT, help="what is later is not known")
    parser.add_argument("--config", type=Path, default=CONFIG, help="an overlay of conf/base.yaml")
    parser.add_argument("--judge-only", action="store_true", help="judge the rows that stand in the lake")
    return parser.parse_args()


def config_at(path: Path, cut: pandas.Timestamp) -> Config:
    """The benchmark's settings, with the last night of the calendar on the day of the cut."""
    config = load_config(path)
    bulk_until = cut.date() - config.calendar.nights * ONE_DAY
    return config.model_copy(update={"calendar": config.calendar.model_copy(update={"bulk_until": bulk_until})})


def _log_plainly() -> None:
    """One line a stage on standard error; other loggers keep silent."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.getLogger("nightrank").addHandler(handler)
    logging.getLogger("nightrank").setLevel(logging.INFO)


if __name__ == "__main__":
    main()
