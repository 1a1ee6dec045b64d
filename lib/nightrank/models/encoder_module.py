"""The encoder while it learns: the network, what of it is trained, and vectors with a gradient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nightrank.errors import ConfigError
from nightrank.models.encodable import encodable
from nightrank.models.encoder_files import encoder_folder
from nightrank.models.lora import add_lora, top_layers_of, unfreeze
from nightrank.sections import EncoderConfig, EncoderRunsConfig

# What goes into the layers that are trained is kept for so many tokens: 2 GB where the network is 384 wide.
KEPT_TOKENS = 1_300_000
TEXTS_PER_PASS = 64
_LOCAL = {"local_files_only": True, "trust_remote_code": False}


class TextEncoder(nn.Module):  # type: ignore[misc]  # torch is not type-checked
    """Unit vectors of texts, pooled from their tokens' last hidden states, as models/encoder.py makes them.

    Only texts of one length share a pass, so that nothing is padded or masked. The layers below those that are trained
    never change: what they make of an item's text is worked out once.
    offset: the cosine from which on the pointwise head takes an item for wanted; it is learned and not exported.
    """

    def __init__(self, network: nn.Module, tokenizer: Any, encoder: EncoderConfig, device: str, trained: int) -> None:
        super().__init__()
        self.network, self.tokenizer, self.device = network.to(device), tokenizer, device
        self.max_tokens, self.pooling = encoder.max_tokens, encoder.pooling
        self.top = top_layers_of(network, trained)
        self.offset = nn.Parameter(torch.tensor(0.5, device=device))
        self.kept: dict[tuple[int, ...], Tensor] = {}

    def tokens(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The token ids of each text, cut at max_tokens."""
        told = [encodable(text, self.max_tokens) for text in texts]
        found = self.tokenizer(told, truncation=True, max_length=self.max_tokens)["input_ids"] if told else []
        return [tuple(ids) for ids in found]

    def forward(self, texts: Sequence[tuple[int, ...]]) -> Tensor:
        """[n, dims] of the token ids of n texts; which texts share a pass depends on the list alone."""
        passes = list(_of_one_length(texts))
        hidden = [self.last_hidden([texts[row] for row in rows]) for rows in passes]
        pooled = [states[:, 0] if self.pooling == "cls" else states.mean(dim=1) for states in hidden]
        order = torch.tensor([row for rows in passes for row in rows])
        return nn.functional.normalize(torch.cat(pooled), dim=1)[order.argsort().to(self.device)]

    def last_hidden(self, texts: list[tuple[int, ...]]) -> Tensor:
        """[n, tokens, dims]: the last hidden states of n texts of one length."""
        known = [self.kept.get(ids) for ids in texts]
        missing = [n for n, hidden in enumerate(known) if hidden is None]
        if missing:
            for n, hidden in zip(missing, self._frozen_part([texts[n] for n in missing]), strict=True):
                known[n] = hidden
        hidden = torch.stack([one for one in known if one is not None])
        for layer in self.top:
            hidden = layer(hidden)
        return hidden

    def keep(self, texts: Sequence[tuple[int, ...]]) -> None:
        """Works out once what goes into the trained layers for these texts, as far as memory is set aside for it."""
        lengths = np.cumsum([len(ids) for ids in texts])
        wanted = list(texts[: int(np.searchsorted(lengths, KEPT_TOKENS, side="right"))])
        for rows in _of_one_length(wanted):
            own = [wanted[row] for row in rows]
            self.kept |= dict(zip(own, self._frozen_part(own), strict=True))

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that learn, by name."""
        return {name: values for name, values in self.named_parameters() if values.requires_grad}

    def _frozen_part(self, texts: list[tuple[int, ...]]) -> Tensor:
        """[n, tokens, dims]: what goes into the first trained layer, of n texts of one length."""
        with torch.no_grad():
            ids = torch.tensor(texts, device=self.device)
            states = self.network(input_ids=ids, output_hidden_states=True).hidden_states
        found: Tensor = states[-1 - len(self.top)]
        return found


class TokenVectors(nn.Module):  # type: ignore[misc]  # torch is not type-checked
    """The encoder of a folder as a graph: unit vectors [n, dims] of token ids int64 [n, tokens], padded to `tokens`."""

    def __init__(self, folder: Path, encoder: EncoderConfig) -> None:
        super().__init__()
        self.network, self.tokens, self.pooling = _network(folder), encoder.max_tokens, encoder.pooling
        padding = self.network.config.pad_token_id
        self.padding = 0 if padding is None else int(padding)

    def forward(self, ids: Tensor) -> Tensor:
        """[n, dims]."""
        mask = ids != self.padding
        hidden = self.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        if self.pooling == "cls":
            return nn.functional.normalize(hidden[:, 0], dim=1)
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return nn.functional.normalize((hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1.0), dim=1)

    def example(self) -> NDArray[np.int64]:
        """Two texts of one token: one text would be exported as a constant size."""
        ids = np.full((2, self.tokens), self.padding, np.int64)
        ids[:, 0] = self.padding + 1
        return ids


def text_encoder(encoder: EncoderConfig, settings: EncoderRunsConfig) -> TextEncoder:
    """The configured encoder, with what encoder_runs trains of it; nothing is downloaded or run from its folder.

    In evaluation mode throughout: without dropout the same examples give the same bits, also after a resume.
    """
    from transformers import AutoTokenizer

    folder = encoder_folder(encoder.model)
    network = _network(folder)
    layers = network.config.num_hidden_layers
    if settings.top_layers > layers:
        raise ConfigError(f"encoder_runs.top_layers: expected at most {layers}, as '{folder}' has, found more.")
    top = top_layers_of(network, settings.top_layers)
    if settings.method == "lora":
        add_lora(network, top, settings.lora_rank, settings.lora_scale, settings.seed)
    else:
        unfreeze(network, top)
    tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
    model: TextEncoder = TextEncoder(network, tokenizer, encoder, settings.device, settings.top_layers)
    model.eval()
    _refuse_other_layouts(model, folder)
    return model


def _refuse_other_layouts(model: TextEncoder, folder: Path) -> None:
    """Raises ConfigError where the last layers, one after another, do not give what the network gives."""
    ids = model.tokens(["any text"])
    with torch.no_grad():
        expected = model.network(input_ids=torch.tensor(ids, device=model.device)).last_hidden_state
        try:
            same = bool(torch.allclose(model.last_hidden(ids), expected, atol=1e-4))
        except (TypeError, AttributeError, ValueError):  # layers that take or give something else
            same = False
    if not same:
        raise ConfigError(
            f"Encoder '{folder}' cannot be tuned: expected layers as of BERT, RoBERTa or DistilBERT, found those of a "
            f"{type(model.network).__name__}. Name another encoder."
        )


def _network(folder: Path) -> Any:
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **_LOCAL).eval()


def _of_one_length(texts: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
    """The rows of texts of one length, at most TEXTS_PER_PASS at a time, shortest first."""
    groups: dict[int, list[int]] = defaultdict(list)
    for row, ids in enumerate(texts):
        groups[len(ids)].append(row)
    for length in sorted(groups):
        for start in range(0, len(groups[length]), TEXTS_PER_PASS):
            yield groups[length][start : start + TEXTS_PER_PASS]
