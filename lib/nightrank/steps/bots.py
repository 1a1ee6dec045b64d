"""Who is no shopper: bots, and what super-users do beyond a cap, told by what arrived of them in one night."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.sections import BotsConfig
from nightrank.steps.folding import UNIT
from nightrank.steps.once import evaluated_once
from nightrank.steps.pseudonyms import named
from nightrank.steps.reasons import reasons
from nightrank.tables import ANONYMOUS

BOT, OVER_CAP = "bot", "over_cap"
KEY = ["arrived", "_visitor"]
A_SECOND = 1_000_000  # microseconds
# So many groups of visitors are asked for bots: a broadcast of the busy ones has some 50 MB at most.
BUCKETS = 1 << 21


def quarantine_bots(events: DataFrame, config: Config) -> DataFrame:
    """The events with the reason `bot` on every row of a bot, and `over_cap` on good rows beyond the cap.

    events: the columns of RAW_EVENTS with reasons, `duplicate` among them. A visitor is a shopper or, where that is
    anonymous, a session. Each is judged by the good events of it that arrived in one night, so that a bulk load and a
    rebuild decide as the nights did. Events of nobody (anonymous, without a session) are not judged.

    Few visitors have so many events that a rule could be broken: only theirs are spread by minute, item and session,
    three rows an event. None is shuffled by visitor: one with a million is counted where its rows lie, and marked by a
    broadcast of the few visitors that are bots or over the cap. Where there are none, AQE drops these joins.
    """
    fewest = _fewest_events(config.bots)
    if fewest is None:
        return events
    told = events.withColumn("_visitor", visitor(F.col("user_id"), F.col("session_id")))
    good = told.filter((F.size("reasons") == 0) & F.col("_visitor").isNotNull())
    judged = _judged_visitors(_of_busy_visitors(good, told, fewest), config.bots)
    bots = judged.filter("bot").select(*KEY, "bot")
    caps = _last_that_count(good, judged.filter("crowded AND NOT bot"), config.bots)
    beyond = (F.size("reasons") == 0) & (F.struct("ts", "event_id") > F.col("last"))
    conditions = {BOT: F.col("bot"), OVER_CAP: beyond}
    return (
        told.join(F.broadcast(bots), on=KEY, how="left")
        .join(F.broadcast(caps), on=KEY, how="left")
        .withColumn("reasons", reasons(F.col("reasons"), conditions))
        .select(*events.columns)
    )


def quarantine_searches_of_bots(searches: DataFrame, events: DataFrame) -> DataFrame:
    """The searches with the reason `bot` where their visitor was one in a night from their arrival to their run_date.

    searches: RAW_SEARCHES with reasons and run_date; events: quarantined ones of those nights. The user_id of both is
    as tables hold it.
    """
    visited_by = visitor(F.col("user_id"), F.col("session_id")).alias("_visitor")
    # The order of the nights does not matter: it is only asked whether one of them lies between two others.
    nights = F.collect_set("run_date").alias("_nights")
    bots = events.filter(F.array_contains("reasons", BOT)).groupBy(visited_by).agg(nights)
    was_bot = F.exists("_nights", lambda night: night.between(F.col("arrived"), F.col("run_date")))
    return (
        searches.select("*", visited_by)
        .join(F.broadcast(bots), on="_visitor", how="left")
        .withColumn("reasons", reasons(F.col("reasons"), {BOT: was_bot}))
        .select(*searches.columns)
    )


def is_whole(row_reasons: Column) -> Column:
    """Whether nothing is wrong with the row itself: it is accepted, or would be but for whose it is."""
    return F.size(F.array_except(row_reasons, F.array(F.lit(BOT), F.lit(OVER_CAP)))) == 0


def visitor(user_id: Column, session_id: Column) -> Column:
    """Whose an event or search is: a shopper's or, where that is anonymous, a session's; null: nobody's."""
    session = F.concat(F.lit("session "), _filled(session_id))
    return F.when(named(user_id) == ANONYMOUS, session).otherwise(F.concat(F.lit("shopper "), user_id))


def _fewest_events(rules: BotsConfig) -> int | None:
    """With how many events of a visitor a rule may be broken; None where all rules are switched off."""
    beyond = [most + 1 for most in (rules.most_per_minute, rules.most_events_per_night) if most is not None]
    entropy = [rules.entropy_events for limit in (rules.lowest_entropy, rules.highest_entropy) if limit is not None]
    gaps = [] if rules.shortest_gap_seconds is None else [rules.gap_events]
    return min([*beyond, *entropy, *gaps], default=None)


