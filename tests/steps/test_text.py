"""The normaliser that items and queries share."""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from nightrank.steps.text import head_noun, keywords, levels, normalise_text


def test_text(spark: SparkSession) -> None:
    titles = [
        ("  Women’s\tRED-Shoes,   size 38!  ",),
        ("ＦＵＬＬ　width ｶﾞ",),
        ("Crème brûlée ÄÖÜ",),
        ("SET OF 3 RED MUGS, mugs IN BLACK",),
        ("???",),
        (None,),
    ]
    frame = spark.createDataFrame(titles, "title string")
    title = F.col("title")
    got = frame.select(
        normalise_text(title).alias("text"),
        keywords(title, 2, ("red", "set")).alias("words"),
        head_noun(title).alias("head"),
    )
    wanted = [
        ("womens red shoes size 38", ["womens", "shoes"], "size"),
        ("full width ｶﾞ", ["full", "width"], "width"),
        ("crème brûlée äöü", ["crème", "brûlée"], "äöü"),
        ("set of 3 red mugs mugs in black", ["mugs", "black"], "mugs"),
        ("", [], None),
        (None, None, None),
    ]
    assertDataFrameEqual(got, spark.createDataFrame(wanted, got.schema))


def test_levels_of_a_category(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("Electronics > Head-Phones >",), (None,)], "path string")
    got = frame.select(levels(F.col("path")).alias("levels"))
    assertDataFrameEqual(got, spark.createDataFrame([(["electronics", "head phones"],), (None,)], got.schema))
