"""enrichment_runs: how well the encoder in force finds what searches took by plain texts and by enriched ones."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.nights import Night
from nightrank.steps.arrays import collect_arrays
from nightrank.steps.consent import not_forgotten
from nightrank.steps.encoder_lessons import SearchTakes, search_takes
from nightrank.steps.encoders import SKIPPED, with_encoder_in_force
from nightrank.steps.item_texts import enriched_text, plain_text, with_said
from nightrank.tables import ENRICHMENT_RUNS


def build_enrichment_runs(
    searches: DataFrame,
    items: DataFrame,
    enrichments: DataFrame,
    people: DataFrame,
    encoder_runs: DataFrame,
    night: Night,
    config: Config,
) -> DataFrame:
    """One row: status 'better', 'worse' or 'no difference' with its figures; or 'skipped' and why nothing was judged.

    searches: the nights that are judged on. enrichments: those that arrived before them, as an enrichment could only
    help searches after it. Both texts are judged whatever enrichments.in_text says: it is what the switch is set by.
    """
    from nightrank.models.encoder import encoder_version

    said = with_said(items, enrichments, config)
    takes = _judged_takes(not_forgotten(searches, people, F.to_date("ts")), said, night, config)
    enriched = _enriched_texts(said, takes.item_texts, config)
    config = with_encoder_in_force(encoder_runs, config)
    row: dict[str, Any] = {
        "encoder_version": encoder_version(config.item_embeddings),
        "items": len(takes.item_texts),
        "enriched_items": sum(one != other for one, other in zip(takes.item_texts, enriched, strict=True)),
        "searches": len(np.unique(takes.judged.search)),
    }
    row |= _why_not(row, config) or _judged(takes, enriched, config)
    values = tuple(map(row.get, ENRICHMENT_RUNS.columns.names))
    return searches.sparkSession.createDataFrame([values], ENRICHMENT_RUNS.columns)


def _judged_takes(searches: DataFrame, said: DataFrame, night: Night, config: Config) -> SearchTakes:
    """The takes of all searches, of items by their plain texts: two with one plain text are one."""
    texts = said.select("item_id", F.col("plain_hash").alias("content_hash"), plain_text(config.items).alias("text"))
    every = config.encoder_runs.model_copy(update={"judged_nights": config.enrichment_runs.judged_nights})
    return search_takes(searches, texts, night, config.model_copy(update={"encoder_runs": every}))


def _enriched_texts(said: DataFrame, plain: tuple[str, ...], config: Config) -> list[str]:
    """The enriched text of each item that has one, else its plain one."""
    most = config.encoder_runs.max_items
    texts = said.where("said IS NOT NULL").groupBy("plain_hash").agg(F.min(enriched_text(config.items)).alias("text"))
    # search_takes keeps the first `most` of all texts in this order: of the enriched ones more are not needed.
    sampled = texts.orderBy(F.xxhash64("plain_hash"), "plain_hash").limit(most)
    found = collect_arrays(sampled, most, "enriched texts", order=["plain_hash"])
    by_hash = dict(zip(found["plain_hash"], map(str, found["text"]), strict=True))
    return [by_hash.get(hashlib.sha256(text.encode()).hexdigest(), text) for text in plain]


def _why_not(row: dict[str, Any], config: Config) -> dict[str, str] | None:
    fewest = config.enrichment_runs.min_searches
    if not row["enriched_items"]:
        return {"status": SKIPPED, "reason": "no item had an enrichment before the searches that are judged on"}
    if row["searches"] < fewest:
        too_few = f"{row['searches']} searches with a take, fewer than enrichment_runs.min_searches = {fewest}"
        return {"status": SKIPPED, "reason": too_few}
    return None


def _judged(takes: SearchTakes, enriched: list[str], config: Config) -> dict[str, Any]:
    from nightrank.models.enrichment_judging import judge_texts

    encoders, texts = (config.query_embeddings, config.item_embeddings), (takes.item_texts, enriched)
    status, metrics = judge_texts(encoders, takes.query_texts, *texts, takes.judged, config.encoder_runs)
    bounds = f"[{metrics['ndcg_gain_lower']:+.4f}, {metrics['ndcg_gain_upper']:+.4f}]"
    return {"status": status, "reason": f"nDCG@10 over the catalogue: {metrics['ndcg_gain']:+.4f} {bounds}",
            "metrics": metrics}  # fmt: skip
