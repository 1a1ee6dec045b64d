"""While a key is being rotated: a link from an id's pseudonym under the previous key to the one under the new key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.steps.pseudonyms import previous_shopper, shopper
from nightrank.steps.words import held_words, link_words
from nightrank.tables import ANONYMOUS

# Of the links of one id the latest stands: the same link, made again every night, must stay the same.
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


def renamed_ids(raw: Sequence[DataFrame], known: DataFrame, config: Config) -> DataFrame:
    """user_id (under the previous key) and other_id (under the new one) of the raw ids that are known by the former.

    raw: frames with user_id and perhaps other_id, as they came. known: the pseudonyms that the lake holds.
    """
    columns = [frame.select(F.col(name).alias("id")) for frame in raw for name in _ids(frame)]
    named = reduce(DataFrame.unionByName, columns).where((F.trim("id") != "") & (F.col("id") != ANONYMOUS))
    # Kept: it takes a read of the logs, and Spark would hash the ids again for each join and filter above them.
    pairs = named.distinct().select(
        previous_shopper(F.col("id"), config).alias("user_id"), shopper(F.col("id"), config).alias("other_id")
    )
    return pairs.persist().join(known, on="user_id", how="left_semi")


def words_under_new_key(people: DataFrame, renamed: DataFrame, night: date) -> DataFrame:
    """What the snapshot holds, as words; what a renamed id has said is from now on said by its new pseudonym."""
    pairs = renamed.withColumnRenamed("other_id", "new_id")
    moved = people.join(pairs, on="user_id", how="left")
    owner = F.coalesce("new_id", "user_id")
    is_renaming = F.coalesce(F.col("linked_to") == F.col("new_id"), F.lit(False))
    link_owner = F.when(is_renaming, F.col("user_id")).otherwise(owner)
    return held_words(moved, link_owner, owner).unionByName(link_words(renamed, night, F.lit(ALWAYS)))


def _ids(frame: DataFrame) -> list[str]:
    return [name for name in ("user_id", "other_id") if name in frame.columns]
