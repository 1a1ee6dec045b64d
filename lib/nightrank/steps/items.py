"""The catalogue as of the night: the newest good version of each item, its text and its facets."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.contract import STRINGS
from nightrank.nights import Night
from nightrank.sections import ItemsConfig
from nightrank.steps.item_ratings import category_rating, shrunk_rating
from nightrank.steps.item_texts import with_texts
from nightrank.steps.item_words import keywords, weighed_words, words_said
from nightrank.steps.once import evaluated_once
from nightrank.steps.price_tiers import category_prices, price_tier
from nightrank.steps.reasons import any_infinite, blank, finite, infinite, overlong, reasons
from nightrank.steps.text import levels, normalise_text
from nightrank.tables import CATALOGUE, ITEMS, RAW_ITEMS

FIGURES = ("price", "rating_mean")
KEYWORD, TIER = "keyword:", "tier:"
BELOW = " > "


def build_items(
    raw_items: DataFrame, items: DataFrame, enrichments: DataFrame, night: Night, config: Config
) -> DataFrame:
    """The table `items`: last night's catalogue with what arrived since; quarantined rows beside it.

    raw_items: RAW_ITEMS of the arrivals; items: the snapshot before. The newest accepted version of an item wins
    (updated_at, one without it being the oldest; then arrival; then a hash of its columns); a quarantined one replaces
    nothing. With items.full_catalogue only what arrived on run_date is taken, and only that stays. enrichments: what
    texts are to hold.

    source_file: the file that tonight's version came in; null where the version stood before. delivered_in: the files
    of all good versions that arrived, an entry each, whichever of them stands.
    """
    arrived = _judged(raw_items.filter(is_taken(night, config)), config)
    good = arrived.filter(F.size("reasons") == 0).drop("reasons")
    accepted = _completed(_standing(good, items, config), config)
    quarantined = arrived.filter(F.size("reasons") > 0)
    return (
        with_texts(accepted, enrichments, config)
        .withColumn("accepted", F.lit(True))
        .unionByName(quarantined.withColumn("accepted", F.lit(False)), allowMissingColumns=True)
        .select(*ITEMS.columns.names)
    )


def is_taken(night: Night, config: Config) -> Column:
    """Whether what arrived counts: a whole catalogue makes those that a bulk load finds before it void."""
    return F.col("arrived") == F.lit(night.run_date) if config.items.full_catalogue else F.lit(True)


def _judged(raw_items: DataFrame, config: Config) -> DataFrame:
    image, dims = F.col("image_embedding"), config.items.image_dims
    conditions = {
        "missing_key": blank("item_id", "title"),
        "overlong_id": overlong(config.events.longest_id, "item_id"),
        "not_finite": any_infinite(*FIGURES) | _is_broken(image),
        "impossible_price": F.col("price") < 0,
        "wrong_image_dims": F.size(image) != F.lit(dims) if dims else F.lit(False),
    }
    return (
        raw_items.select(*RAW_ITEMS.names)
        .withColumn("image_embedding", F.when(F.size(image) > 0, image))
        .withColumn("reasons", reasons(F.col("problems"), conditions))
        .withColumns({name: finite(F.col(name)) for name in FIGURES})
        .withColumn("image_embedding", F.when(~_is_broken(image), image))
        .drop("problems")
    )


def _is_broken(vector: Column) -> Column:
    """Whether a number of the vector is missing, NaN or infinite; null, at no cost, where there is none."""
    return F.exists(vector, lambda number: number.isNull() | infinite(number))


def _standing(good: DataFrame, items: DataFrame, config: Config) -> DataFrame:
    """The newest version of each item: CATALOGUE, its normalised words, and last night's tokens if they stay.

    kept: keywords, where what they are taken from is the same; kept_tier, where price and category are.

    One Exchange by item_id. Counts of words and figures of categories are taken from these rows as well, and as the
    whole version is one column that nothing looks into below the Exchange, they find it again (`ReusedExchange` in the
    plan): the catalogue is read, normalised and shuffled once.
    """
    known = items.withColumns({"arrived": F.col("run_date"), "last": _last_tokens(config)})
    versions = known.select(*CATALOGUE, "arrived", "last").unionByName(good, allowMissingColumns=True)
    order = F.struct("updated_at", "arrived", F.sha2(F.to_json(F.struct(*CATALOGUE)), 256), "source_file")
    if config.items.full_catalogue:
        order = F.when(F.col("last").isNull(), order)
    told = [name for name in (*CATALOGUE, "source_file") if name != "item_id"]
    version = F.struct(*told, *_normalised(config), _content(config))
    newest = versions.groupBy("item_id").agg(
        F.max_by(version, order).alias("version"),
        F.max("last").alias("last"),
        F.array_sort(F.collect_list("source_file")).alias("delivered_in"),
    )
    kept = F.struct("version", "last", "delivered_in")
    standing = newest.where(F.col("version").isNotNull()).select("item_id", evaluated_once(kept))
    unchanged = F.col("last.content") == F.col("version.content")
    keywords_kept = F.when(unchanged, F.col("last.keywords")).alias("kept")
    as_dear = F.col("last.price_and_path") == F.struct("version.price", "version.category")
    tier_kept = F.when(as_dear, F.col("last.tier")).alias("kept_tier")
    return standing.select("item_id", "version.*", "delivered_in", keywords_kept, tier_kept)


def _completed(standing: DataFrame, config: Config) -> DataFrame:
    """CATALOGUE, rating_shrunk, facets and no reasons."""
    return (
        standing.join(weighed_words(standing, config), on="item_id", how="left")
        .join(F.broadcast(_categories(standing)), on="shelf", how="left")
        .withColumns({"rating_shrunk": shrunk_rating(config.items.rating_prior_count), "keywords": keywords()})
        .withColumn("tier", F.coalesce("kept_tier", price_tier(config.items.tier_least_items)))
        .withColumns({"facets": facets(config.items), "reasons": F.array().cast(STRINGS)})
    )


def _categories(standing: DataFrame) -> DataFrame:
    """What is usual in each category, the whole path being the category: shelf, category_rating, category_prices."""
    return standing.groupBy("shelf").agg(category_rating(), *category_prices())


def _normalised(config: Config) -> list[Column]:
    path = levels(F.col("category"), config.words)
    return [
        normalise_text(F.col("brand"), config.words).alias("maker"),
        normalise_text(F.col("seller"), config.words).alias("shop"),
        path.alias("path"),
        F.array_join(F.coalesce(path, F.array()), BELOW).alias("shelf"),
        words_said(config).alias("said"),
    ]


def _content(config: Config) -> Column:
    """What keywords are taken from."""
    names = ("title", "description") if config.items.keyword_description_weight else ("title",)
    return F.array(*[F.coalesce(name, F.lit("")) for name in names]).alias("content")


def _last_tokens(config: Config) -> Column:
    """Keywords and tier of a row of last night's snapshot, and what each was made of: content, price_and_path."""
    words, tiers = (_named(kind) for kind in (KEYWORD, TIER))
    made_of = F.struct("price", "category").alias("price_and_path")
    return F.struct(_content(config), words.alias("keywords"), made_of, F.get(tiers, F.lit(0)).alias("tier"))


