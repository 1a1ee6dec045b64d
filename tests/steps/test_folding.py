"""The exact fold: rules by hand, and incremental == rebuild to the bit."""

from __future__ import annotations

from datetime import date, datetime

from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from nightrank.steps.folding import amount_on_arrival, decayed, fold

HALF_LIFE, FORGET = 10.0, 20
D = 0.5 ** (1 / HALF_LIFE)
STATE = "user string, token string, value double, touched date"
AMOUNT = "user string, token string, run_date date, amount long"
KEYS = ("user", "token")


def jan(day):
    return date(2026, 1, day)


def folded(spark, states, amounts, as_of):
    previous = states if hasattr(states, "columns") else spark.createDataFrame(states, STATE)
    new = amounts if hasattr(amounts, "columns") else spark.createDataFrame(amounts, AMOUNT)
    return fold(previous, new, as_of, KEYS, HALF_LIFE, FORGET)


def test_each_rule_by_hand(spark):
    states = [
        ("u", "touched", 2.0, jan(1)),
        ("u", "untouched", 0.1 + 0.2, jan(3)),
        ("u", "forgotten and touched", 9.0, jan(1)),
        ("u", "forgotten", 9.0, jan(9)),
        ("u", "at the limit", 9.0, jan(10)),
    ]
    amounts = [
        ("u", "touched", jan(4), 300_000),
        ("u", "touched", jan(4), 200_000),
        ("u", "touched", jan(14), 1_000_000),
        ("u", "forgotten and touched", jan(22), 500_000),
        ("u", "new", jan(30), 1),
        ("u", "of the next night", jan(31), 7),
        ("u", "untouched", jan(31), 7),
    ]
    expected = [
        (jan(23), "u", "touched", (2.0 * D**3 + 0.5) * D**10 + 1.0, jan(14)),
        (jan(23), "u", "untouched", 0.1 + 0.2, jan(3)),
        (jan(23), "u", "forgotten and touched", 0.5, jan(22)),
        (jan(23), "u", "forgotten", 9.0, jan(9)),
        (jan(23), "u", "at the limit", 9.0, jan(10)),
        (jan(30), "u", "touched", (2.0 * D**3 + 0.5) * D**10 + 1.0, jan(14)),
        (jan(30), "u", "forgotten and touched", 0.5, jan(22)),
        (jan(30), "u", "at the limit", 9.0, jan(10)),
        (jan(30), "u", "new", 1e-6, jan(30)),
    ]
    schema = "as_of date, user string, token string, value double, touched date"
    result = folded(spark, states, amounts, (jan(23), jan(30)))
    assertDataFrameEqual(result, spark.createDataFrame(expected, schema), rtol=0, atol=0)


def test_what_is_worth_too_little_is_forgotten_the_same_way_later(spark):
    previous = spark.createDataFrame([("u", "gone", 0.21, jan(1)), ("u", "just there", 0.22, jan(1))], STATE)
    amounts = spark.createDataFrame([("u", t, jan(12), 1_000_000) for t in ("gone", "just there")], AMOUNT)
    # Half after 10 nights: 0.105 and 0.11; after 11: 0.098 and 0.103.
    folded = fold(previous, amounts, (jan(11), jan(12)), KEYS, HALF_LIFE, FORGET, forget_below=0.1)
    expected = [
        (jan(11), "u", "gone", 0.21, jan(1)),
        (jan(11), "u", "just there", 0.22, jan(1)),
        (jan(12), "u", "gone", 1.0, jan(12)),
        (jan(12), "u", "just there", 0.22 * D**11 + 1.0, jan(12)),
    ]
    schema = "as_of date, user string, token string, value double, touched date"
    assertDataFrameEqual(folded, spark.createDataFrame(expected, schema), rtol=0, atol=1e-15)


def test_three_nights_equal_one_rebuild_to_the_bit(spark):
    # Amounts whose sums and products are not exact in binary, two users, gaps of every kind.
    amounts = spark.range(400).select(
        F.concat(F.lit("u"), F.col("id") % 7).alias("user"),
        F.concat(F.lit("t"), F.pmod(F.xxhash64("id"), F.lit(5))).alias("token"),
        F.date_add(F.lit(jan(1)), F.pmod(F.xxhash64("id", F.lit(1)), F.lit(27)).cast("int")).alias("run_date"),
        F.pmod(F.xxhash64("id", F.lit(2)), F.lit(3_333_333)).alias("amount"),
    )
    nights = (jan(9), jan(18), jan(27))
    rebuilt = folded(spark, [], amounts, nights)
    state, incremental = spark.createDataFrame([], STATE), []
    for after, until in zip((jan(1), *nights[:2]), nights, strict=True):
        late = F.col("run_date").between(F.lit(after), F.lit(until))
        tonight = amounts.where(late & ((F.col("run_date") > after) | (F.lit(after) == F.lit(jan(1)))))
        step = folded(spark, state, tonight.repartition(3), (until,)).localCheckpoint()
        incremental.append(step)
        state = step.drop("as_of")
    stepwise = incremental[0].union(incremental[1]).union(incremental[2])
    assertDataFrameEqual(stepwise, rebuilt, rtol=0, atol=0)
    assertDataFrameEqual(folded(spark, [], amounts.repartition(5), nights), rebuilt, rtol=0, atol=0)


def test_a_late_event_weighs_what_its_own_time_says_and_worth_decays(spark):
    rows = [
        (jan(11), datetime(2026, 1, 11, 23), 1.0, jan(11)),
        (jan(11), datetime(2026, 1, 1, 1), 1.0, jan(1)),
        (jan(11), datetime(2026, 1, 12, 0), 3.0, jan(6)),
    ]
    frame = spark.createDataFrame(rows, "run_date date, ts timestamp, value double, touched date").select(
        amount_on_arrival(F.lit(1_000_000), HALF_LIFE).alias("amount"),
        decayed(F.col("value"), F.col("touched"), F.col("run_date"), HALF_LIFE).alias("worth"),
    )
    expected = [(1_000_000, 1.0), (500_000, 1.0 * D**10), (1_000_000, 3.0 * D**5)]
    assertDataFrameEqual(frame, spark.createDataFrame(expected, "amount long, worth double"), rtol=0, atol=1e-15)
