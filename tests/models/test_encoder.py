"""The encoder: the same list gives the same bits, a text's vector is its own, and only safe local folders load."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from nightrank.errors import ConfigError, ContractError, InputMissingError
from nightrank.models import encoder
from nightrank.models.encoder import Encoder, encoder_folder, encoder_version, load_encoder
from nightrank.sections import EncoderConfig

TEXTS = [
    "blue trail shoe",
    "",
    "Warm wool shirt. Alder & Co. Clothing > Shirts. Soft, for cold mornings; washes at 30 °C.",
    "lamp",
    "light " * 2000,
    "日本語のタイトル 👟",
    "blue trail shoe",
]


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return load_encoder(None, 256, 1)


@pytest.fixture
def folder(tiny_bert: Path, tmp_path: Path) -> Path:
    """A copy of the tiny BERT that a test may spoil."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "bert"))


def test_same_list_same_bits(minilm: Encoder) -> None:
    once, again = minilm(TEXTS), minilm(TEXTS)
    assert once.dtype == np.float32
    assert once.shape == (len(TEXTS), 384)
    assert once.tobytes() == again.tobytes()


def test_every_vector_has_length_1_also_of_the_empty_and_the_longest_text(minilm: Encoder) -> None:
    np.testing.assert_allclose(np.linalg.norm(minilm(TEXTS), axis=1), 1.0, atol=1e-6)