def _named(kind: str) -> Column:
    """What the facets of a kind name."""
    told = F.filter("facets", lambda token: token.startswith(kind))
    return F.transform(told, lambda token: F.regexp_replace(token, f"^{kind}", ""))


def facets(config: ItemsConfig) -> Column:
    """The sorted distinct readable tokens of an item: of every level of its category one.

    Of maker, path, price, shop, keywords and tier. The price band is floor(log2(price) * bands a doubling): nothing is
    fitted, so bands never move between versions of the codes. A free item has none.
    """
    prefixes = F.transform("path", lambda _, at: F.array_join(F.slice("path", 1, at + 1), BELOW))
    band = F.floor(F.log2("price") * config.price_bands_per_doubling).cast("string")
    tokens = F.flatten(
        F.array(
            _tokens("brand", F.array("maker")),
            _tokens("category", prefixes),
            _tokens("price", F.array(band)),
            _tokens("seller", F.array("shop")),
            _tokens("keyword", F.col("keywords")),
            _tokens("tier", F.array("tier")),
        )
    )
    return F.array_sort(F.array_distinct(tokens))


def _tokens(kind: str, values: Column) -> Column:
    filled = F.filter(F.coalesce(values, F.array().cast("array<string>")), lambda value: F.length(value) > 0)
    return F.transform(filled, lambda value: F.concat(F.lit(f"{kind}:"), value))
