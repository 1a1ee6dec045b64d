"""item_neighbours: items that the same people take, in sequence; the diagonal is popularity."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.folding import UNIT, amount_on_arrival, decayed, fold
from nightrank.tables import ANONYMOUS

PAIR = ("item_id", "neighbour_id")


def build_item_neighbours(item_neighbours: DataFrame, events: DataFrame, night: Night, config: Config) -> DataFrame:
    """One row a pair of items and snapshot night: run_date and the columns of ITEM_NEIGHBOURS.

    item_neighbours: the previous snapshot, or no rows. events: accepted events from pair_window_nights before what
    is new. An event belongs to the night that it arrived in, and a pair to the night of its later event: a purchase's
    own transition is in no snapshot before its night. All pairs are kept as state; readers take rank <= neighbours.
    """
    taken = _taken(events, config)
    diagonal = F.col("item_id") == F.col("neighbour_id")
    popularity = _folded(item_neighbours.where(diagonal), _new(_single(taken), night, config), night, config)
    pairs = _folded(item_neighbours.where(~diagonal), _new(_paired(taken, config), night, config), night, config)
    return _ranked(_weighed(pairs, popularity, config)).unionByName(
        popularity.withColumnsRenamed({"decayed": "weight"}).withColumn("rank", F.lit(0))
    )


def _taken(events: DataFrame, config: Config) -> DataFrame:
    """The takes of each shopper, at most max_takes_per_night a night: a machine's clicks are nobody's taste.

    An anonymous event belongs to its session; without one it is alone, so it counts for popularity only.
    """
    visit = F.when(F.col("user_id") == ANONYMOUS, F.coalesce("session_id", "event_id"))
    takes = events.where(F.col("action").isin(*config.events.takes)).select(
        F.concat_ws(":", "user_id", visit).alias("shopper"), "run_date", "ts", "event_id", "item_id"
    )
    in_night = Window.partitionBy("shopper", "run_date").orderBy("ts", "event_id")
    number = F.row_number().over(in_night.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    # One shuffle, by shopper, serves this window and that of the sequence.
    numbered = takes.repartition("shopper").withColumn("number", number)
    return numbered.where(F.col("number") <= config.item_neighbours.max_takes_per_night)


def _single(taken: DataFrame) -> DataFrame:
    """Each take as a pair of the item with itself."""
    return taken.select("run_date", "ts", "item_id", F.col("item_id").alias("neighbour_id"), F.lit(UNIT).alias("units"))


def _paired(taken: DataFrame, config: Config) -> DataFrame:
    """Each take with the takes before it, both ways: 1 / distance forward, backward / distance back."""
    section = config.item_neighbours
    sequence = Window.partitionBy("shopper").orderBy("run_date", "ts", "event_id")
    before = F.collect_list(F.struct("item_id", "run_date")).over(sequence.rowsBetween(-section.pair_distance, -1))
    # posexplode counts from the farthest: the last of the list is at distance 1.
    met = taken.withColumn("before", before).select(
        "run_date", "ts", F.col("item_id").alias("later"), F.size("before").alias("many"), F.posexplode("before")
    )
    near = F.date_diff("run_date", "col.run_date") <= section.pair_window_nights
    unit = F.lit(UNIT) / (F.col("many") - F.col("pos"))
    both = F.array(_way("col.item_id", "later", unit), _way("later", "col.item_id", unit * section.backward))
    return met.where(near & (F.col("col.item_id") != F.col("later"))).select("run_date", "ts", F.inline(both))


def _way(item: str, neighbour: str, units: Column) -> Column:
    return F.struct(F.col(item).alias("item_id"), F.col(neighbour).alias("neighbour_id"), units.alias("units"))


def _new(pairs: DataFrame, night: Night, config: Config) -> DataFrame:
    """Amounts of the pairs that the previous snapshot does not hold."""
    amount = amount_on_arrival(F.col("units"), config.item_neighbours.half_life_nights)
    new = pairs.where(F.col("run_date") > F.lit(night.previous)) if night.previous else pairs
    return new.select(*PAIR, "run_date", amount.alias("amount")).where(F.col("amount") > 0)


def _folded(previous: DataFrame, amounts: DataFrame, night: Night, config: Config) -> DataFrame:
    """The state of each pair as of each snapshot, and what it is worth then."""
    section = config.item_neighbours
    folded = fold(previous, amounts, night.snapshots, PAIR, section.half_life_nights, section.forget_nights)
    worth = decayed(F.col("value"), F.col("touched"), F.col("as_of"), section.half_life_nights)
    return folded.withColumn("decayed", worth).withColumnRenamed("as_of", "run_date")


def _weighed(pairs: DataFrame, popularity: DataFrame, config: Config) -> DataFrame:
    """Pairs with weight = worth / ((popularity of one + 1) × (popularity of the other + 1)) ** popularity_power."""
    one = popularity.select("run_date", "item_id", F.col("decayed").alias("popularity"))
    other = one.withColumnsRenamed({"item_id": "neighbour_id", "popularity": "neighbour_popularity"})
    joined = pairs.join(one, on=["run_date", "item_id"], how="left").join(
        other, on=["run_date", "neighbour_id"], how="left"
    )
    # An item whose takes are forgotten may still be in a pair that its neighbour touched later.
    known = [F.coalesce(name, F.lit(0.0)) + 1.0 for name in ("popularity", "neighbour_popularity")]
    discount = F.pow(known[0] * known[1], F.lit(config.item_neighbours.popularity_power))
    return joined.select("run_date", *PAIR, "value", "touched", (F.col("decayed") / discount).alias("weight"))


def _ranked(pairs: DataFrame) -> DataFrame:
    of_item = Window.partitionBy("run_date", "item_id").orderBy(F.desc("weight"), "neighbour_id")
    rank = F.row_number().over(of_item.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    return pairs.withColumn("rank", rank)
