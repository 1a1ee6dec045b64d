"""What ids say of themselves: in two registers, in each of which the word with the latest ts stands.

A word is (ts, back, target): back where it undoes a link or opts out; target is whom a link leads to. Words compare in
that order: of two with one ts the one that undoes or opts out stands, of two links the one to the larger id.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.nights import BEGINNING

LINK, CONSENT = "link", "consent"
REGISTERS = {"link": LINK, "unlink": LINK, "opt_out": CONSENT, "opt_in": CONSENT}
BACK = ("unlink", "opt_out")
FOREVER = date(9999, 1, 1)


def arrived_words(accepted: DataFrame) -> DataFrame:
    """user_id, register, night, word, forgotten_until of accepted rows of the input `people`."""
    registers = F.create_map(*[F.lit(part) for pair in REGISTERS.items() for part in pair])
    target = F.when(F.col("action") == "link", F.col("other_id"))
    return accepted.select(
        *_entry(
            F.col("user_id"),
            registers[F.col("action")],
            F.col("arrived"),
            as_word(F.col("ts"), F.col("action").isin(*BACK), target),
        )
    )


def held_words(people: DataFrame, link_owner: Column, consent_owner: Column) -> DataFrame:
    """The same of what a snapshot holds: words of its night. *_owner: the id whose register a row's words are of."""
    link = as_word(F.col("linked_ts"), F.col("linked_to").isNull(), F.col("linked_to"))
    consent = as_word(F.col("refused_ts"), F.col("refuses"), F.lit(None))
    entries = F.array(
        F.struct(*_entry(link_owner, F.lit(LINK), F.col("run_date"), link)),
        F.struct(*_entry(consent_owner, F.lit(CONSENT), F.col("run_date"), consent, F.col("forgotten_until"))),
        # What is forgotten of an id stays so whoever has its register now.
        F.struct(*_entry(F.col("user_id"), F.lit(CONSENT), F.col("run_date"), _nothing(), F.col("forgotten_until"))),
    )
    return people.select(F.inline(entries)).where("word.ts IS NOT NULL OR forgotten_until IS NOT NULL")


def link_words(links: DataFrame, night: date, ts: Column) -> DataFrame:
    """The same of links that nightrank makes itself: user_id, other_id."""
    word = as_word(ts, F.lit(False), F.col("other_id"))
    return links.select(*_entry(F.col("user_id"), F.lit(LINK), F.lit(night), word))


def as_word(ts: Column, back: Column, target: Column) -> Column:
    """A word."""
    return F.struct(ts.alias("ts"), back.alias("back"), target.cast("string").alias("target"))


def standing_words(words: DataFrame) -> DataFrame:
    """user_id, register, since, until (nights, both counted), word: what stands then, whatever arrives later.

    back: whether a word that arrived on `since` undid or refused, though another stands. forgotten_until: as it was
    known before. An id that is heard of has a word on its link from the beginning on: none.
    """
    of_night = (
        _with_first_words(words)
        .groupBy("user_id", "register", "night")
        .agg(
            F.max("word").alias("word"),
            F.max(F.coalesce("word.back", F.lit(False))).alias("back"),
            F.max("forgotten_until").alias("forgotten_until"),
        )
    )
    in_order = Window.partitionBy("user_id", "register").orderBy("night")
    so_far = in_order.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    return of_night.select(
        "user_id",
        "register",
        F.col("night").alias("since"),
        F.coalesce(F.date_sub(F.lead("night").over(in_order), 1), F.lit(FOREVER)).alias("until"),
        F.max("word").over(so_far).alias("word"),
        "back",
        F.max("forgotten_until").over(so_far).alias("forgotten_until"),
    )


def own_states(standing: DataFrame, nights: tuple[date, ...]) -> DataFrame:
    """user_id, as_of, linked_to, linked_ts, refuses, refused_ts, forgotten_before: an id's words as of each night.

    Of ids that have said something by then; forgotten_before: the standing words' forgotten_until.
    """

    def of(register: str) -> Column:
        return F.max(F.when(F.col("register") == register, F.col("word")))

    asked = on_each_night(standing, nights).where(F.col("as_of").between(F.col("since"), F.col("until")))
    states = asked.groupBy("user_id", "as_of").agg(
        of(LINK).alias("link"), of(CONSENT).alias("consent"), F.max("forgotten_until").alias("forgotten_before")
    )
    return states.select(
        "user_id",
        "as_of",
        F.col("link.target").alias("linked_to"),
        F.col("link.ts").alias("linked_ts"),
        F.col("consent.back").alias("refuses"),
        F.col("consent.ts").alias("refused_ts"),
        "forgotten_before",
    ).where("linked_ts IS NOT NULL OR refused_ts IS NOT NULL OR forgotten_before IS NOT NULL")


def _with_first_words(words: DataFrame) -> DataFrame:
    """The words, and of each id that they name one from the beginning on that says nothing."""

    def first(user_id: Column) -> Column:
        return F.struct(*_entry(user_id, F.lit(LINK), F.lit(BEGINNING), _nothing()))

    columns = [F.col(name) for name in ("user_id", "register", "night", "word", "forgotten_until")]
    named = F.coalesce("word.target", "user_id")
    return words.select(F.inline(F.array(F.struct(*_entry(*columns)), first(F.col("user_id")), first(named))))


def _nothing() -> Column:
    return as_word(F.lit(None).cast("timestamp"), F.lit(None).cast("boolean"), F.lit(None))


def _entry(
    user_id: Column, register: Column, night: Column, word: Column, forgotten_until: Column | None = None
) -> list[Column]:
    known = F.lit(None) if forgotten_until is None else forgotten_until
    return [
        user_id.alias("user_id"),
        register.alias("register"),
        night.alias("night"),
        word.alias("word"),
        known.cast("date").alias("forgotten_until"),
    ]


def on_each_night(frame: DataFrame, nights: tuple[date, ...]) -> DataFrame:
    """Each row once a night, in a new column as_of."""
    return frame.withColumn("as_of", F.explode(F.array(*[F.lit(night) for night in nights])))
