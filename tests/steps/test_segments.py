"""Segments: the mean shopper of each, and of everybody."""

from __future__ import annotations

from datetime import UTC, date, datetime

from pyspark.testing import assertDataFrameEqual

from nightrank.config import Config
from nightrank.nights import ordinary_night
from nightrank.steps.segments import build_segments
from nightrank.tables import PEOPLE, SEGMENTS, USER_PROFILES

NIGHT, BEFORE = date(2026, 1, 31), date(2026, 1, 1)
AT = datetime(2026, 1, 31, tzinfo=UTC)
CONFIG = Config.model_validate(
    {
        "segments": {"min_shoppers": 2},
        "user_profiles": {"half_life_nights": 30},
        "training_examples": {"recent": 2},
    }
)


def profile(user, affinities, own, segment, night=NIGHT):
    values = {"run_date": night, "user_id": user, "own_items": own, "segment": segment, "events": 1, "recent": []}
    values["affinities"] = [(token, value, 0.0, 0.0, touched) for token, value, touched in affinities]
    return tuple(values.get(name) for name in USER_PROFILES.schema.names)


def test_means_are_over_all_shoppers_of_a_large_enough_group(spark):
    rows = [
        # 30 nights with a half life of 30: what was touched on January 1 is worth half.
        profile("a", [("brand:x", 4.0, BEFORE)], [("i1", 2.0, NIGHT), ("i3", 1.0, NIGHT)], "segment:garden"),
        profile("b", [("brand:x", 3.0, NIGHT), ("brand:y", 1.0, NIGHT)], [("i2", 5.0, NIGHT)], "segment:garden"),
        profile("c", [], [], "segment:toys"),
        profile("d", [("brand:y", 3.0, NIGHT)], [], None),
        # An earlier snapshot that this night does not write.
        profile("e", [("brand:z", 9.0, BEFORE)], [], None, BEFORE),
    ]
    profiles, nobody = spark.createDataFrame(rows, USER_PROFILES.schema), spark.createDataFrame([], PEOPLE.schema)
    built = build_segments(user_profiles=profiles, people=nobody, night=ordinary_night(NIGHT, ()), config=CONFIG)
    expected = [
        (NIGHT, "anonymous", None, 4, ["brand:x", "brand:y"], [5.0 / 4, 4.0 / 4], ["i2", "i1"]),
        (NIGHT, "segment:garden", "category:garden", 2, ["brand:x", "brand:y"], [5.0 / 2, 1.0 / 2], ["i2", "i1"]),
    ]
    found = SEGMENTS.conform(built, with_run_date=True)
    assertDataFrameEqual(found, spark.createDataFrame(expected, SEGMENTS.schema), rtol=1e-9)
