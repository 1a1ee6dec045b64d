"""A shop of a few words for the tests of encoder tuning: queries say in one word what items say in another.

An encoder of random weights cannot know which; one that is tuned on searches can, for items that it never saw too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nightrank.config import Config
from nightrank.models.batches import Columns
from nightrank.models.encoder_lessons import Lessons
from nightrank.models.retrieval import Takes
from nightrank.sections import EncoderConfig, EncoderRunsConfig, LakeConfig

NOUNS = ("kettle", "lamp", "shoe", "shirt", "blanket", "tent")
ASKED = ("pot", "light", "boots", "top", "bedding", "camping")
LOOKS = ("red", "blue", "warm", "soft", "small", "large", "old", "new")
ITEMS = 90
SETTINGS = EncoderRunsConfig(
    method="layers", top_layers=2, learning_rate=5e-3, batch=16, epochs=6, patience=6, hard_negatives=1,
    unseen_share=0.3, bootstrap=300,
)  # fmt: skip


def save_word_bert(folder: Path, layers: int = 2) -> Path:
    """The folder with a random BERT of 2 layers and 32 dims that knows the shop's words."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *NOUNS, *ASKED, *LOOKS)
    BertTokenizer(vocab={word: number for number, word in enumerate(words)}).save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=32, **sizes)).save_pretrained(folder)
    return folder


def config_of(lake: Path, encoder: Path, settings: EncoderRunsConfig = SETTINGS) -> Config:
    """Settings for the shop's encoder with the lake in a folder."""
    own = EncoderConfig(model=str(encoder), max_tokens=16, buckets=1)
    return Config(lake=LakeConfig(path=str(lake)), item_embeddings=own, query_embeddings=own, encoder_runs=settings)


def noun_of(item: int) -> int:
    """Which noun an item is called by."""
    return item % len(NOUNS)


def item_texts(wordless: bool = False) -> tuple[str, ...]:
    """The texts of the items; wordless: each has that of another, so that they say nothing of what it is."""
    draws = np.random.default_rng(1)
    texts = [f"{' '.join(draws.choice(LOOKS, 2, replace=False))} {NOUNS[noun_of(item)]}" for item in range(ITEMS)]
    return tuple(draws.permutation(texts)) if wordless else tuple(texts)


def searches(number: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(query, taken item, item that was looked at and not taken), each [number]: who asks for pots takes a kettle."""
    draws = np.random.default_rng(seed)
    query = draws.integers(len(ASKED), size=number)
    taken = draws.integers(ITEMS // len(NOUNS), size=number) * len(NOUNS) + query
    return query, taken, draws.integers(ITEMS, size=number)


def takes(number: int, seed: int) -> Takes:
    """A take a search."""
    query, taken, _ = searches(number, seed)
    return Takes(np.arange(number), query, taken, np.ones(number))


def lessons(texts: tuple[str, ...], number: int = 400) -> Lessons:
    """Lessons of so many searches; the ones whose item is kept apart are left out."""
    unseen = np.random.default_rng(2).random(ITEMS) < SETTINGS.unseen_share
    query, taken, hard = searches(number, seed=3)
    hard = np.where((hard % len(NOUNS) == query) | unseen[hard], -1, hard)
    kept = ~unseen[taken]
    columns: Columns = {
        "query_index": query[kept].astype(np.int32),
        "item_index": np.column_stack([taken, hard])[kept].astype(np.int32),
    }

    def examples() -> Iterator[Columns]:
        yield columns

    return Lessons(ASKED, texts, unseen, int(kept.sum()), examples, takes(60, seed=4))
