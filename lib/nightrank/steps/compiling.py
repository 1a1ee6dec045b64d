"""Rows from profiles: the one function that makes tonight's rows and the rows that searches are judged with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.artefact import Ranker
from nightrank.models.row import Row, compile_rows
from nightrank.steps.catalogue import Loader, share_catalogue
from nightrank.steps.held_out import agreements_of
from nightrank.steps.persons import persons, persons_of, under_each_id
from nightrank.steps.shoppers import flat_shoppers, group_shoppers, read_shopper, without_takes

COMPILED = (
    "user_id string, facet_weights map<string, double>, item_boosts map<string, double>, interest array<tinyint>, "
    "evidence bigint, agreement double, centred array<float>, beta double"
)
BUCKET = "bucket"


def share_indexed(item_tokens: DataFrame, item_neighbours: DataFrame, config: Config) -> Callable[[str], Loader]:
    """A function from a code version to the catalogue as the shop's index has it with the tokens of that version.

    Rankers of one code version share one catalogue. item_tokens: one night, all code versions. item_neighbours: one
    snapshot.
    """

    @cache
    def of_version(code_version: str) -> Loader:
        return share_catalogue(item_tokens.where(F.col("code_version") == code_version), item_neighbours, config)

    return of_version


def compile_profiles(
    user_profiles: DataFrame,
    people: DataFrame,
    segments: DataFrame,
    catalogue: Loader,
    ranker: Ranker,
    config: Config,
    searches: DataFrame | None = None,
) -> tuple[DataFrame, DataFrame]:
    """The rows (columns COMPILED, without gates) of the shoppers in one snapshot, and those of its groups.

    people: of that night; a person has one row, under each of their ids. searches: only the rows of shoppers who made
    one of these; None: of all. catalogue: of the ranker's code version.
    """
    found = persons(user_profiles.withColumn("as_of", F.col("run_date")), people, config)
    shoppers = flat_shoppers(found, config)
    if searches is not None:
        asked = persons_of(searches.select("user_id").distinct(), people)
        shoppers = shoppers.join(asked, on="user_id", how="left_semi")
    own, groups = (compiled_rows(some, catalogue, ranker, config) for some in (shoppers, group_shoppers(segments)))
    return under_each_id(own, people), groups


def compiled_rows(shoppers: DataFrame, catalogue: Loader, ranker: Ranker, config: Config) -> DataFrame:
    """One row of weights a shopper, in columns COMPILED.

    shoppers: flat rows (shoppers.COLUMNS), one as_of date. They are scored in batches that are cut from fixed buckets
    of their id, in id order, so that a rerun gives the same bits whatever the partitions; and a task holds one batch,
    however many shoppers there are.
    """
    bucket = F.pmod(F.xxhash64("user_id"), F.lit(config.rerank_weights.buckets))
    read = shoppers if ranker.shopper_tower else without_takes(shoppers)
    return (
        read.withColumn(BUCKET, bucket)
        .repartition(BUCKET)
        .sortWithinPartitions(BUCKET, "user_id")
        .mapInPandas(_compile_batches(catalogue, ranker, config), schema=COMPILED)
    )


def _compile_batches(
    catalogue: Loader, ranker: Ranker, config: Config
) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    def compile_batches(frames: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        items = catalogue()
        decay = config.training_examples.recent_decay
        for batch in fixed_batches(frames, config.rerank_weights.batch):
            flat = list(batch.itertuples(index=False))
            shoppers = [read_shopper(items, row, decay) for row in flat]
            rows = compile_rows(items, ranker, shoppers, config.rerank_weights)
            agreed = agreements_of(items, ranker, flat, decay, config.gates.agreement_takes)
            compiled = zip(flat, agreed.tolist(), rows, strict=True)
            yield pandas.DataFrame([_as_columns(shopper, agreement, row) for shopper, agreement, row in compiled])

    return compile_batches


def fixed_batches(frames: Iterable[pandas.DataFrame], most: int) -> Iterator[pandas.DataFrame]:
    """The rows of each bucket, `most` at a time and then the rest, wherever one frame ends and the next begins.

    The frames' rows come bucket by bucket (column BUCKET).
    """
    held = pandas.DataFrame({BUCKET: []})
    for frame in frames:
        held = pandas.concat([held, frame], ignore_index=True) if len(held) else frame.reset_index(drop=True)
        batch_of_bucket = held.groupby(BUCKET, sort=False).cumcount() // most
        begins = np.flatnonzero((held[BUCKET].diff() != 0) | (batch_of_bucket.diff() != 0))
        for start, end in pairwise(begins.tolist()):
            yield held.iloc[start:end]
        held = held.iloc[begins[-1] :] if len(begins) else held
    if len(held):
        yield held


def _as_columns(shopper: Any, agreement: float, row: Row) -> dict[str, Any]:
    return {
        "user_id": shopper.user_id,
        "facet_weights": row.facet_weights,
        "item_boosts": row.item_boosts,
        "interest": row.interest,
        "evidence": shopper.evidence,
        "agreement": agreement,
        "centred": row.centred,
        "beta": row.beta,
    }
