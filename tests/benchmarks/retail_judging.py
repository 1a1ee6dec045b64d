"""Online Retail's derived searches, ranked by the rows that a night published, and what each method is worth."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import derived_retail as retail
import numpy as np
from derived_retail import Floats, Sessions, Shelf
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from nightrank import tables
from nightrank.config import Config
from nightrank.models.bootstrap import difference_interval, mean_interval, sums_by_user
from nightrank.models.scorer import reranked_scores, row_sums
from nightrank.storage import read_table

CLASS, DRAWS, SEED = "category", 2000, 7


def published_rows(
    spark: SparkSession, config: Config, night: date
) -> tuple[dict[str, Mapping[str, object]], dict[str, float]]:
    """The night's rows by user_id, and what is worth saying of them: how many, how many with an open gate."""
    rows = read_table(spark, config.lake, tables.RERANK_WEIGHTS, night, night)
    found = {row["user_id"]: row.asDict() for row in rows.collect()}
    opened = sum(row["alpha"].get(CLASS, 0.0) > 0 for row in found.values())
    return found, {"shoppers_with_rows": len(found), "rows_with_open_gates": opened}


def item_tokens(spark: SparkSession, config: Config, night: date) -> dict[str, list[str]]:
    """The tokens of each item in the code version that the night's rows speak of."""
    spoken = read_table(spark, config.lake, tables.RERANK_WEIGHTS, night, night).select("code_version").distinct()
    tokens = read_table(spark, config.lake, tables.ITEM_TOKENS, night, night)
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


def figures(
    scores: Mapping[str, Floats], sessions: Sessions, shelf: Shelf, new: NDArray[np.bool_], rows: str = "rows"
) -> dict[str, float]:
    """nDCG@10 of each method, its standard error by customer, what `rows`, one of them, adds to each of the others.

    `_new`: of the sessions whose item is new to the customer.
    """
    ndcgs = {name: retail.ndcg_of(each, sessions, shelf) for name, each in scores.items()}
    users, found = sessions.purchases["user_id"].to_numpy(), {}
    for suffix, kept in (("", np.ones(len(users), dtype=bool)), ("_new", new)):
        order = np.flatnonzero(kept)[np.argsort(users[kept], kind="stable")]
        sums = {name: sums_by_user(users[order], ndcg[order]) for name, ndcg in ndcgs.items()}
        for name, (_, top, below) in sums.items():
            value, lower, upper = mean_interval(top, below, DRAWS, SEED)
            # A normal interval of 95 % is 2 x 1.96 standard errors wide.
            found |= {f"{name}{suffix}": value, f"{name}{suffix}_se": (upper - lower) / 3.92}
        for other in sorted(set(scores) - {rows, "random"}):
            bounds = difference_interval(sums[rows][1], sums[other][1], sums[rows][2], DRAWS, SEED)
            for part, bound in zip(("", "_lower", "_upper"), bounds, strict=True):
                found[f"{rows}_minus_{other}{suffix}{part}"] = bound
    return found


def counted(sessions: Sessions, new: NDArray[np.bool_]) -> dict[str, int]:
    """How many sessions are judged, how many of items new to the customer, and of how many customers."""
    customers = sessions.purchases["user_id"].nunique()
    return {"sessions": len(new), "sessions_new": int(new.sum()), "customers": int(customers)}
