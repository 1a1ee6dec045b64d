"""The card of a registered model: what it is, what it learned from, what it is for and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from nightrank.config import Config
from nightrank.models.artefact import Ranker

USE = """\
## Use
Scores one shopper and one item of a slate; nightrank compiles it every night into `rerank_weights`, one small row a
shopper. Only the shopper's part of the score is compiled: the engine's own order stays the base.

## Limits
- It was fitted to this shop's own logs and has no meaning for another's.
- Its figures here are of the nights that it was fitted and stopped on. What decides is the ledger `promotions`:
  searches that nothing behind the rows has seen. The alias `champion` only mirrors that ledger.
- It reads items through vectors of the encoder version above; those of another version do not fit.
- This registered model is an exported graph. nightrank itself reads the safetensors file, verified by its sha256.
"""


ENCODER_USE = """\
## Use
Token ids of a text, padded, to its unit vector. From the night after its own on, nightrank encodes items and queries
with it (the table `encoder_runs` decides; the alias `champion` only mirrors it).

## Limits
- It was fitted to this shop's own searches: what it knows of other words is what the encoder it was tuned from knew.
- It was judged on later searches and on items that training never saw; both had to be better. What it gains on known
  items is partly memory.
- This registered model is an exported graph without the tokenizer. nightrank itself reads the folder in its lake,
  verified by its sha256.
"""


def encoder_card(encoder_id: str, base_version: str, night: date, examples: int, figures: Mapping[str, float]) -> str:
    """The card of an encoder, as markdown. examples: takes learned from. figures: those it was judged by."""
    lines = [
        f"# Encoder of night {night}",
        "",
        f"- tuned from encoder version `{base_version}` on {examples} takes of searches",
        f"- sha256 of its folder `{encoder_id}`",
        "",
        *_table(figures),
        "",
        ENCODER_USE,
    ]
    return "\n".join(lines)


def model_card(
    config: Config,
    ranker: Ranker,
    ranker_id: str,
    night: date,
    examples: Mapping[str, int],
    figures: Mapping[str, float],
) -> str:
    """The card of a ranker, as markdown. examples: searches by fold. figures: those of training."""
    window = config.training_examples.window_nights
    first = night - timedelta(days=window - 1)
    counts = ", ".join(f"{name} {number}" for name, number in sorted(examples.items())) or "not told"
    lines = [
        f"# Ranker of night {night}",
        "",
        f"- trained on the searches of {window} nights, {first} to {night} (the last night only stops and judges)",
        f"- examples: {counts}",
        f"- code version `{ranker.code_version}`, tower of night {ranker.tower_night}",
        f"- encoder version `{ranker.encoder_version}`",
        *([f"- towers `{ranker.tower_id}`"] if ranker.tower_id else []),
        f"- sha256 `{ranker_id}`",
        "",
        *_table(figures),
        "",
        USE,
    ]
    return "\n".join(lines)


def _table(figures: Mapping[str, float]) -> list[str]:
    rows = (f"| {name} | {value:.6g} |" for name, value in sorted(figures.items()))
    return ["| figure | value |", "|---|---|", *rows]