def _of_busy_visitors(good: DataFrame, told: DataFrame, fewest: int) -> DataFrame:
    """The good events, at least those of each visitor with so many events, good or not, in a night.

    Counting asks for no reason, so that Spark leaves the ordering of rows by event out of it.
    """
    bucket = F.pmod(F.xxhash64(*KEY), F.lit(BUCKETS)).alias("_bucket")
    counted = told.select(bucket).groupBy("_bucket").agg(F.count(F.lit(1)).alias("events"))
    busy = counted.filter(F.col("events") >= fewest).select("_bucket")
    return good.select("*", bucket).join(F.broadcast(busy), on="_bucket", how="left_semi")


def _judged_visitors(good: DataFrame, rules: BotsConfig) -> DataFrame:
    """(arrived, _visitor, bot, crowded) of each visitor and night; crowded: it has more events than count.

    In two steps: by minute, item and session (an event counts once in each), then by visitor. Spark aggregates before
    it shuffles, and the keys of the first shuffle are spread whosever they are.
    """
    seen_at = F.when(F.col("action").isin(*rules.actions), F.unix_micros("ts"))
    counted = (
        good.select(*KEY, F.inline(_places()), seen_at.alias("at"))
        .groupBy(*KEY, "kind", "place")
        .agg(
            F.count(F.lit(1)).alias("events"),
            F.count("at").alias("looks"),
            (F.max("at") - F.min("at")).alias("duration"),
        )
    )
    visitors = counted.groupBy(*KEY).agg(
        _sum_over("session", F.col("events")).alias("events"),
        _sum_over("session", F.col("looks")).alias("looks"),
        _sum_over("item", F.rint(F.col("looks") * F.ln("looks") * UNIT).cast("long")).alias("terms"),
        F.max(F.when(F.col("kind") == "minute", F.col("looks"))).alias("busiest_minute"),
        F.max(F.when(F.col("kind") == "session", _hurries(rules))).alias("hurries"),
    )
    crowded = F.col("events") > F.lit(rules.most_events_per_night)
    verdict = F.struct(*KEY, _is_bot(rules).alias("bot"), crowded.alias("crowded"))
    # Two plans read the verdicts, bots and crowds: as above, neither prunes what the other needs.
    return visitors.select(evaluated_once(verdict))


def _places() -> Column:
    """What an event is counted in: its minute, its item, and its session or the night."""
    minute = F.floor(F.unix_seconds("ts") / 60).cast("string")
    places = {"minute": minute, "item": F.col("item_id"), "session": _filled(F.col("session_id"))}
    return F.array(*[F.struct(F.lit(kind).alias("kind"), place.alias("place")) for kind, place in places.items()])


def _sum_over(kind: str, amount: Column) -> Column:
    return F.sum(F.when(F.col("kind") == kind, amount))


def _is_bot(rules: BotsConfig) -> Column:
    """Whether a visitor breaks a rule; one that is null is broken by nobody.

    Entropy: of the items looked at, n_i times each, H = ln n - sum n_i ln n_i / n; divided by its largest value ln n
    it is 1 where each look is at another item and 0 where all are at one; null for one look or none. The terms are
    integers (1e-6), so that their sum does not depend on their order.
    """
    looks = F.col("looks")
    entropy = 1 - F.try_divide(F.col("terms"), UNIT * looks * F.ln(looks))
    is_extreme = (entropy < F.lit(rules.lowest_entropy)) | (entropy > F.lit(rules.highest_entropy))
    broken = F.array(
        F.col("busiest_minute") > F.lit(rules.most_per_minute),
        (looks >= rules.entropy_events) & is_extreme,
        F.col("hurries"),
    )
    return F.coalesce(F.array_contains(broken, True), F.lit(False))


def _hurries(rules: BotsConfig) -> Column:
    """Whether the mean gap between a session's consecutive looks is too short."""
    shortest = None if rules.shortest_gap_seconds is None else round(rules.shortest_gap_seconds * A_SECOND)
    looks = F.col("looks")
    return (looks >= rules.gap_events) & (F.col("duration") < F.lit(shortest).cast("long") * (looks - 1))


def _last_that_count(good: DataFrame, crowded: DataFrame, rules: BotsConfig) -> DataFrame:
    """(arrived, _visitor, last): the ts and event_id of the last event that counts of each crowded visitor.

    Spark keeps no more than the cap's rows of a visitor in each task before it shuffles them (`WindowGroupLimit` in the
    plan, for caps up to spark.sql.optimizer.windowGroupLimitThreshold, 1,000), so no task orders a million.
    """
    turn = Window.partitionBy(*KEY).orderBy("last")
    return (
        good.join(F.broadcast(crowded), on=KEY, how="left_semi")
        .select(*KEY, F.struct("ts", "event_id").alias("last"))
        .withColumn("_turn", F.row_number().over(turn))
        .filter(F.col("_turn") == F.lit(rules.most_events_per_night))
        .drop("_turn")
    )


def _filled(name: Column) -> Column:
    return F.when(F.trim(name) != "", name)
