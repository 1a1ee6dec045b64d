"""What no encoder should be given: odd texts, torn files, models that do not fit; and a device that runs out."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from nightrank.errors import ConfigError, ContractError
from nightrank.models import encoder as encoders
from nightrank.models.encodable import encodable, longest_text
from nightrank.models.encoder import encoder_version, load_encoder
from nightrank.models.encoder_files import memory_needed_gb, refuse_too_large, weights_sha256
from nightrank.sections import EncoderConfig


@pytest.fixture
def folder(tiny_bert: Path, tmp_path: Path) -> Path:
    """A copy of the tiny BERT that a test may spoil."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "bert"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("red shoe", "red shoe"),
        (None, ""),
        ("red\x00shoe\x1b\x85", "red shoe  "),
        ("re\ud83dd", "re\ufffdd"),
        ("\udc00", "\ufffd"),
        ("re\u200bd\ufeff sh\u00adoe\u202e", "red shoe"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # without the joiner it would be another word
        ("👨‍👩‍👧 shoe", "👨‍👩‍👧 shoe"),
        ("نعل أحمر", "نعل أحمر"),
        ("a" * 65, "a" * 64),
    ],
)
def test_what_a_tokenizer_is_given(text: str | None, expected: str) -> None:
    assert encodable(text, 1) == expected


@pytest.mark.parametrize("text", ["", " \t\n", "\x00", "\ud800", "\u200b", "👟" * 50, "نعل"])
def test_odd_texts_have_vectors(tiny_bert: Path, text: str) -> None:
    vector = load_encoder(str(tiny_bert), 32, 1)([text, "red shoe"])
    np.testing.assert_allclose(np.linalg.norm(vector, axis=1), 1.0, atol=1e-6)


def test_blank_texts_are_the_empty_one(tiny_bert: Path) -> None:
    empty, blank, unseen = load_encoder(str(tiny_bert), 32, 1)(["", " \n\x00", "\u200b"])
    np.testing.assert_array_equal(empty, blank)
    np.testing.assert_array_equal(empty, unseen)


def test_five_megabytes_take_no_longer_than_what_counts_of_them(tiny_bert: Path) -> None:
    encoder = load_encoder(str(tiny_bert), 32, 1)
    long = "red shoe " * 600_000
    started = time.monotonic()
    found = encoder([long, "x" * 5_000_000, " " * 5_000_000])
    assert time.monotonic() - started < 1.0  # whole it takes the tokenizer several seconds
    np.testing.assert_array_equal(found[0], encoder([long[: longest_text(32)]])[0])


def test_a_text_without_tokens_gets_the_zero_vector(tiny_bert: Path) -> None:
    encoder = load_encoder(str(tiny_bert), 32, 1)
    encoded = encoders._encoded(encoder, [[], [2, 5, 3]])
    assert encoded.tokens.tolist() == [0, 3]
    np.testing.assert_array_equal(encoded.vectors[0], np.zeros(16, dtype=np.float32))
    assert np.linalg.norm(encoded.vectors[1]) == pytest.approx(1.0, abs=1e-6)


def test_torn_weights_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for torn in (whole[:-100], whole[:4], b"", b"\xff" * 100, (2).to_bytes(8, "little") + b"[]"):
        weights.write_bytes(torn)
        with pytest.raises(ContractError, match=r"model\.safetensors: expected a whole safetensors file"):
            load_encoder(str(folder), 32, 1)


def test_weights_with_another_sha256_are_refused(folder: Path) -> None:
    config = EncoderConfig(model=str(folder), sha256=weights_sha256(folder))
    assert encoder_version(config) == encoder_version(EncoderConfig(model=str(folder)))
    weights = folder / "model.safetensors"
    flipped = bytearray(weights.read_bytes())
    flipped[-1] ^= 1
    weights.write_bytes(flipped)
    with pytest.raises(ContractError, match=f"expected {config.sha256}, found {weights_sha256(folder)}"):
        encoder_version(config)


def test_a_tokenizer_with_more_words_than_the_weights_is_refused(folder: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=15, max_position_embeddings=64, **sizes)).save_pretrained(folder)
    with pytest.raises(ContractError, match=r"expected ids below 15, .* found 15 \('of'\)"):
        load_encoder(str(folder), 32, 1)


def test_a_model_larger_than_the_workers_memory_is_refused(folder: Path) -> None:
    needed = memory_needed_gb(folder)
    numbers = sum(values.numel() for values in load_encoder(str(folder), 32, 1).network.parameters())
    assert needed == pytest.approx(0.5 + 4 * numbers / 1e9)
    refuse_too_large(folder, needed, "free")
    with pytest.raises(ConfigError, match=r"it takes 0\.5 GB a worker, found 0\.1 GB \(worker_memory_gb\)"):
        load_encoder(str(folder), 32, 1, worker_memory_gb=0.1)


def test_int8_needs_a_cpu(folder: Path) -> None:
    with pytest.raises(ConfigError, match="expected fp32, bf16 or fp16 on cuda:0, found int8"):
        load_encoder(str(folder), 32, 1, "cuda:0", "mean", "int8")


def test_a_pass_that_does_not_fit_is_halved(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device that has memory for two texts at a time."""
    encoder = load_encoder(str(tiny_bert), 32, 1)
    texts = [f"red {'shoe ' * (n % 5)}" for n in range(11)]
    whole, computed, most = encoder(texts), [], 2
    pooled = encoders._pooled

    def small(ids: list[list[int]], one: encoders.Encoder) -> torch.Tensor:
        if len(ids) > most:
            raise torch.OutOfMemoryError
        computed.append(len(ids))
        return pooled(ids, one)

    monkeypatch.setattr(encoders, "_pooled", small)
    np.testing.assert_allclose(encoder(texts), whole, atol=1e-6)
    assert sum(computed) == len(texts)
    assert max(computed) == 2
    most = 0
    with pytest.raises(torch.OutOfMemoryError):
        encoder(texts)


def test_lists_that_are_read_ahead_are_the_same_in_order(tiny_bert: Path) -> None:
    """As beside a GPU, where a thread makes tokens of the next list; the copies to the device are left out."""
    encoder = load_encoder(str(tiny_bert), 32, 1)
    lists = [["red shoe", ""], [], ["blue lamp"], ["warm light", "a", "trail"]]
    read: list[int] = []

    def reading() -> object:
        for number, texts in enumerate(lists):
            read.append(number)
            yield texts

    ahead = encoders._each_ahead(encoder, reading())  # type: ignore[arg-type]  # a generator of lists
    first = next(ahead)
    assert read == [0, 1]
    found = [first, *ahead]
    for texts, encoded in zip(lists, found, strict=True):
        assert encoded.vectors.tobytes() == encoder(texts).tobytes()
