"""`make bench-online-retail`: the rows of one night, judged on derived searches of the five weeks after it.

The product gets what was known at the cut, as canonical Parquet, and runs a bulk load and two nights; its published
rows and tokens then score later searches with the formula. Base score: log1p of the purchase lines of the 14 days
before the cut.
Another cut (--cut) judges on searches before the real one: settings are chosen there, never on the real sessions.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import derived_retail as retail
import numpy as np
import pandas
from derived_retail import Floats, Sessions, Shelf
from figures import FOLDER, say_figures
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from retail_inputs import write_inputs

from nightrank import tables
from nightrank.asked import nights_to_run
from nightrank.config import Config, load_config
from nightrank.models.bootstrap import difference_interval, mean_interval, sums_by_user
from nightrank.models.scorer import reranked_scores, row_sums
from nightrank.nights import ONE_DAY
from nightrank.runner import run_nights
from nightrank.session import build_session
from nightrank.storage import read_table

NAME, CLASS, DRAWS, SEED = "online_retail", "category", 2000, 7
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
    rows, opened = published_rows(spark, config, cut)
    scores["rows"] = row_scores(rows, item_tokens(spark, config, cut), scores["recent_popularity"], sessions, shelf)
    found = figures(scores, sessions, shelf, retail.new_to_customer(before, sessions, shelf))
    say_figures(NAME, {"derived": "true", "cut": str(cut), **opened, **found})


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


def published_rows(
    spark: SparkSession, config: Config, cut: pandas.Timestamp
) -> tuple[dict[str, Mapping[str, object]], dict[str, float]]:
    """The night's rows by user_id, and what is worth saying of them: how many, how many with an open gate."""
    night = read_table(spark, config.lake, tables.RERANK_WEIGHTS, cut.date(), cut.date())
    found = {row["user_id"]: row.asDict() for row in night.collect()}
    opened = sum(row["alpha"].get(CLASS, 0.0) > 0 for row in found.values())
    return found, {"shoppers_with_rows": len(found), "rows_with_open_gates": opened}


def item_tokens(spark: SparkSession, config: Config, cut: pandas.Timestamp) -> dict[str, list[str]]:
    """The tokens of each item in the code version that the rows speak of."""
    night = (config.lake, cut.date(), cut.date())
    rows = read_table(spark, night[0], tables.RERANK_WEIGHTS, *night[1:])
    spoken = rows.select("code_version").distinct()
    tokens = read_table(spark, night[0], tables.ITEM_TOKENS, *night[1:])
    known = tokens.join(spoken, on="code_version", how="left_semi").select("item_id", F.col("tokens"))
    return {row["item_id"]: list(row["tokens"]) for row in known.collect()}


def row_scores(
    rows: dict[str, Mapping[str, object]], tokens: dict[str, list[str]], base: Floats, sessions: Sessions, shelf: Shelf
) -> Floats:
    """score' of each candidate: float64 [sessions, longest]. A shopper without a row has that of `anonymous`."""
    scores = base.copy()
    for at, (user, slate) in enumerate(zip(sessions.purchases["user_id"], sessions.slates, strict=True)):
        row = rows.get(user, rows[tables.ANONYMOUS])
        known = slate >= 0
        ids = [str(item) for item in shelf.item_ids[slate[known]]]
        sums = row_sums(ids, [tokens.get(i, []) for i in ids], row["facet_weights"], row["item_boosts"])
        scores[at, known] = reranked_scores(base[at, known], sums, row["alpha"][CLASS], row["bound"][CLASS])
    return scores


def figures(scores: dict[str, Floats], sessions: Sessions, shelf: Shelf, new: np.ndarray) -> dict[str, float]:
    """nDCG@10 of each method, its standard error by customer, what the rows add; `_new`: items new to the customer."""
    ndcgs = {name: retail.ndcg_of(each, sessions, shelf) for name, each in scores.items()}
    users = sessions.purchases["user_id"].to_numpy()
    found: dict[str, float] = {"sessions": len(users), "sessions_new": int(new.sum()), "customers": len(set(users))}
    for suffix, kept in (("", np.ones(len(users), dtype=bool)), ("_new", new)):
        order = np.flatnonzero(kept)[np.argsort(users[kept], kind="stable")]
        sums = {name: sums_by_user(users[order], ndcg[order]) for name, ndcg in ndcgs.items()}
        for name, (_, top, below) in sums.items():
            value, lower, upper = mean_interval(top, below, DRAWS, SEED)
            # A normal interval of 95 % is 2 x 1.96 standard errors wide.
            found |= {f"{name}{suffix}": value, f"{name}{suffix}_se": (upper - lower) / 3.92}
        for other in ("popularity", "recent_popularity", "repeats_recent"):
            bounds = difference_interval(sums["rows"][1], sums[other][1], sums["rows"][2], DRAWS, SEED)
            for part, bound in zip(("", "_lower", "_upper"), bounds, strict=True):
                found[f"rows_minus_{other}{suffix}{part}"] = bound
    return found


if __name__ == "__main__":
    main()
