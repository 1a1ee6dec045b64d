"""A BERT and its tokenizer from a local folder, checked, in the precision asked for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from nightrank.errors import ConfigError, ContractError


def load_network(folder: Path, precision: str, device: str) -> tuple[Any, Any]:
    """Tokenizer and network of any architecture that transformers knows, ready to compute on the device.

    Raises ContractError for files that do not fit each other or hold what cannot be computed with, and ConfigError for
    a precision that the device has not.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # it reports weights that a pooling layer lacks, and none is used
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        network = AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **local).eval()
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ContractError(f"Encoder '{folder}' cannot be loaded: {error} Name another folder.") from error
    _refuse_infinite_weights(network, folder)
    _refuse_another_tokenizer(tokenizer, network, folder)
    return tokenizer, _in_precision(network, precision, device).to(device)


def usable_tokens(network: Any) -> int:
    """How many tokens of a text the network has places for.

    RoBERTa and its kin number places from the padding's id on, so that their table has two rows that no token gets.
    """
    places = getattr(getattr(network, "embeddings", None), "position_embeddings", None)
    padding = getattr(places, "padding_idx", None)
    longest = int(network.config.max_position_embeddings)
    return longest if padding is None else longest - padding - 1


def _refuse_infinite_weights(network: Any, folder: Path) -> None:
    import torch

    wrong = [name for name, values in network.named_parameters() if not bool(torch.isfinite(values).all())]
    if wrong:
        raise ContractError(f"Encoder '{folder}' cannot be used: weights that are not finite: {', '.join(wrong[:5])}.")


def _refuse_another_tokenizer(tokenizer: Any, network: Any, folder: Path) -> None:
    known = network.get_input_embeddings().num_embeddings
    word, highest = max(tokenizer.get_vocab().items(), key=lambda entry: (entry[1], entry[0]))
    if highest >= known:
        raise ContractError(
            f"Encoder '{folder}' cannot be used: tokenizer: expected ids below {known}, as many as the weights have "
            f"embeddings, found {highest} ('{word}'). Bring the tokenizer that the weights were trained with."
        )


def _in_precision(network: Any, precision: str, device: str) -> Any:
    import torch

    if precision == "fp32":
        return network
    if precision != "int8":
        return network.to({"bf16": torch.bfloat16, "fp16": torch.float16}[precision])
    engines = [engine for engine in torch.backends.quantized.supported_engines if engine != "none"]
    if device != "cpu" or not engines:
        raise ConfigError(
            f"precision: expected fp32, bf16 or fp16 on {device}, found int8: it needs a CPU with one of torch's "
            f"quantisation engines, found {', '.join(engines) or 'none'}. Change item_embeddings.precision and "
            "query_embeddings.precision."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch moves this function to another package; what it computes stays
        # A scale for each output: with one for a whole layer MiniLM's vectors are half as near to float32's.
        scales = torch.ao.quantization.per_channel_dynamic_qconfig
        return torch.ao.quantization.quantize_dynamic(network, {torch.nn.Linear: scales})
