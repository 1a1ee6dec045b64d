"""The whole stage on a shop of a few words: both texts of each item, searches later than the enrichments."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from hashlib import sha256

import pytest
from pyspark.sql import DataFrame, SparkSession

import encoder_shop
from nightrank.config import Config
from nightrank.models.encoder import encoder_version
from nightrank.nights import ordinary_night
from nightrank.spans import Span, enrichments_before_judged, judged_by_enrichments
from nightrank.steps.enrichment_runs import build_enrichment_runs
from nightrank.tables import ENCODER_RUNS, ENRICHMENT_RUNS, ENRICHMENTS, ITEMS, PEOPLE, SEARCHES

TONIGHT = date(2026, 3, 20)
NIGHT = ordinary_night(TONIGHT, ())
SEARCHED = 120


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("enriched")
    config = encoder_shop.config_of(folder / "lake", encoder_shop.save_word_bert(folder / "bert"))
    source = config.source.model_copy(update={"enrichments": "e"})
    return config.model_copy(update={"source": source})


def searches(spark: SparkSession, number: int) -> DataFrame:
    rows = []
    for n, (query, taken) in enumerate(zip(*encoder_shop.searches(number, seed=4)[:2], strict=True)):
        day, words = TONIGHT - timedelta(days=n % 3), encoder_shop.ASKED[query]
        at, slate = datetime(day.year, day.month, day.day, 9), [(f"i{taken}", 1, 1.0, False, 1.0, 1.0)]
        rows.append((day, f"q{n}", at, "u", words, slate, "s", "desktop", None, False, words, None, [], True))
    return spark.createDataFrame(rows, SEARCHES.schema)


def build(spark: SparkSession, config: Config, number: int) -> DataFrame:
    """Of every third item nothing is written, of the others the word that they are searched by, four times."""
    texts = [f"{text}." for text in encoder_shop.item_texts()]
    hashes = [sha256(text.encode()).hexdigest() for text in texts]
    base = {**dict.fromkeys(ITEMS.schema.names), "run_date": TONIGHT}
    catalogue = [
        tuple({**base, "item_id": f"i{n}", "title": text, "plain_hash": of}.values())
        for n, (text, of) in enumerate(zip(texts, hashes, strict=True))
    ]
    words = [" ".join([encoder_shop.ASKED[encoder_shop.noun_of(n)]] * 4) for n in range(len(texts))]
    told = {of: words[n] for n, of in enumerate(hashes) if n % 3}
    made = datetime(2026, 1, 1)
    return build_enrichment_runs(
        searches=searches(spark, number),
        items=spark.createDataFrame(catalogue, ITEMS.schema),
        enrichments=spark.createDataFrame(
            [(made.date(), of, said, "m", "1", made, [], True) for of, said in sorted(told.items())],
            ENRICHMENTS.schema,
        ),
        people=spark.createDataFrame([], PEOPLE.schema),
        encoder_runs=spark.createDataFrame([], ENCODER_RUNS.schema),
        night=NIGHT,
        config=config,
    )


def test_enriched_texts_are_judged_beside_plain_ones(spark: SparkSession, shop: Config) -> None:
    (row,) = ENRICHMENT_RUNS.conform(build(spark, shop, SEARCHED)).collect()
    texts = encoder_shop.item_texts()
    enriched = {text for n, text in enumerate(texts) if n % 3}
    assert (row.items, row.enriched_items, row.searches) == (len(set(texts)), len(enriched), SEARCHED)
    assert row.encoder_version == encoder_version(shop.item_embeddings)
    assert (row.status, row.metrics["ndcg_gain_lower"] > 0) == ("better", True)
    assert row.reason.startswith(f"nDCG@10 over the catalogue: {row.metrics['ndcg_gain']:+.4f} [")


def test_too_few_searches_judge_nothing(spark: SparkSession, shop: Config) -> None:
    (row,) = build(spark, shop, 3).collect()
    said = "3 searches with a take, fewer than enrichment_runs.min_searches = 100"
    assert (row.status, row.reason, row.metrics) == ("skipped", said, None)


def test_no_enrichment_of_the_judged_nights_counts(shop: Config) -> None:
    judged = judged_by_enrichments(NIGHT, shop)
    assert judged == Span(date(2026, 3, 14), TONIGHT)
    assert enrichments_before_judged(NIGHT, shop) == Span(date(1970, 1, 1), date(2026, 3, 13))
