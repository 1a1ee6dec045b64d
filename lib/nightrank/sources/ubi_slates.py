"""What a UBI query showed: its hit ids, or the impressions that name it, with what query_attributes say of them."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nightrank.contract import DOUBLE, FLAG, INT
from nightrank.sources.parsing import ill_typed, typed
from nightrank.steps.entries import is_full, together
from nightrank.steps.once import evaluated_once
from nightrank.steps.reasons import all_of, any_of

# What the plugin writes, what its README said, what the documentation said.
HIT_IDS = ("query_response_hit_ids", "query_response_object_ids", "query_response_objects_ids")

SAID = {"base_scores": DOUBLE, "sponsored": FLAG, "propensities": DOUBLE}


def with_shown(queries: DataFrame, events: DataFrame) -> DataFrame:
    """`queries` with `shown`: array of (item_id, position) in order; null where nothing says what was shown."""
    ids = F.coalesce(*[F.when(F.size(name) > 0, F.col(name)) for name in HIT_IDS])
    return (
        queries.select("*", evaluated_once(F.struct(ids.alias("hit_ids"))))
        .withColumn("hits", together(item_id=F.col("hit_ids"), position=F.sequence(F.lit(1), F.size("hit_ids"))))
        .join(_impressions(events), on="query_id", how="left")
        .withColumn("shown", F.coalesce("hits", "impressions"))
    )


def slate(shown: Column, attributes: Column, quick: Column) -> Column:
    """The RAW slate: `shown` with base score, sponsored and propensity, whose arrays follow the same order.

    attributes: query_attributes; quick: quickly_typed of them, as a column. Where each array is missing or holds a
    value for each item, they are put together as they are.
    """
    simple = [attributes[name].isNull() | is_full(quick[name], F.size(shown)) for name in SAID]
    return F.when(all_of(simple), _as_they_are(shown, quick)).otherwise(_closely(shown, attributes, quick))


def _as_they_are(shown: Column, quick: Column) -> Column:
    def said(name: str, unsaid: Column) -> Column:
        return F.coalesce(quick[name], F.array_repeat(unsaid.cast(SAID[name]), F.size(shown)))

    return together(
        item_id=shown["item_id"],
        position=shown["position"].cast(T.ArrayType(INT)),
        base_score=said("base_scores", F.lit(None)),
        sponsored=said("sponsored", F.lit(False)),
        propensity=said("propensities", F.lit(None)),
    )


def _closely(shown: Column, attributes: Column, quick: Column) -> Column:
    def said(name: str, at: Column) -> Column:
        return F.coalesce(F.get(quick[name], at), typed(F.get(attributes[name], at), SAID[name]))

    def entry(one: Column, at: Column) -> Column:
        return F.struct(
            one["item_id"].alias("item_id"),
            one["position"].cast(INT).alias("position"),
            said("base_scores", at).alias("base_score"),
            F.coalesce(said("sponsored", at), F.lit(False)).alias("sponsored"),
            said("propensities", at).alias("propensity"),
        )

    return F.transform(shown, entry)


def quickly_typed(attributes: Column) -> Column:
    """The arrays of query_attributes in their types; null where a value takes a closer look, see `typed`.

    The cast of a whole array is compiled; in a lambda Spark would interpret it, for each entry several casts.
    """
    return F.struct(*[attributes[name].try_cast(T.ArrayType(kind)).alias(name) for name, kind in SAID.items()])


def slate_is_ill_typed(attributes: Column, quick: Column) -> Column:
    """Whether an array of query_attributes holds something that is not of its type."""

    def ill(name: str, kind: T.DataType) -> Column:
        closer = F.coalesce(F.exists(attributes[name], lambda one: ill_typed(one, kind)), F.lit(False))
        return ~is_full(quick[name], F.size(quick[name])) & closer

    return any_of([ill(name, kind) for name, kind in SAID.items()])


def _impressions(events: DataFrame) -> DataFrame:
    """The items that each query_id's impressions name: (query_id, impressions), an item at its first position.

    Some applications count ordinals from 0, some from 1: the smallest one that an application logs tells which.
    """
    placed = events.filter("action_name IS NOT NULL").select(
        "query_id",
        "item_id",
        F.lower("action_name").alias("action"),
        F.coalesce("application", F.lit("")).alias("application"),
        typed(F.col("event_attributes.position.ordinal"), INT).alias("ordinal"),
    )
    bases = placed.groupBy("application").agg(F.when(F.min("ordinal") <= 0, 0).otherwise(1).alias("base"))
    return (
        placed.filter("action = 'impression' AND item_id IS NOT NULL AND ordinal IS NOT NULL")
        .join(bases, on="application", how="inner")
        .groupBy("query_id", "item_id")
        .agg(F.min(F.col("ordinal") - F.col("base") + 1).alias("position"))
        .groupBy("query_id")
        .agg(F.array_sort(F.collect_list(F.struct("position", "item_id"))).alias("ordered"))
        .select(
            "query_id",
            F.transform("ordered", _item_first).alias("impressions"),
        )
    )


def _item_first(placed: Column) -> Column:
    return F.struct(placed["item_id"].alias("item_id"), placed["position"].alias("position"))
