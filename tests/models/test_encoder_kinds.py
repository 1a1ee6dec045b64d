"""Any BERT: tiny random models of each kind with tokenizers of each kind, in every pooling and precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizer,
    XLMRobertaConfig,
    XLMRobertaModel,
    XLMRobertaTokenizer,
)

from nightrank.errors import ConfigError
from nightrank.models.encoder import load_encoder

TEXTS = ["red shoe", "", "a red lamp of warm light " * 20, "红色 跑鞋 lamp", "LAMP red", "red shoe"]
SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ENGLISH = [*SPECIAL, "red", "shoe", "lamp", "warm", "light", "a", "of"]
CHINESE = [*SPECIAL, "红", "色", "跑", "鞋", "灯"]
LONGEST = 64


def save_bert(folder: Path, words: list[str]) -> None:
    BertTokenizer(vocab={word: n for n, word in enumerate(words)}).save_pretrained(folder)
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=LONGEST, **SIZES)).save_pretrained(folder)


def save_distilbert(folder: Path) -> None:
    BertTokenizer(vocab={word: n for n, word in enumerate(ENGLISH)}).save_pretrained(folder)
    sizes = {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2, "max_position_embeddings": LONGEST}
    DistilBertModel(DistilBertConfig(vocab_size=len(ENGLISH), **sizes)).save_pretrained(folder)


def save_roberta(folder: Path) -> None:
    """Byte pairs: whatever a text holds is known. Two places more than tokens."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=letters)
    )
    trained.model.save(str(folder))
    RobertaTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt")).save_pretrained(folder)
    config = RobertaConfig(vocab_size=trained.get_vocab_size(), max_position_embeddings=LONGEST + 2, **SIZES)
    RobertaModel(config).save_pretrained(folder)


def save_multilingual(folder: Path) -> None:
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(piece, -2.0) for piece in ("▁", "▁red", "▁shoe", "红", "色", "鞋", "灯", "ل", "а", "e", "d")]
    XLMRobertaTokenizer(vocab=pieces).save_pretrained(folder)
    config = XLMRobertaConfig(vocab_size=len(pieces) + 1, max_position_embeddings=LONGEST + 2, pad_token_id=1, **SIZES)
    XLMRobertaModel(config).save_pretrained(folder)


KINDS: dict[str, Callable[[Path], None]] = {
    "bert": lambda folder: save_bert(folder, ENGLISH),
    "chinese": lambda folder: save_bert(folder, CHINESE),
    "distilbert": save_distilbert,
    "roberta": save_roberta,
    "multilingual": save_multilingual,
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    KINDS[request.param](folder)
    return Path(folder)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_each_kind_gives_what_the_network_gives_alone(kind: Path, pooling: str) -> None:
    """By hand, one text at a time and so without padding, up to the longest text that the network takes."""
    encoder = load_encoder(str(kind), LONGEST, 1, "cpu", pooling)
    found = encoder(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        tokens = encoder.tokenizer(text, truncation=True, max_length=LONGEST, return_tensors="pt")
        with torch.no_grad():
            hidden = encoder.network(input_ids=tokens["input_ids"]).last_hidden_state[0].numpy()
        expected = hidden[0] if pooling == "cls" else hidden.mean(axis=0)
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


def test_one_token_more_than_the_network_has_places_for_is_refused(kind: Path) -> None:
    with pytest.raises(ConfigError, match="takes 64 tokens, found max_tokens: 65"):
        load_encoder(str(kind), LONGEST + 1, 1)


def test_unknown_tokens_are_counted(tmp_path: Path) -> None:
    save_bert(tmp_path, CHINESE)
    encoded = load_encoder(str(tmp_path), LONGEST, 1).encoded(["红色跑鞋", "red 灯", ""])
    # [CLS] and [SEP] are two tokens of each.
    assert encoded.tokens.tolist() == [6, 4, 2]
    assert encoded.unknown.tolist() == [0, 1, 0]


@pytest.mark.parametrize(("precision", "least"), [("bf16", 0.999), ("fp16", 0.9999), ("int8", 0.95)])
def test_other_precisions_are_near_float32(precision: str, least: float) -> None:
    texts = [
        "blue trail shoe",
        "Warm wool shirt. Alder & Co. Clothing > Shirts.",
        "lamp",
        "desk lamp with a warm light",
    ]
    exact, near = load_encoder(None, 256, 1)(texts), load_encoder(None, 256, 1, "cpu", "mean", precision)(texts)
    cosines = (exact * near).sum(axis=1)
    assert near.dtype == np.float32
    assert cosines.min() > least
    assert not np.array_equal(exact, near)
    np.testing.assert_allclose(np.linalg.norm(near, axis=1), 1.0, atol=1e-5)
