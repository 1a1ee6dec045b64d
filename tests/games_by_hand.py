"""Games, shoppers and lists small enough to be worked out by hand."""

from __future__ import annotations

import numpy as np
from llmrank_games import Games, Lists


def ints(*items: int) -> np.ndarray:
    """The items as they are in histories and lists."""
    return np.array(items, dtype=np.int64)


def games_of(*histories: list[int], items: int = 40, targets: list[int] | None = None) -> Games:
    """Shoppers a, b, c, ... with these histories."""
    names = "abcdefghij"[: len(histories)]
    asked = dict(zip(names, targets or [0] * len(histories), strict=True))
    known = dict(zip(names, (ints(*one) for one in histories), strict=True))
    return Games(tuple(f"game {n}" for n in range(items)), known, asked, np.arange(items))


def lists_of(items: list[list[int]], taken: list[int], users: str = "ab") -> Lists:
    """A list a shopper."""
    return Lists(np.array(list(users[: len(items)])), np.array(items), np.array(taken))
