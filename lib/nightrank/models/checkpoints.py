"""How far the training of an encoder or of towers has come, in the lake: what was killed goes on after its last epoch.

A checkpoint is a safetensors file and a JSON file that names it with its sha256. The JSON file comes last, by a
rename: it is the checkpoint. One that does not agree with its file is as good as none.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.lake_files import in_lake, write_whole
from nightrank.models.team import Team

log = logging.getLogger("nightrank")
FOLDER = "checkpoints"
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Progress:
    """Training after an epoch. moments: the optimisers' own numbers. curves: figures by epoch.

    best_*: of the epoch that is kept so far, 0: none is; left alone where the last epoch's weights are what is wanted.
    """

    epoch: int
    weights: Weights
    moments: Weights
    curves: tuple[dict[str, float], ...]
    best_epoch: int = 0
    best_weights: Weights = field(default_factory=dict)
    best: float = 0.0


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


def agreed_checkpoint(config: Config, name: str, team: Team) -> Progress | None:
    """The same, of a team: each of its devices goes on after the same epoch. Raises ContractError where one cannot."""
    progress = load_checkpoint(config, name)
    done = progress.epoch if progress else 0
    if (expected := int(team.agreed(done))) != done:
        raise ContractError(
            f"Device {team.rank} cannot go on with the others: expected the checkpoint after epoch {expected}, found "
            f"that of {done}. Let lake.path, now {config.lake.path}, name one place on all machines."
        )
    if progress:
        log.info("training=resumed checkpoint=%s after epoch %d", name, done)
    return progress


def drop_checkpoint(config: Config, name: str) -> None:
    """Removes what stands under that name, or under names that begin so."""
    _drop(config, name, but=set())


def moments_of(optimiser: torch.optim.Optimizer, trained: Mapping[str, Tensor]) -> Weights:
    """The optimiser's numbers for each parameter that it has taken a step of, by `<parameter>/<what>`."""
    return {
        f"{name}/{what}": torch.as_tensor(values)
        for name, own in trained.items()
        for what, values in optimiser.state.get(own, {}).items()
    }


def restore_moments(optimiser: torch.optim.Optimizer, trained: Mapping[str, Tensor], moments: Weights) -> None:
    """Gives the optimiser back what `moments_of` told."""
    for key, values in moments.items():
        name, _, what = key.rpartition("/")
        own = trained[name]
        if what != "step":
            optimiser.state[own][what] = values.to(own.device, copy=True)
        else:  # SparseAdam counts in a plain number, AdamW in a tensor, which stays on the CPU
            sparse = isinstance(optimiser, torch.optim.SparseAdam)
            optimiser.state[own][what] = int(values) if sparse else values.clone()


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
