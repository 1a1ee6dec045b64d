"""The keywords of an item by TF-IDF: the words of its title that few other titles have."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.steps.folding import UNIT
from nightrank.steps.text import telling_words

# Stands for the item itself among its words: as many items have it as there are items. No telling word is empty.
ITSELF = ""


def words_said(config: Config) -> Column:
    """(word, units) of each telling word of title and description: how much it counts, in millionths."""
    said = _counting("title", 1.0, config)
    weight = config.items.keyword_description_weight
    return F.concat(said, _counting("description", weight, config)) if weight else said


def weighed_words(standing: DataFrame, config: Config) -> DataFrame:
    """item_id, weighed: the words of the highest tf · ln(N / df), at most items.keywords, of long new titles.

    standing: item_id, said, kept. tf as words_said counts, df: items of tonight's catalogue that have the word, N: all
    items (Spärck Jones 1972: "A statistical interpretation of term specificity"); ties by word. An item that keeps
    last night's keywords, or has no more words than are kept, is not weighed.

    What it costs: words are counted over all items, but only the few items above are spread to a row a word. Their
    words meet the counts, as many rows as the catalogue has words, in a BroadcastHashJoin, and are grouped by item_id
    without an Exchange, as `standing` is hash-partitioned by it already.
    """
    most = config.items.keywords
    long_and_new = F.col("kept").isNull() & (F.size(_distinct_words()) > most)
    itself = F.struct(F.lit(ITSELF).alias("word"), F.lit(0).cast("long").alias("units"))
    said = standing.where(long_and_new).select("item_id", F.inline(F.array_append("said", itself)))
    counted = said.groupBy("item_id", "word").agg(F.sum("units").alias("units"))
    known = counted.join(F.broadcast(_item_counts(standing)), on="word", how="inner").groupBy("item_id")
    words = known.agg(F.collect_list(F.struct("word", "units", "items")).alias("words"), F.max("items").alias("all"))
    best = F.slice(F.array_sort(F.transform(_without_itself("words"), _scored)), 1, most)
    return words.select("item_id", F.transform(best, lambda one: one["word"]).alias("weighed"))


def keywords() -> Column:
    """The sorted keywords of an item of `standing` joined with weighed_words.

    kept, last night's, where what they are taken from is the same: tokens are in the shop's index and in stored events,
    and do not move because other items came and went.
    """
    return F.array_sort(F.coalesce("kept", "weighed", _distinct_words()))


def _counting(column: str, weight: float, config: Config) -> Column:
    words = telling_words(F.col(column), config.words, config.items.stop_words)
    units = F.lit(round(weight * UNIT)).cast("long")
    said = F.transform(words, lambda word: F.struct(word.alias("word"), units.alias("units")))
    return F.coalesce(said, F.array().cast("array<struct<word:string,units:bigint>>"))


def _distinct_words() -> Column:
    return F.array_distinct("said.word")


def _item_counts(standing: DataFrame) -> DataFrame:
    """word, items: how many items have the word; all do for ITSELF."""
    each = F.array_append(_distinct_words(), F.lit(ITSELF))
    return standing.select(F.explode(each).alias("word")).groupBy("word").agg(F.count("*").alias("items"))


def _without_itself(words: str) -> Column:
    return F.filter(words, lambda one: one["word"] != ITSELF)


def _scored(one: Column) -> Column:
    # Negative, so that the highest comes first and equal ones in the order of their words.
    score = -(one["units"] / F.lit(UNIT)) * F.ln(F.col("all") / one["items"])
    return F.struct(score.alias("score"), one["word"].alias("word"))
