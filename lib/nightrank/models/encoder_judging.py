"""Whether a tuned encoder is to be taken over: searches later than all that it learned from, and items kept apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nightrank.models.bootstrap import Interval, difference_interval, sums_by_user
from nightrank.models.encoder import encoder_of
from nightrank.models.encoder_lessons import Lessons
from nightrank.models.retrieval import (
    Doubles,
    Ints,
    Takes,
    Vectors,
    above,
    ndcg_by_search,
    ranks,
    recall_by_search,
    robustness,
)
from nightrank.sections import EncoderConfig, EncoderRunsConfig

STANDING, TUNED = "standing", "tuned"


@dataclass(frozen=True)
class Found:
    """What one encoder finds: figures of each search [S], of each take of an item kept apart, and its steadiness."""

    ndcg: Doubles
    recall: Doubles
    unseen: Doubles
    tau: float


@dataclass(frozen=True)
class Verdict:
    """promoted, and why or why not. metrics: `<figure>_<standing or tuned>`, `<figure>_gain` and its 95 % bounds."""

    promoted: bool
    reason: str
    metrics: dict[str, float]


def judge(
    standing: EncoderConfig,
    tuned: EncoderConfig,
    lessons: Lessons,
    takes: Takes,
    settings: EncoderRunsConfig,
) -> Verdict:
    """The verdict on `takes`, of searches later than all that training saw, with vectors as the nights make them.

    Two paired differences must be above 0 with their lower 95 % bounds: nDCG@10 over the catalogue, drawn by query, and
    the AUC of the items that training was kept from, among themselves, drawn by item: few of them are wanted for a
    query, and among the first ten chance would decide. Without the second an encoder that has learned by heart which
    item belongs to which query would pass; it would help no new item, and what known items are taken together with is
    in item_neighbours.
    """
    apart = takes.where(lessons.unseen[takes.item])
    if not len(apart.item):
        return Verdict(False, "later searches took none of the items that were kept from training", {})
    old, new = (_found(one, lessons, takes, apart, settings) for one in (standing, tuned))
    first = np.flatnonzero(np.diff(takes.search, prepend=-1))
    gains = {
        "ndcg": paired_gain(takes.query[first], old.ndcg, new.ndcg, settings),
        "recall": paired_gain(takes.query[first], old.recall, new.recall, settings),
        "unseen_auc": paired_gain(apart.item, old.unseen, new.unseen, settings),
    }
    promoted, reason = decide(gains)
    return Verdict(promoted, reason, _metrics(old, new, gains))


def decide(gains: dict[str, Interval]) -> tuple[bool, str]:
    """Whether the tuned encoder is promoted, and why. gains: (value, lower, upper) of the differences by figure."""
    for figure, called in (("ndcg", "nDCG@10 over the catalogue"), ("unseen_auc", "AUC of items kept from training")):
        lower = gains[figure][1]
        if lower <= 0:
            return False, f"{called}: the lower bound of the difference is {lower:+.4f}, needed above 0"
    upper = gains["recall"][2]
    if upper < 0:
        return False, f"recall@100: the upper bound of the difference is {upper:+.4f}, needed at least 0"
    told = [f"{gains[figure][1]:+.4f}" for figure in ("ndcg", "unseen_auc")]
    return True, f"nDCG@10 over the catalogue at least {told[0]}, AUC of items kept from training at least {told[1]}"


def paired_gain(clusters: Ints, old: Doubles, new: Doubles, settings: EncoderRunsConfig) -> Interval:
    """(value, lower, upper) of new - old, figures of the same searches, drawn by cluster."""
    (_, before, weight), (_, after, _) = (sums_by_user(clusters, figures) for figures in (old, new))
    return difference_interval(after, before, weight, settings.bootstrap, settings.seed)


def _found(encoder: EncoderConfig, lessons: Lessons, takes: Takes, apart: Takes, settings: EncoderRunsConfig) -> Found:
    encode = encoder_of(encoder.model_copy(update={"threads": settings.threads}), settings.device)
    asked = np.unique(takes.query)
    items, texts = encode(list(lessons.item_texts)), [lessons.query_texts[n] for n in asked]
    queries: Vectors = np.zeros((len(lessons.query_texts), items.shape[1]), np.float32)
    queries[asked] = encode(texts)
    rank: Ints = ranks(queries, items, takes, np.ones(len(items), dtype=bool))
    return Found(
        ndcg=ndcg_by_search(rank, takes),
        recall=recall_by_search(rank, takes),
        unseen=above(ranks(queries, items, apart, lessons.unseen), int(lessons.unseen.sum())),
        tau=robustness(encode, texts, items, settings.seed),
    )


def _metrics(old: Found, new: Found, gains: dict[str, Interval]) -> dict[str, float]:
    found = {f"tau_{STANDING}": old.tau, f"tau_{TUNED}": new.tau}
    for name, one in ((STANDING, old), (TUNED, new)):
        figures = {"ndcg": one.ndcg, "recall": one.recall, "unseen_auc": one.unseen}
        found |= {f"{figure}_{name}": float(values.mean()) for figure, values in figures.items()}
    for figure, (value, lower, upper) in gains.items():
        found |= {f"{figure}_gain": value, f"{figure}_gain_lower": lower, f"{figure}_gain_upper": upper}
    return found
