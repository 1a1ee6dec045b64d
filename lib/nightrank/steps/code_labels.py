"""What a person reads of a code: the words by which its items differ from all others.

For each code and keyword the log of the odds ratio, divided by its standard error (Woolf 1955; Haldane's halves keep
empty cells finite): how much likelier an item of the code has the word than another item, and how sure that is. So
neither words that every item has come first, nor those that one item has by chance.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

CODE, WORD = "code:", "keyword:"
WORDS = 3
# Standard errors: of words that say nothing about a code, one in forty is as far above 0.
LEAST = 2.0


def code_labels(item_tokens: DataFrame) -> DataFrame:
    """token, items, fair_shares, label of each code that an item has.

    items: how many have it. fair_shares: the same, where 1.0 is an equal share among the level's codes in use.
    label: up to three words, the most telling first; '' where none tells. From words of items alone.
    """
    codes = item_tokens.select(F.explode(_tokens_of(CODE)).alias("token"), _tokens_of(WORD).alias("words"))
    held = _held(codes.select(_level(), "token"))
    words = codes.select(_level(), "token", F.explode("words").alias("word"))
    labelled = held.join(_labels(held, words), on="token", how="left")
    shares = F.col("items") / F.col("level_items") * F.col("level_codes")
    return labelled.select("token", "items", shares.alias("fair_shares"), F.coalesce("label", F.lit("")).alias("label"))


def _tokens_of(kind: str) -> Column:
    return F.array_distinct(F.filter("tokens", lambda token: token.startswith(kind)))


def _level() -> Column:
    """`code:<version>:<level>`: of each an item has one code."""
    return F.substring_index("token", ":", 3).alias("level")


def _held(codes: DataFrame) -> DataFrame:
    """level, token, items of the token, items and codes of its level."""
    level = _whole("level")
    counted = codes.groupBy("level", "token").agg(F.count("*").alias("items"))
    return counted.select(
        "*", F.sum("items").over(level).alias("level_items"), F.count("*").over(level).alias("level_codes")
    )


def _labels(held: DataFrame, words: DataFrame) -> DataFrame:
    """token, label of the codes that have a telling word."""
    both = words.groupBy("level", "token", "word").agg(F.count("*").alias("both"))
    counted = both.withColumn("word_items", F.sum("both").over(_whole("level", "word")))
    scored = counted.join(held.drop("level"), on="token", how="inner").withColumn("score", _score())
    best = Window.partitionBy("token").orderBy(F.col("score").desc(), "word")
    ranked = scored.where(F.col("score") >= LEAST).withColumn("rank", F.row_number().over(best))
    in_order = F.array_sort(F.collect_list(F.struct("rank", F.expr(f"substring(word, {len(WORD) + 1})").alias("word"))))
    told = F.array_join(F.transform(in_order, lambda one: one["word"]), ", ")
    return ranked.where(F.col("rank") <= WORDS).groupBy("token").agg(told.alias("label"))


def _score() -> Column:
    """The log odds ratio of code and word over its standard error."""
    with_both = F.col("both") + 0.5
    code_only = F.col("items") - F.col("both") + 0.5
    word_only = F.col("word_items") - F.col("both") + 0.5
    neither = F.col("level_items") - F.col("items") - F.col("word_items") + F.col("both") + 0.5
    log_odds = F.ln(with_both * neither / (code_only * word_only))
    return log_odds / F.sqrt(1 / with_both + 1 / code_only + 1 / word_only + 1 / neither)


def _whole(*keys: str) -> WindowSpec:
    return Window.partitionBy(*keys).rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
