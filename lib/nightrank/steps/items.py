"""The catalogue as of the night: the newest good version of each item, its text and its facets."""

from __future__ import annotations

from string import Formatter

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.errors import ConfigError
from nightrank.nights import Night
from nightrank.sections import ItemsConfig
from nightrank.steps.reasons import any_infinite, blank, finite, overlong, reasons
from nightrank.steps.text import keywords, levels, normalise_text
from nightrank.tables import CATALOGUE, ITEMS, RAW_ITEMS

FIGURES = ("price", "rating_mean")


def build_items(raw_items: DataFrame, items: DataFrame, night: Night, config: Config) -> DataFrame:
    """The table `items`: last night's catalogue with what arrived since; quarantined rows beside it.

    raw_items: RAW_ITEMS of the arrivals; items: the snapshot before. The newest accepted version of an item wins
    (updated_at, one without it being the oldest; then arrival; then a hash of its columns); a quarantined one replaces
    nothing. With items.full_catalogue only what arrived on run_date stays.
    """
    arrived = _judged(raw_items, config)
    known = items.select(*CATALOGUE, F.col("run_date").alias("arrived"))
    good = arrived.filter(F.size("reasons") == 0).drop("reasons")
    if config.items.full_catalogue:
        newest = _newest(good.filter(F.col("arrived") == F.lit(night.run_date)))
    else:
        newest = _newest(known.unionByName(good))
    accepted = newest.withColumn("reasons", F.array().cast("array<string>"))
    quarantined = arrived.filter(F.size("reasons") > 0)
    return _described(accepted.unionByName(quarantined), config.items).select(*ITEMS.columns.names)


def _judged(raw_items: DataFrame, config: Config) -> DataFrame:
    conditions = {
        "missing_key": blank("item_id", "title"),
        "overlong_id": overlong(config.events.longest_id, "item_id"),
        "not_finite": any_infinite(*FIGURES) | F.exists("image_embedding", F.isnan),
        "impossible_price": F.col("price") < 0,
    }
    vector = F.col("image_embedding")
    return (
        raw_items.select(*RAW_ITEMS.names)
        .withColumn("reasons", reasons(F.col("problems"), conditions))
        .withColumns({name: finite(F.col(name)) for name in FIGURES})
        .withColumn("image_embedding", F.when(~F.exists(vector, F.isnan), vector))
        .drop("problems")
    )


def _newest(versions: DataFrame) -> DataFrame:
    told = F.sha2(F.to_json(F.struct(*CATALOGUE)), 256)
    order = Window.partitionBy("item_id").orderBy(
        F.col("updated_at").desc_nulls_last(), F.col("arrived").desc(), told.desc()
    )
    return versions.withColumn("_age", F.row_number().over(order)).filter("_age = 1").drop("_age")


def _described(items: DataFrame, config: ItemsConfig) -> DataFrame:
    accepted = F.size("reasons") == 0
    return (
        items.withColumn("accepted", accepted)
        .withColumn("text", F.when(accepted, item_text(config.template, config.longest_text)))
        .withColumn("facets", F.when(accepted, facets(config)))
        .withColumn("content_hash", F.sha2("text", 256))
    )


def item_text(template: str, longest: int) -> Column:
    """The text that is encoded: the template filled (nothing for null), spaces and full stops single, cut to `longest`.

    Raises ConfigError for a field that the catalogue does not have.
    """
    parts: list[Column] = []
    for literal, field, _, _ in Formatter().parse(template):
        parts.append(F.lit(literal))
        if field is not None:
            parts.append(F.coalesce(F.col(_known(field)).cast("string"), F.lit("")))
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


def facets(config: ItemsConfig) -> Column:
    """The sorted distinct readable tokens of an item: brand, every level of its category, price band, seller, keywords.

    The price band is floor(log2(price) * bands a doubling): nothing is fitted, so bands never move between versions of
    the codes. A free item has none.
    """
    path = levels(F.col("category"))
    prefixes = F.transform(path, lambda _, at: F.array_join(F.slice(path, 1, at + 1), " > "))
    band = F.floor(F.log2("price") * config.price_bands_per_doubling).cast("string")
    words = keywords(F.col("title"), config.keywords, config.stop_words)
    tokens = F.flatten(
        F.array(
            _tokens("brand", F.array(normalise_text(F.col("brand")))),
            _tokens("category", prefixes),
            _tokens("price", F.array(band)),
            _tokens("seller", F.array(normalise_text(F.col("seller")))),
            _tokens("keyword", words),
        )
    )
    return F.array_sort(F.array_distinct(tokens))


def _tokens(kind: str, values: Column) -> Column:
    filled = F.filter(F.coalesce(values, F.array().cast("array<string>")), lambda value: F.length(value) > 0)
    return F.transform(filled, lambda value: F.concat(F.lit(f"{kind}:"), value))
