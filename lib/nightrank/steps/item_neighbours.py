"""item_neighbours: items that the same people take, in sequence; the diagonal is popularity."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import BEGINNING, Night
from nightrank.steps.folding import UNIT, amount_on_arrival, decayed, fold
from nightrank.tables import ANONYMOUS

PAIR = ("item_id", "neighbour_id")


def build_item_neighbours(item_neighbours: DataFrame, events: DataFrame, night: Night, config: Config) -> DataFrame:
    """One row a pair of items and snapshot night: run_date and the columns of ITEM_NEIGHBOURS.

    item_neighbours: the previous snapshot, or no rows. events: accepted events from pair_window_nights before what
    is new. With a(x) the weight of the action of a take x and k its distance in the shopper's sequence,

        worth(i, j)  = Σ over takes x of i, y of j after it:  a(x) · a(y) / k · d^age   (back: `backward` times that)
        weight(i, j) = worth(i, j) / ((takes of i + 1) · (takes of j + 1)) ** popularity_power

    takes, the diagonal, being decayed too. At power 0.5 that is the cosine of items as vectors over takes (Karypis
    2001, "Evaluation of item-based top-N recommendation algorithms", who also has the power as a parameter), smoothed
    by one take; at 0 popular items win, at 1 rare ones.

    An event belongs to the night that it arrived in, and a pair to the night in which its second event arrived: a
    purchase's own transition is in no snapshot before its night. A late event takes its own time's place in the
    sequence and pairs with what its shopper did before and after it; distances that stood already are not moved.

    What bounds the table: takes a shopper and night (max_takes_per_night), pairs an item and night (pairs_per_night),
    and how long a pair is worth enough (forget_below, forget_nights). Each is decided by a night's own arrivals or by
    the pair's own history, so a rebuild decides the same. The heaviest pairs of an item over all nights are no such
    rule (a pair that fell out would have to be remembered to come back), so that bound is on what is read:
    rank <= neighbours.
    """
    taken = _taken(events, config)
    diagonal = F.col("item_id") == F.col("neighbour_id")
    popularity = _folded(item_neighbours.where(diagonal), _amounts(_single(taken), night, config), night, config, 0.0)
    new = _heaviest(_amounts(_paired(taken, night, config), night, config), config.item_neighbours.pairs_per_night)
    forget_below = config.item_neighbours.forget_below
    pairs = _folded(item_neighbours.where(~diagonal), new, night, config, forget_below)
    return _ranked(_weighed(pairs, popularity, config)).unionByName(
        popularity.withColumnsRenamed({"decayed": "weight"}).withColumn("rank", F.lit(0))
    )


def _taken(events: DataFrame, config: Config) -> DataFrame:
    """The takes of each shopper, at most max_takes_per_night a night: a machine's clicks are nobody's taste.

    An anonymous event belongs to its session; without one it is alone, so it counts for popularity only.
    """
    visit = F.when(F.col("user_id") == ANONYMOUS, F.coalesce("session_id", "event_id"))
    takes = events.where(F.col("action").isin(*config.events.takes)).select(
        F.concat_ws(":", "user_id", visit).alias("shopper"), "run_date", "ts", "event_id", "action", "item_id"
    )
    in_night = Window.partitionBy("shopper", "run_date").orderBy("ts", "event_id")
    number = F.row_number().over(in_night.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    # One shuffle, by shopper, serves this window and those of the sequences.
    numbered = takes.repartition("shopper").withColumn("number", number)
    return numbered.where(F.col("number") <= config.item_neighbours.max_takes_per_night)


def _single(taken: DataFrame) -> DataFrame:
    """Each take as a pair of the item with itself."""
    return taken.select("run_date", "ts", "item_id", F.col("item_id").alias("neighbour_id"), F.lit(UNIT).alias("units"))


def _paired(taken: DataFrame, night: Night, config: Config) -> DataFrame:
    """Pairs of takes, both ways, of which one arrived on run_date and the other then or within the window before."""
    section = config.item_neighbours
    sequence = Window.partitionBy("shopper", "seen").orderBy("ts", "event_id")
    one = F.struct("item_id", "run_date", "ts", _action_weight(config).alias("action_weight"))
    before = F.collect_list(one).over(sequence.rowsBetween(-section.pair_distance, -1))
    # posexplode counts from the farthest: the last of the list is at distance 1.
    met = _sequences(taken, night, section.pair_window_nights).withColumn("before", before)
    pairs = met.select("*", F.size("before").alias("many"), F.posexplode("before"))
    new = F.greatest("run_date", "col.run_date") == F.col("seen")
    near = F.date_diff(F.to_date("ts"), F.to_date("col.ts")) <= section.pair_window_nights
    units = UNIT * _action_weight(config) * F.col("col.action_weight") / (F.col("many") - F.col("pos"))
    both = F.array(_way("col.item_id", "item_id", units), _way("item_id", "col.item_id", units * section.backward))
    return pairs.where(new & near & (F.col("col.item_id") != F.col("item_id"))).select(
        F.col("seen").alias("run_date"), "ts", F.inline(both)
    )


def _sequences(taken: DataFrame, night: Night, window_nights: int) -> DataFrame:
    """Each take once for each night, `seen`, that brought something new of its shopper while the take was near.

    A night's sequence holds what had arrived by then: so a night that is built again, or within a bulk load, has the
    distances that it had. A shopper's takes lie together already: no Exchange.
    """
    everything = Window.partitionBy("shopper").rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    arrivals = F.collect_set("run_date").over(everything)
    since = F.lit(night.previous or BEGINNING)

    def near(seen: Column) -> Column:
        return (seen > since) & seen.between(F.col("run_date"), F.date_add("run_date", window_nights))

    return taken.withColumn("arrivals", arrivals).withColumn("seen", F.explode(F.filter("arrivals", near)))


def _action_weight(config: Config) -> Column:
    """The weight of a take's action; 1 where events.action_weights has none."""
    weights = config.events.action_weights.items()
    return F.coalesce(*[F.when(F.col("action") == name, F.lit(weight)) for name, weight in weights], F.lit(1.0))


def _way(item: str, neighbour: str, units: Column) -> Column:
    return F.struct(F.col(item).alias("item_id"), F.col(neighbour).alias("neighbour_id"), units.alias("units"))


def _amounts(pairs: DataFrame, night: Night, config: Config) -> DataFrame:
    """What each pair gains in each night that the previous snapshot does not hold: PAIR, run_date, amount."""
    amount = amount_on_arrival(F.col("units"), config.item_neighbours.half_life_nights)
    new = pairs.where(F.col("run_date") > F.lit(night.previous)) if night.previous else pairs
    gained = new.select(*PAIR, "run_date", amount.alias("amount")).where(F.col("amount") > 0)
    return gained.groupBy(*PAIR, "run_date").agg(F.sum("amount").alias("amount"))


def _heaviest(amounts: DataFrame, most: int) -> DataFrame:
    of_night = Window.partitionBy("item_id", "run_date").orderBy(F.desc("amount"), "neighbour_id")
    place = F.row_number().over(of_night.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    return amounts.withColumn("place", place).where(F.col("place") <= most).drop("place")


def _folded(previous: DataFrame, amounts: DataFrame, night: Night, config: Config, forget_below: float) -> DataFrame:
    """The state of each pair as of each snapshot, and what it is worth then."""
    section = config.item_neighbours
    folded = fold(
        previous, amounts, night.snapshots, PAIR, section.half_life_nights, section.forget_nights, forget_below
    )
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
