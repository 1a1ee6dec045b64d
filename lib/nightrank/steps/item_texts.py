"""The text of an item that is encoded: what the shop says of it, and what a language model wrote of that."""

from __future__ import annotations

from string import Formatter

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.errors import ConfigError
from nightrank.sections import ItemsConfig
from nightrank.steps.enrichments import newest_enrichments, unsafe
from nightrank.steps.reasons import any_of
from nightrank.tables import CATALOGUE

SLOT = "enrichment"


def with_texts(items: DataFrame, enrichments: DataFrame, config: Config) -> DataFrame:
    """`items` with text, content_hash (of the text) and plain_hash (of the text without an enrichment).

    An enrichment is known by the plain_hash that it was written for: where the shop's own words change it no longer
    counts. An item without one has its plain text, as every item has where enrichments.in_text is false: then nothing
    is joined. Raises ConfigError where texts are to hold enrichments and items.template has no place for them.
    """
    plain = plain_text(config.items)
    if not config.enrichments.in_text:
        hashed = F.sha2(plain, 256)
        return items.withColumns({"text": plain, "content_hash": hashed, "plain_hash": hashed})
    told = with_said(items.withColumn("plain_hash", F.sha2(plain, 256)), enrichments, config)
    return told.withColumn("text", enriched_text(config.items)).withColumn("content_hash", F.sha2("text", 256))


def with_said(items: DataFrame, enrichments: DataFrame, config: Config) -> DataFrame:
    """`items` (with plain_hash) with `said`: the newest enrichment, else the catalogue's own if it is safe, else null.

    enrichments: the accepted ones.
    """
    own = F.col("enrichment")
    safe = F.when(~any_of(list(unsafe(own, config).values())), own)
    if config.source.enrichments is None:
        return items.withColumn("said", safe)
    joined = items.join(newest_enrichments(enrichments), on="plain_hash", how="left")
    return joined.withColumn("said", F.coalesce("written", safe)).drop("written")


def plain_text(config: ItemsConfig) -> Column:
    """The text of an item without an enrichment."""
    return item_text(config.template, config.longest_text, F.lit(None))


def enriched_text(config: ItemsConfig) -> Column:
    """The text of an item with what is `said` of it, the plain text where that is null.

    Raises ConfigError where items.template has no place for it.
    """
    if SLOT not in {field for _, field, _, _ in Formatter().parse(config.template)}:
        raise ConfigError(
            f"items.template: expected a place {{{SLOT}}} for enrichments, found '{config.template}'. Add it, or set "
            "enrichments.in_text to false."
        )
    return item_text(config.template, config.longest_text, F.col("said"))


def item_text(template: str, longest: int, enrichment: Column) -> Column:
    """The text that is encoded: the template filled (nothing for null), spaces and full stops single, cut to `longest`.

    Raises ConfigError for a field that the catalogue does not have.
    """
    parts: list[Column] = []
    for literal, field, _, _ in Formatter().parse(template):
        parts.append(F.lit(literal))
        if field is not None:
            value = enrichment if field == SLOT else F.col(_known(field))
            parts.append(F.coalesce(value.cast("string"), F.lit("")))
    single_spaces = F.regexp_replace(F.concat(*parts), r"\s+", " ")
    single_stops = F.regexp_replace(single_spaces, r"(?:\s*\.){2,}", ".")
    return F.substring(F.trim(F.regexp_replace(single_stops, r"^[\s.]+", "")), 1, longest)


def _known(field: str) -> str:
    if field not in CATALOGUE:
        raise ConfigError(
            f"items.template: expected fields of the catalogue ({', '.join(CATALOGUE)}), found '{field}'. "
            "Change the template in section items of the config."
        )
    return field
