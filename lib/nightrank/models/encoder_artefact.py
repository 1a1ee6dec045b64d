"""A tuned encoder as a folder, written like the folder that it was made from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from nightrank.models.encoder_files import encoder_files

WEIGHTS = "model.safetensors"


def write_encoder(network: Any, base: Path, folder: Path) -> None:
    """Writes the network into `folder` with the settings and the tokenizer of `base`, the folder that it was made from.

    The same weights give the same bytes. LoRA is merged into the weights.
    """
    from safetensors.torch import save_file

    from nightrank.models.lora import merge_lora

    merge_lora(network)
    for file in encoder_files(base):
        if file.suffix != ".safetensors":
            shutil.copyfile(file, folder / file.name)
    weights = {name: values.detach().cpu().clone().contiguous() for name, values in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
