"""Rows that are read now and then are what a decay of the whole table in each step would have left."""

from __future__ import annotations

import numpy as np
import torch

from nightrank.models.lazy_decay import LazyDecay


def test_a_row_is_as_if_every_step_had_decayed_it() -> None:
    random = np.random.default_rng(0)
    begun = torch.from_numpy(random.normal(size=(6, 3)))
    table, dense = begun.clone(), begun.clone()
    lazy = LazyDecay(table, 2.0)
    for rate in (0.1, 0.05, 0.02, 0.01):
        rows = np.sort(random.choice(6, 3, replace=False))
        lazy.bring_up_to_date(rows)
        torch.testing.assert_close(table[rows], dense[rows])
        for held in (table, dense):
            held[rows] += 1.0
        lazy.step(rate)
        dense *= 1 - rate * 2.0
    lazy.bring_up_to_date()
    torch.testing.assert_close(table, dense)
    lazy.bring_up_to_date()
    torch.testing.assert_close(table, dense)


def test_without_decay_nothing_changes() -> None:
    table = torch.ones(2, 2)
    lazy = LazyDecay(table, 0.0)
    lazy.step(0.1)
    lazy.bring_up_to_date()
    assert table.tolist() == [[1.0, 1.0], [1.0, 1.0]]
