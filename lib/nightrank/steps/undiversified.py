"""The challenger's rows with boosts chosen by score alone, judged beside it: what diversity costs and gives."""

from __future__ import annotations

from dataclasses import replace

from nightrank.config import Config
from nightrank.models.report_card import UNDIVERSIFIED
from nightrank.steps.rankers import CHALLENGER, Contender


def with_undiversified(judges: list[Contender], config: Config) -> list[Contender]:
    """The judges and, where the settings ask for diversity, the challenger once more: its rows are made twice."""
    asked = config.rerank_weights.diversity or config.rerank_weights.boosts_per_brand
    again = [replace(judge, role=UNDIVERSIFIED) for judge in judges if judge.role == CHALLENGER]
    return [*judges, *again] if asked else judges


def settings_of(role: str, config: Config) -> Config:
    """The settings that rows in this role are made with."""
    if role != UNDIVERSIFIED:
        return config
    by_score = config.rerank_weights.model_copy(update={"diversity": 0.0, "boosts_per_brand": 0})
    return config.model_copy(update={"rerank_weights": by_score})
