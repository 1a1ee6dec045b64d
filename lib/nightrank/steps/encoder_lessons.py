"""What an encoder learns from and is judged on: texts by number, and the takes of searches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.retrieval import Flags, Takes
from nightrank.nights import Night
from nightrank.steps.arrays import Arrays, collect_arrays
from nightrank.steps.entries import any_gain

TRAIN, VALID, JUDGED = "train", "valid", "judged"


@dataclass(frozen=True)
class SearchTakes:
    """Texts by number, and who took what.

    unseen [items]: whether an item is kept from training. examples: a frame (query_index, item_index array, its taken
    item first, example_order, query_id), a row a take that training sees. valid, judged: every take of later searches.
    """

    query_texts: tuple[str, ...]
    item_texts: tuple[str, ...]
    unseen: Flags
    examples: DataFrame
    valid: Takes
    judged: Takes


def search_takes(searches: DataFrame, items: DataFrame, night: Night, config: Config) -> SearchTakes:
    """The takes of the window's searches that have words; nothing of sponsored slots.

    Items are texts: two with one text are one. Of a catalogue larger than max_items a sample is kept, and what was
    taken of it.
    """
    settings = config.encoder_runs
    catalogue = _numbered_items(items, config)
    slates = _slates(searches, items, catalogue, night, config).persist()
    queries = _numbered_queries(slates)
    known = collect_arrays(
        catalogue.select("item_index", "text", "unseen"), settings.max_items, "item texts", order=["item_index"]
    )
    asked = collect_arrays(queries, settings.max_examples, "queries", _TOO_MANY, ["query_index"])
    slates = slates.join(queries, on="normalised_query", how="inner")
    later = _later(slates, config)
    return SearchTakes(
        tuple(map(str, asked["normalised_query"])),
        tuple(map(str, known["text"])),
        known["unseen"].astype(bool),
        _examples(slates.where(F.col("fold") == TRAIN), settings.hard_negatives),
        _takes(later, VALID),
        _takes(later, JUDGED),
    )


_TOO_MANY = "encoder_runs.max_examples, or lower encoder_runs.share_of_searches,"


def _numbered_items(items: DataFrame, config: Config) -> DataFrame:
    """content_hash, text, item_index, unseen: texts in order of their hash's hash, at most max_items of them."""
    by_hash = Window.partitionBy().orderBy(F.xxhash64("content_hash"), "content_hash")
    in_order = by_hash.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    texts = items.groupBy("content_hash").agg(F.min("text").alias("text"))
    numbered = texts.withColumn("item_index", F.row_number().over(in_order) - 1)
    unseen = _share(F.xxhash64(F.lit("unseen"), "content_hash")) < config.encoder_runs.unseen_share
    return numbered.where(F.col("item_index") < config.encoder_runs.max_items).withColumn("unseen", unseen)


def _slates(searches: DataFrame, items: DataFrame, catalogue: DataFrame, night: Night, config: Config) -> DataFrame:
    """fold, query_id, normalised_query, shown (array of position, item_index, gain, unseen) of searches with a take."""
    settings = config.encoder_runs
    sampled = _share(F.xxhash64(F.lit("encoder"), "query_id")) < settings.share_of_searches
    asked = searches.where((F.trim("normalised_query") != "") & ~F.col("derived") & any_gain() & sampled)
    numbers = (
        items.select("item_id", "content_hash")
        .distinct()
        .join(catalogue.select("content_hash", "item_index", "unseen"), on="content_hash", how="inner")
    )
    shown = asked.select("run_date", "query_id", "normalised_query", F.inline("slate")).where(
        ~F.coalesce("sponsored", F.lit(False))
    )
    one = F.struct("position", "item_index", "gain", "unseen")
    return (
        shown.join(numbers, on="item_id", how="inner")
        .groupBy("run_date", "query_id", "normalised_query")
        .agg(F.sort_array(F.collect_list(one)).alias("shown"))
        .where(F.exists("shown", lambda shown: shown["gain"] > 0))
        .withColumn("fold", _fold(night, settings.judged_nights))
    )


def _fold(night: Night, judged_nights: int) -> Column:
    valid = F.lit(night.run_date - timedelta(days=judged_nights))
    late = F.when(F.col("run_date") > valid, F.lit(JUDGED))
    return late.when(F.col("run_date") == valid, F.lit(VALID)).otherwise(F.lit(TRAIN))


def _numbered_queries(slates: DataFrame) -> DataFrame:
    by_text = Window.partitionBy().orderBy("normalised_query")
    in_order = by_text.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    distinct = slates.select("normalised_query").distinct()
    return distinct.withColumn("query_index", F.row_number().over(in_order) - 1)


def _examples(slates: DataFrame, hard_negatives: int) -> DataFrame:
    """A row a taken item that training sees, then items that were looked at and not taken: those shown above it.

    Of many the ones with the lowest hashes; -1 where there are fewer than hard_negatives.
    """
    takes = slates.withColumn("taken", F.explode(F.filter("shown", lambda one: (one["gain"] > 0) & ~one["unseen"])))
    wanted = F.transform(F.filter("shown", lambda one: one["gain"] > 0), lambda one: one["item_index"])

    def looked_at(one: Column) -> Column:
        above = (one["position"] < F.col("taken.position")) & (one["gain"] == 0) & ~one["unseen"]
        return above & ~F.array_contains(wanted, one["item_index"])

    def by_hash(one: Column) -> Column:
        return F.struct(F.xxhash64("query_id", one["item_index"]).alias("hash"), one["item_index"].alias("item_index"))

    hard = F.array_sort(F.array_distinct(F.transform(F.filter("shown", looked_at), by_hash)))
    indexes = F.transform(F.slice(hard, 1, hard_negatives), lambda one: one["item_index"])
    padded = F.concat(F.array("taken.item_index"), indexes, F.array_repeat(F.lit(-1), hard_negatives))
    return takes.select(
        "query_id",
        "query_index",
        F.slice(padded, 1, 1 + hard_negatives).alias("item_index"),
        F.xxhash64("query_id", "taken.item_index").alias("example_order"),
    )


def _later(slates: DataFrame, config: Config) -> Arrays:
    takes = slates.where(F.col("fold") != TRAIN).withColumn("taken", F.explode("shown")).where("taken.gain > 0")
    best = takes.groupBy("fold", "query_id", "query_index", "taken.item_index").agg(F.max("taken.gain").alias("gain"))
    most, order = config.encoder_runs.max_examples, ["fold", "query_id", "item_index"]
    return collect_arrays(best, most, "takes of later searches", _TOO_MANY, order)


def _takes(later: Arrays, fold: str) -> Takes:
    mine = np.flatnonzero(later["fold"] == fold)
    _, search = np.unique(later["query_id"][mine], return_inverse=True)
    query, item = (later[name][mine].astype(np.int64) for name in ("query_index", "item_index"))
    return Takes(search.astype(np.int64), query, item, later["gain"][mine].astype(np.float64))


def _share(hashed: Column) -> Column:
    """A hash as a number evenly spread over [0, 1), in millionths."""
    return F.pmod(hashed, F.lit(1_000_000)) / F.lit(1_000_000)