def test_a_vector_does_not_depend_on_the_texts_beside_it_or_on_their_order(minilm: Encoder) -> None:
    together = minilm(TEXTS)
    alone = np.concatenate([minilm([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together, minilm(TEXTS[::-1])[::-1], atol=1e-5)


def test_no_texts_no_vectors(minilm: Encoder) -> None:
    assert minilm([]).shape == (0, 384)


def test_vectors_are_the_means_over_a_texts_own_tokens(minilm: Encoder) -> None:
    """By hand, one text at a time and so without padding: mean of the last hidden states, divided by its length."""
    where = encoder_folder(None)
    tokenizer, network = AutoTokenizer.from_pretrained(where), AutoModel.from_pretrained(where).eval()
    for text, vector in zip(TEXTS, minilm(TEXTS), strict=True):
        tokens = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            mean = network(**tokens).last_hidden_state[0].mean(dim=0).numpy()
        assert vector @ mean / np.linalg.norm(mean) > 0.99999


def test_like_texts_are_near(minilm: Encoder) -> None:
    shoe, sneaker, lamp = minilm(["running shoe", "sneaker for jogging", "desk lamp with a warm light"])
    assert shoe @ sneaker > shoe @ lamp + 0.2


def test_tokens_after_the_limit_change_nothing(tiny_bert: Path) -> None:
    # 6 tokens: [CLS], 4 words, [SEP].
    vectors = load_encoder(str(tiny_bert), 6, 1)(["red red red red", "red red red red blue", "red red red blue"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3


def test_passes_hold_no_more_padded_tokens_than_allowed() -> None:
    # Lengths 2, 2, 3 fit into 9 padded tokens (3 × 3); with the 5 it would be 20; 30 is alone, though too long.
    assert list(encoder._passes([5, 2, 30, 3, 2], 9)) == [[1, 4, 3], [0], [2]]
    assert list(encoder._passes([0, 2, 0], 9)) == [[1]]
    assert list(encoder._passes([0], 9)) == []


def test_a_vector_that_is_not_finite_becomes_zero(tiny_bert: Path) -> None:
    vectors = load_encoder(str(tiny_bert), 64, 1)
    row = vectors.network.get_input_embeddings().weight
    with torch.no_grad():
        red, row[5] = row[5].clone(), float("nan")  # the sixth word: red
    try:
        found = vectors(["red shoe", "blue shoe"])
    finally:
        with torch.no_grad():
            row[5] = red
    np.testing.assert_array_equal(found[0], np.zeros(16, dtype=np.float32))
    assert np.linalg.norm(found[1]) == pytest.approx(1.0, abs=1e-6)


def test_a_model_is_loaded_once(tiny_bert: Path) -> None:
    assert load_encoder(str(tiny_bert), 32, 1) is load_encoder(str(tiny_bert), 32, 1)


# MB that the process gives back when it encodes, after 80 MB were freed between blocks that stay in use.
GIVEN_BACK = """
import ctypes, platform, sys
from nightrank.models.encoder import load_encoder
encoder = load_encoder(sys.argv[1], 16, 1)
encoder(["lamp"])
def held():
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("RssAnon"))
if platform.libc_ver()[0] != "glibc":
    sys.exit("no glibc to ask")
blocks = [bytearray(b"x" * 100_000) for _ in range(1600)]
del blocks[::2]
before = held()
encoder(["lamp"])
print(before - held())
"""


def test_freed_memory_is_given_back(tiny_bert: Path) -> None:
    told = subprocess.run([sys.executable, "-c", GIVEN_BACK, tiny_bert], capture_output=True, text=True, check=False)
    if "no glibc" in told.stderr:
        pytest.skip("another C library than glibc")
    assert float(told.stdout) > 20, told.stderr


def test_version_changes_with_whatever_vectors_depend_on(folder: Path) -> None:
    plain = encoder_version(EncoderConfig(model=str(folder)))
    assert len(plain) == 12
    assert plain == encoder_version(EncoderConfig(model=str(folder), tokens_per_batch=1, buckets=1, tasks=1, threads=2))
    others = [{"max_tokens": 16}, {"pooling": "cls"}, {"precision": "bf16"}, {"precision": "int8"}]
    versions = {encoder_version(EncoderConfig.model_validate({"model": str(folder), **other})) for other in others}
    assert len({plain, *versions}) == 5
    vocabulary = folder / "tokenizer.json"
    vocabulary.write_text(vocabulary.read_text().replace('"lamp"', '"desk"'))
    other_words = encoder_version(EncoderConfig(model=str(folder)))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert len({plain, other_words, encoder_version(EncoderConfig(model=str(folder)))}) == 3


def test_version_does_not_depend_on_where_the_folder_lies(tiny_bert: Path, folder: Path) -> None:
    assert encoder_version(EncoderConfig(model=str(tiny_bert))) == encoder_version(EncoderConfig(model=str(folder)))


def test_version_needs_no_torch() -> None:
    script = (
        "import sys; from nightrank.models.encoder import encoder_version;"
        "from nightrank.sections import EncoderConfig;"
        "encoder_version(EncoderConfig()); sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ContractError, match=r"expected \*\.safetensors, found pytorch_model\.bin"):
        load_encoder(str(folder), 64, 1)
    with pytest.raises(ContractError, match="never read"):
        encoder_version(EncoderConfig(model=str(folder)))


def test_a_folder_that_wants_to_run_its_own_code_is_refused(folder: Path) -> None:
    settings = folder / "config.json"
    own_code = '"auto_map": {"AutoModel": "own.Model", "AutoConfig": "own.Config"}, "model_type": "own"'
    settings.write_text(settings.read_text().replace('"model_type": "bert"', own_code))
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")
    with pytest.raises(ContractError, match="cannot be loaded"):
        load_encoder(str(folder), 64, 1)
    assert not (folder / "ran").exists()


def test_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    network = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        network.get_input_embeddings().weight[3] = float("inf")
    network.save_pretrained(folder)
    with pytest.raises(ContractError, match=r"not finite: embeddings\.word_embeddings\.weight"):
        load_encoder(str(folder), 64, 1)


def test_a_missing_folder_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match=r"config\.json"):
        encoder_version(EncoderConfig(model=str(tmp_path / "nowhere")))


def test_more_tokens_than_the_network_takes_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="takes 64 tokens, found max_tokens: 65"):
        load_encoder(str(folder), 65, 1)
