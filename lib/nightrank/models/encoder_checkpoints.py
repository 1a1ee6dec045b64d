"""How far the training of an encoder has come, in the lake: a run that was killed goes on after its last epoch.

A checkpoint is a safetensors file and a JSON file that names it with its sha256. The JSON file comes last, by a
rename: it is the checkpoint. One that does not agree with its file is as good as none.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nightrank.config import Config
from nightrank.models.lake_files import in_lake, write_whole

log = logging.getLogger("nightrank")
FOLDER = "encoder_checkpoints"
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Progress:
    """Training after an epoch. moments: AdamW's own numbers. best_*: of the epoch that is kept so far, 0: none is."""

    epoch: int
    weights: Weights
    moments: Weights
    best_epoch: int
    best_weights: Weights
    best: float
    curves: tuple[dict[str, float], ...]


_PARTS = ("weights", "moments", "best_weights")


def save_checkpoint(config: Config, name: str, progress: Progress) -> None:
    """Puts the progress into the lake under that name; the one before is gone once the new one stands."""
    from safetensors.torch import save

    # Contiguous copies: safetensors refuses tensors that share their memory.
    tensors = {
        f"{part}/{key}": values.detach().cpu().clone().contiguous()
        for part in _PARTS
        for key, values in getattr(progress, part).items()
    }
    content = save(tensors)
    file = f"{name}-{progress.epoch}.safetensors"
    write_whole(config, f"{FOLDER}/{file}", content)
    told = {"file": file, "sha256": hashlib.sha256(content).hexdigest(), "epoch": progress.epoch}
    told |= {"best_epoch": progress.best_epoch, "best": progress.best, "curves": progress.curves}
    write_whole(config, f"{FOLDER}/{name}.json", json.dumps(told).encode())
    _drop(config, name, but={file, f"{name}.json"})


def load_checkpoint(config: Config, name: str) -> Progress | None:
    """The progress that stands under that name; None: there is none that can be used."""
    files, path = in_lake(config, f"{FOLDER}/{name}.json")
    if not files.exists(path):
        return None
    try:
        told = json.loads(files.cat_file(path))
        content = files.cat_file(in_lake(config, f"{FOLDER}/{told['file']}")[1])
        if hashlib.sha256(content).hexdigest() != told["sha256"]:
            raise ValueError(f"expected sha256 {told['sha256']}")
        return _progress(told, content)
    except (OSError, ValueError, KeyError) as error:
        log.warning("checkpoint=unusable name=%s, training starts anew: %s", name, error)
        return None


def drop_checkpoint(config: Config, name: str) -> None:
    """Removes what stands under that name."""
    _drop(config, name, but=set())


def moments_of(optimiser: torch.optim.Optimizer, trained: Mapping[str, Tensor]) -> Weights:
    """AdamW's numbers for each parameter, by `<parameter>/<what>`."""
    return {f"{name}/{what}": values for name, own in trained.items() for what, values in optimiser.state[own].items()}


def restore_moments(optimiser: torch.optim.Optimizer, trained: Mapping[str, Tensor], moments: Weights) -> None:
    """Gives AdamW back what `moments_of` told."""
    for key, values in moments.items():
        name, _, what = key.rpartition("/")
        own = trained[name]
        # The number of steps stays on the CPU, where AdamW keeps it.
        optimiser.state[own][what] = values.clone() if what == "step" else values.to(own.device, copy=True)


def _progress(told: dict[str, Any], content: bytes) -> Progress:
    from safetensors.torch import load

    parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
    for key, values in load(content).items():
        part, _, name = key.partition("/")
        parts[part][name] = values
    return Progress(
        epoch=told["epoch"], best_epoch=told["best_epoch"], best=told["best"], curves=tuple(told["curves"]), **parts
    )


def _drop(config: Config, name: str, but: set[str]) -> None:
    files, folder = in_lake(config, FOLDER)
    if not files.exists(folder):
        return
    for path in files.ls(folder, detail=False):
        file = path.rsplit("/", 1)[-1]
        if file.startswith(name) and file not in but:
            files.rm_file(path)
