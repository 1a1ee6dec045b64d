"""enrichments: what a language model wrote of items, judged as text that anybody could have written."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.reasons import blank, impossible_time, overlong, reasons
from nightrank.tables import ENRICHMENTS

SHA256 = "^[0-9a-f]{64}$"
# Control characters but tab and line ends; marks that turn or hide what follows; U+FFFD, left of a broken encoding.
CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufffd]"
# Tags, entities, code fences, template slots, links: an encoder would read them as words of the item.
MARKUP = r"</?[A-Za-z!]|&#?[A-Za-z0-9]+;|```|\{\{|\]\(|https?://"


def build_enrichments(raw_enrichments: DataFrame, night: Night, config: Config) -> DataFrame:
    """The table `enrichments` with run_date, the night in which each row arrived: safe texts, the rest with reasons.

    Of a night's texts for one plain_hash the one made last stays, then by a hash of the row. A text that is refused
    replaces nothing: its item keeps the enrichment that it has, or its plain text.
    """
    conditions = {
        "missing_key": blank("plain_hash") | ~F.col("plain_hash").rlike(SHA256),
        "missing_provenance": blank("model", "prompt_version") | F.col("ts").isNull(),
        "impossible_time": impossible_time(config.events.earliest),
        "overlong_id": overlong(config.events.longest_id, "model", "prompt_version"),
        **unsafe(F.col("text"), config),
    }
    first = Window.partitionBy("arrived", "plain_hash").orderBy(
        F.size("reasons") > 0, F.col("ts").desc(), F.xxhash64("text", "model", "prompt_version"), "text"
    )
    in_order = first.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    return (
        raw_enrichments.filter(F.col("arrived").between(F.lit(night.first_arrival), F.lit(night.run_date)))
        .withColumn("ts", F.col("made_at"))
        .withColumn("reasons", reasons(F.col("problems"), conditions))
        .withColumn("_turn", F.row_number().over(in_order))
        .withColumn("reasons", reasons(F.col("reasons"), {"duplicate": _is_duplicate()}))
        .withColumns({"accepted": F.size("reasons") == 0, "run_date": F.col("arrived")})
        .select(*ENRICHMENTS.schema.names)
    )


def unsafe(text: Column, config: Config) -> dict[str, Column]:
    """By reason: whether a text is none to be encoded beside what the shop itself says of an item."""
    return {
        "empty_text": text.isNull() | (F.trim(text) == ""),
        "overlong_text": F.length(text) > config.enrichments.longest_text,
        "bad_utf8": ~F.is_valid_utf8(text),
        "control_characters": text.rlike(CONTROL),
        "markup": text.rlike(MARKUP),
        "refusal": text.rlike(config.enrichments.refusals),
    }


def newest_enrichments(enrichments: DataFrame) -> DataFrame:
    """plain_hash, written: of each hash the text made last; of two made in one moment the one that arrived last."""
    order = F.struct("made_at", "run_date")
    return enrichments.groupBy("plain_hash").agg(F.max_by("text", order).alias("written"))


def _is_duplicate() -> Column:
    return (F.size("reasons") == 0) & (F.col("_turn") > 1)
