"""Decoupled weight decay (Loshchilov & Hutter 2019) of a table of which a step reads some rows alone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class LazyDecay:
    """Decays the rows [n, dims] of a table by rate * decay a step, each when it is next read.

    What is read is what a decay of the whole table in each step would have left, at the cost of the rows read.
    """

    def __init__(self, table: Tensor, decay: float) -> None:
        self._table, self._decay = table, decay
        # Logs of what is left of 1: by now, and when each row was last brought up to date.
        self._now, self._then = 0.0, np.zeros(len(table))

    def step(self, rate: float) -> None:
        """Another step is taken, at that learning rate; rate * decay is to be below 1."""
        self._now += float(np.log1p(-rate * self._decay))

    def bring_up_to_date(self, rows: NDArray[np.int64] | None = None) -> None:
        """Decays these rows, each named once, by what has become due; None: all."""
        at = np.arange(len(self._then)) if rows is None else rows
        left = torch.from_numpy(np.exp(self._now - self._then[at])).to(self._table.dtype)
        with torch.no_grad():
            if rows is None:
                self._table.mul_(left[:, None])
            else:
                self._table[torch.from_numpy(at)] *= left[:, None]
        self._then[at] = self._now
