"""The segment of a profile: the top-level category that weighs most. One rule, for arrays and for a frame's columns.

Both multiply the same two doubles, so that a profile that is folded tonight and one that stands have the same segment.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow
from pyarrow import compute
from pyspark.sql import Column
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.folding import kept_shares
from nightrank.models.ordering import Doubles, Longs, heaviest
from nightrank.steps.batches import doubles, flat, longs, sorted_codes

CATEGORY, BELOW, SEGMENT = "category:", " > ", "segment:"


def segments(affinities: pyarrow.Array, takes: pyarrow.Array, as_of: Longs, config: Config) -> pyarrow.Array:
    """`segment:<x>` of each profile as of its date; null with too few takes or without a category.

    Ties go to the first token: states are in order of token.
    """
    states, sizes = flat(affinities)
    (code,), names = sorted_codes(states.field("token"))
    is_top = np.asarray(compute.and_not(compute.starts_with(names, CATEGORY), compute.match_substring(names, BELOW)))
    top = np.flatnonzero(is_top[code])
    many = np.bincount(np.repeat(np.arange(len(sizes)), sizes)[top], minlength=len(sizes))
    row, found = heaviest(worth_of(states, sizes, as_of, config)[top], many, 1)
    enough = np.asarray(compute.fill_null(takes, 0)) >= config.user_profiles.segment_min_takes
    which = np.zeros(len(sizes), dtype=np.int64)
    which[found > 0] = code[top[row]]
    named = compute.replace_substring_regex(names, f"^{CATEGORY}", SEGMENT)
    return named.take(pyarrow.array(which, mask=~(enough & (found > 0))))


def worth_of(states: Any, sizes: Longs, as_of: Longs, config: Config) -> Doubles:
    """What each state (value, touched) is worth on its profile's date; sizes: how many each profile has."""
    section = config.user_profiles
    kept = kept_shares(section.half_life_nights, section.forget_nights)
    nights = np.repeat(as_of, sizes) - longs(states.field("touched"))
    worth: Doubles = doubles(states.field("value")) * kept[np.minimum(nights, len(kept) - 1)]
    return worth


def segment_of(config: Config) -> Column:
    """The same of a row with affinities, takes and as_of."""
    section = config.user_profiles
    kept = kept_shares(section.half_life_nights, section.forget_nights)

    def is_top(state: Column) -> Column:
        return state["token"].startswith(CATEGORY) & ~F.contains(state["token"], F.lit(BELOW))

    def lightness(state: Column) -> Column:
        nights = F.least(F.date_diff(F.col("as_of"), state["touched"]), F.lit(len(kept) - 1))
        worth = state["value"] * F.get(F.lit(kept), nights)
        return F.struct((-worth).alias("lightness"), state["token"].alias("token"))

    heaviest_one = F.array_min(F.transform(F.filter("affinities", is_top), lightness))["token"]
    named = F.concat(F.lit(SEGMENT), F.regexp_replace(heaviest_one, f"^{CATEGORY}", ""))
    return F.when(F.col("takes") >= section.segment_min_takes, named)
