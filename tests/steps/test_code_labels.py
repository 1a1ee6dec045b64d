"""Labels of codes: the words by which a code's items differ from all others."""

from __future__ import annotations

from math import log, sqrt

from pyspark.sql import SparkSession
from pyspark.testing import assertDataFrameEqual

from nightrank.steps.code_labels import LEAST, code_labels


def tokens(level_0: int, *words: str, times: int, version: str = "c1") -> list[tuple[list[str]]]:
    """So many items with that code of level 0, code 0 of level 1, and these keywords."""
    own = [f"code:{version}:0:{level_0}", f"code:{version}:1:0", "brand:acme", *(f"keyword:{word}" for word in words)]
    return [(own,)] * times


def score(both: int, code: int, word: int, all_items: int) -> float:
    cells = [both, code - both, word - both, all_items - code - word + both]
    a, b, c, d = (cell + 0.5 for cell in cells)
    return log(a * d / (b * c)) / sqrt(1 / a + 1 / b + 1 / c + 1 / d)


def test_a_label_has_the_words_that_tell_a_codes_items_from_others(spark: SparkSession) -> None:
    rows = [
        *tokens(0, "espresso", "machine", "steel", times=11),
        *tokens(0, "grinder", "machine", "steel", "coffee", times=5),
        *tokens(0, "rare", times=1),
        *tokens(1, "jacket", "steel", times=13),
        *tokens(1, "machine", times=4),
        # An old version's codes are counted apart, or `jacket` would be no word of code 1 alone.
        *tokens(0, "jacket", times=34, version="c0"),
    ]
    found = code_labels(spark.createDataFrame(rows, "tokens array<string>"))
    # `steel` is everywhere; five items with `grinder`, or one with `rare`, may be chance.
    assert score(16, 17, 20, 34) > score(11, 17, 11, 34) > LEAST > score(5, 17, 5, 34) > score(1, 17, 1, 34)
    assert score(13, 17, 13, 34) > LEAST > score(16, 17, 29, 34)
    expected = [
        ("code:c1:0:0", 17, 1.0, "machine, espresso"),
        ("code:c1:0:1", 17, 1.0, "jacket"),
        ("code:c1:1:0", 34, 1.0, ""),
        ("code:c0:0:0", 34, 1.0, ""),
        ("code:c0:1:0", 34, 1.0, ""),
    ]
    columns = "token string, items long, fair_shares double, label string"
    assertDataFrameEqual(found, spark.createDataFrame(expected, columns))


def test_no_more_than_three_words_equal_ones_by_the_alphabet_and_shares_by_level(spark: SparkSession) -> None:
    rows = [*tokens(0, "d", "c", "b", "a", times=30), *tokens(1, times=10), *tokens(2, times=20)]
    found = {row.token: row for row in code_labels(spark.createDataFrame(rows, "tokens array<string>")).collect()}
    assert found["code:c1:0:0"].label == "a, b, c"
    assert [found[f"code:c1:0:{code}"].fair_shares for code in range(3)] == [1.5, 0.5, 1.0]
    assert found["code:c1:1:0"].fair_shares == 1.0
