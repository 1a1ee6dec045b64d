"""Devices that train one model together: which rows each of them computes, and what they tell one another.

Every device sees each batch whole and computes its own part of it, so that what is learned is what one device would
learn from the same batches, but for the rounding of sums; for one number of devices the same bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightrank.errors import ConfigError


@dataclass(frozen=True)
class Team:
    """This device's place among `size`; as it stands, one that trains alone.

    gathered: gives every device's tensor of one shape, in order of rank. device: of torch, on this machine.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    gathered: Callable[[Tensor], list[Tensor]] = lambda own: [own]

    def rows(self, count: int) -> NDArray[np.int64]:
        """Which of `count` rows this device computes: as many as any other, so that the last row may be had twice."""
        each = -(-count // self.size)
        return np.minimum(self.rank * each + np.arange(each), count - 1)

    def stands_in(self, count: int) -> NDArray[np.bool_]:
        """Which of those rows are had by a device before, or again: they are not to count."""
        each = -(-count // self.size)
        return self.rank * each + np.arange(each) >= count

    def joined(self, own: Tensor, count: int) -> Tensor:
        """[count, …] of all devices' rows, of which this one's are `own`.

        Where each device brings down the same loss of the whole, only its own rows lead to its weights, with `size`
        times their gradient: so the mean over devices is the gradient of that loss.
        """
        if self.size == 1:
            return own
        parts = self.gathered(own.detach())
        # In value the rows that were gathered; the difference is 0 and only has a gradient.
        parts[self.rank] = parts[self.rank] + self.size * (own - own.detach())
        return torch.cat(parts)[:count]

    def average(self, weights: Iterable[Tensor]) -> None:
        """Gives each weight the mean of its gradients over the devices, summed in order of rank.

        A sparse one has to be of the same rows on all of them.
        """
        if self.size == 1:
            return
        gradients = [_numbers_of(own) for own in weights if own.grad is not None]
        parts = self.gathered(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        mean = sum(parts[1:], start=parts[0]) / self.size
        for gradient, numbers in zip(gradients, mean.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(numbers.reshape(gradient.shape))

    def mean(self, number: float) -> float:
        """The mean of the devices' numbers."""
        return number if self.size == 1 else float(np.mean(self._told(number)))

    def agreed(self, number: float) -> float:
        """The first device's number: what is decided by it is decided alike on all of them."""
        return number if self.size == 1 else self._told(number)[0]

    def _told(self, number: float) -> list[float]:
        own = torch.tensor([number], dtype=torch.float64, device=self.device)
        return [float(told.item()) for told in self.gathered(own)]


ALONE = Team()


@contextmanager
def team_of(size: int, device: str) -> Iterator[Team]:
    """The team that torchrun made of its processes, and this process's place in it.

    device: `cpu`, where processes speak by gloo, or `cuda`, by nccl. Raises ConfigError where they are not `size`.
    """
    from torch import distributed

    gpu = device.startswith("cuda")
    own = f"cuda:{os.environ['LOCAL_RANK']}" if gpu else "cpu"
    if gpu:
        torch.cuda.set_device(own)
    distributed.init_process_group("nccl" if gpu else "gloo")
    try:
        if (found := distributed.get_world_size()) != size:
            raise ConfigError(f"Training cannot be shared out: expected {size} devices, found {found}. Set as many.")
        yield Team(distributed.get_rank(), size, own, _gathered)
    finally:
        distributed.destroy_process_group()


def _numbers_of(own: Tensor) -> Tensor:
    """The numbers of a weight's gradient, to be changed in place."""
    if own.grad.is_sparse:
        own.grad = own.grad.coalesce()
        return own.grad.values()
    return own.grad


def _gathered(own: Tensor) -> list[Tensor]:
    from torch import distributed

    parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, own.contiguous())
    return parts
