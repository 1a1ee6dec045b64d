"""Two texts an item, one encoder: what is gained where queries ask for what only an enrichment says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import encoder_shop
from nightrank.models.enrichment_judging import judge_texts, verdict
from nightrank.sections import EncoderConfig


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> EncoderConfig:
    """Random weights: texts of the same words are near each other, and nothing else is known."""
    folder: Path = encoder_shop.save_word_bert(tmp_path_factory.mktemp("bert"))
    return EncoderConfig(model=str(folder), max_tokens=16)


def test_words_that_are_asked_for_are_found_and_noise_is_not(encoder: EncoderConfig) -> None:
    texts = encoder_shop.item_texts()
    told = [encoder_shop.ASKED[encoder_shop.noun_of(item)] for item in range(encoder_shop.ITEMS)]
    takes = encoder_shop.takes(200, seed=5)

    def judged(plain: list[str], enriched: list[str]) -> tuple[str, dict[str, float]]:
        return judge_texts((encoder, encoder), encoder_shop.ASKED, plain, enriched, takes, encoder_shop.SETTINGS)

    plain = list(texts)
    status, metrics = judged(plain, told)
    assert status == "better"
    assert metrics["ndcg_enriched"] - metrics["ndcg_plain"] == pytest.approx(metrics["ndcg_gain"])
    assert 0 < metrics["ndcg_gain_lower"] < metrics["ndcg_gain"] < metrics["ndcg_gain_upper"]
    turned, negative = judged(told, plain)
    assert (turned, negative["ndcg_gain"]) == ("worse", pytest.approx(-metrics["ndcg_gain"]))
    same, none = judged(plain, plain)
    assert same == "no difference"
    assert not any(none[name] for name in none if "gain" in name)
    assert np.isfinite(list(metrics.values())).all()


@pytest.mark.parametrize(
    ("gain", "said"),
    [((0.1, 0.01, 0.2), "better"), ((0.1, 0.0, 0.2), "no difference"), ((-0.1, -0.2, -0.01), "worse")],
)
def test_an_interval_that_holds_nothing_says_nothing(gain: tuple[float, float, float], said: str) -> None:
    assert verdict(gain) == said
