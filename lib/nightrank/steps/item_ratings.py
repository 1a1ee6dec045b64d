"""Ratings that few gave, drawn towards what is usual in their category."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from nightrank.steps.folding import UNIT

# No scale goes further, and no product has more ratings: within these the sums below are exact.
GREATEST_RATING, MOST_RATINGS = 1e3, 10**9


def category_rating() -> Column:
    """category_rating of a group: the mean of all ratings given to its items.

    Exact in any order: means in millionths, times counts, summed as decimals without a fraction (longs would be too
    short for counts that are nonsense).
    """
    count = ratings_given()
    rating = F.rint(F.col("rating_mean") * UNIT).cast("decimal(10,0)")
    millionths = F.when(count.isNotNull(), rating * count.cast("decimal(10,0)"))
    mean = F.sum(millionths).cast("double") / F.lit(UNIT) / F.sum(count)
    return mean.alias("category_rating")


def shrunk_rating(prior_count: float) -> Column:
    """(C·m + n·r) / (C + n), null without a rating: m for the first ratings, r for very many.

    r: the item's mean rating; n: how many gave it; m: its category's mean, the whole path being the category; C:
    prior_count, how many ratings m is worth. The Bayes estimate of a mean after C earlier ratings of m, known as the
    weighted rating of IMDb's lists.
    """
    count = ratings_given()
    return (prior_count * F.col("category_rating") + count * F.col("rating_mean")) / (prior_count + count)


def ratings_given() -> Column:
    """How many ratings rating_mean stands for, one where the shop does not say; null where there is none."""
    count = F.least(F.coalesce("rating_count", F.lit(1)), F.lit(MOST_RATINGS))
    return F.when((F.abs("rating_mean") <= GREATEST_RATING) & (count > 0), count)
