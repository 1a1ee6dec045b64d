"""Whether enriched item texts find what searches took better than plain ones do: one encoder, two texts an item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nightrank.models.bootstrap import Interval
from nightrank.models.encoder import encoder_of
from nightrank.models.encoder_judging import paired_gain
from nightrank.models.retrieval import Doubles, Takes, Vectors, ndcg_by_search, ranks, recall_by_search
from nightrank.sections import EncoderConfig, EncoderRunsConfig

BETTER, WORSE, ALIKE = "better", "worse", "no difference"
PLAIN, ENRICHED = "plain", "enriched"


def judge_texts(
    encoders: tuple[EncoderConfig, EncoderConfig],
    queries: Sequence[str],
    plain: Sequence[str],
    enriched: Sequence[str],
    takes: Takes,
    settings: EncoderRunsConfig,
) -> tuple[str, dict[str, float]]:
    """BETTER, WORSE or ALIKE, and the figures: `<figure>_<plain or enriched>`, `<figure>_gain` and its 95 % bounds.

    encoders: of queries and of items. plain, enriched: the texts of the same items [I]; takes: of searches, by number
    of query and item. nDCG@10 and recall@100 over the catalogue, their paired differences drawn by query; nDCG@10
    decides.
    """
    ask, tell = (encoder_of(e.model_copy(update={"threads": settings.threads}), settings.device) for e in encoders)
    asked, distinct = ask(list(queries)), sorted({*plain, *enriched})
    place, vectors = {text: n for n, text in enumerate(distinct)}, tell(distinct)
    old, new = (_figures(asked, vectors[[place[text] for text in texts]], takes) for texts in (plain, enriched))
    first = np.flatnonzero(np.diff(takes.search, prepend=-1))
    gains = {name: paired_gain(takes.query[first], old[name], new[name], settings) for name in old}
    metrics = {f"{name}_{PLAIN}": float(values.mean()) for name, values in old.items()}
    metrics |= {f"{name}_{ENRICHED}": float(values.mean()) for name, values in new.items()}
    for name, (value, lower, upper) in gains.items():
        metrics |= {f"{name}_gain": value, f"{name}_gain_lower": lower, f"{name}_gain_upper": upper}
    return verdict(gains["ndcg"]), metrics


def verdict(gain: Interval) -> str:
    """What an interval (value, lower, upper) of enriched - plain says: one that holds 0 says nothing."""
    _, lower, upper = gain
    return BETTER if lower > 0 else WORSE if upper < 0 else ALIKE


def _figures(queries: Vectors, items: Vectors, takes: Takes) -> dict[str, Doubles]:
    rank = ranks(queries, items, takes, np.ones(len(items), dtype=bool))
    return {"ndcg": ndcg_by_search(rank, takes), "recall": recall_by_search(rank, takes)}
