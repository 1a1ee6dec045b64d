"""How dear an item is beside the others of its category: what a price band, which knows no category, cannot say."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from nightrank.steps.folding import UNIT

LOW, MIDDLE, HIGH = "low", "middle", "high"
# So many standard deviations about the mean hold the middle third of a normal distribution.
_MIDDLE_THIRD = 0.4307


def category_prices() -> tuple[Column, Column, Column]:
    """priced, mean_price, price_spread of a group: how many have a price, mean and standard deviation of log2(price).

    Exact in any order: logarithms in millionths, they and their squares summed as decimals without a fraction.
    """
    millionths = F.rint(F.log2("price") * UNIT)
    first = F.sum(millionths.cast("decimal(10,0)")).cast("double")
    second = F.sum(millionths.cast("decimal(10,0)") * millionths.cast("decimal(10,0)")).cast("double")
    count = F.count(millionths)
    mean = first / count
    spread = F.sqrt(F.greatest(second / count - mean * mean, F.lit(0.0)))
    return count.alias("priced"), (mean / UNIT).alias("mean_price"), (spread / UNIT).alias("price_spread")


def price_tier(least: int) -> Column:
    """low, middle or high: about a third each of a category whose log prices are normal; of price and category_prices.

    null for an item without a price or a category (`shelf`, a text), and where fewer than `least` of the category have
    a price or all cost the same.
    """
    away = (F.log2("price") - F.col("mean_price")) / F.col("price_spread")
    tier = F.when(away < -_MIDDLE_THIRD, LOW).when(away > _MIDDLE_THIRD, HIGH).when(away.isNotNull(), MIDDLE)
    return F.when((F.col("shelf") != "") & (F.col("priced") >= least) & (F.col("price_spread") > 0), tier)
