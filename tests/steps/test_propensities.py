"""Propensities: what is counted, and which curve a device gets."""

from __future__ import annotations

from datetime import date

from pyspark.sql import types as T
from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import ordinary_night
from nightrank.steps.propensities import build_propensities
from nightrank.tables import PROPENSITIES, SEARCHES

CONFIG = Config.model_validate(
    {"propensities": {"longest": 3, "min_pairs": 2, "min_clicks_per_position": 1, "fallback_exponent": 1.0}}
)
NIGHT = ordinary_night(date(2026, 1, 1), ())
FIELDS = ("normalised_query", "device", "policy_id", "derived", "slate")
SCHEMA = T.StructType([SEARCHES.columns[name] for name in FIELDS])


def search(query, slate, device="phone", policy_id=None, derived=False):
    shown = [(item, position, None, sponsored, None, gain) for item, position, gain, sponsored in slate]
    return (query, device, policy_id, derived, shown)


def swaps(query, times, at_first, at_second, device="phone"):
    """`times` searches with the item at position 1 and as many at 2, with that many clicks at each."""
    shown = [(1, 2.0 * (n < at_first)) for n in range(times)] + [(2, 1.0 * (n < at_second)) for n in range(times)]
    return [search(query, [("i", position, gain, False)], device) for position, gain in shown]


def test_curves_by_device(spark):
    rows = [
        *swaps("q", 10, 8, 4),
        *swaps("r", 10, 4, 2),
        *swaps("q", 4, 4, 2, device=None),
        # None of these says anything: shown by weights, derived, sponsored, never moved, too far down.
        search("q", [("i", 2, 1.0, False)], policy_id="nightrank"),
        search("q", [("i", 2, 1.0, False)], derived=True),
        search("q", [("i", 2, 1.0, True), ("never moved", 2, 1.0, False), ("i", 4, 1.0, False)]),
    ]
    built = build_propensities(searches=spark.createDataFrame(rows, SCHEMA), night=NIGHT, config=CONFIG)
    curve = [1.0, 0.5, 0.5 * 2 / 3]
    told = {"all": ([16, 8, 0], [2, 2, 0]), "phone": ([12, 6, 0], [2, 2, 0]), "unknown": ([4, 2, 0], [1, 1, 0])}
    method = {"all": "harvested", "phone": "harvested", "unknown": "pooled"}
    expected = [
        (device, n + 1, curve[n], clicks[n], pairs[n], method[device])
        for device, (clicks, pairs) in told.items()
        for n in range(3)
    ]
    assertDataFrameEqual(
        PROPENSITIES.conform(built), spark.createDataFrame(expected, PROPENSITIES.columns), rtol=0, atol=1e-9
    )


def test_a_shop_with_derived_searches_only_gets_the_fallback(spark):
    rows = [
        search("q", [("i", 1, 1.0, False)], None, derived=True),
        search("q", [("i", 2, 1.0, False)], None, None, True),
    ]
    built = build_propensities(searches=spark.createDataFrame(rows, SCHEMA), night=NIGHT, config=CONFIG)
    expected = [
        (device, position, 1 / position, 0, 0, "fallback") for device in ("all", "unknown") for position in (1, 2, 3)
    ]
    assertDataFrameEqual(built, spark.createDataFrame(expected, PROPENSITIES.columns), rtol=0, atol=0)
