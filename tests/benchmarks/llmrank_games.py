"""Video games that real shoppers took in order, and the fixed lists of them that methods are compared on (LLMRank).

Amazon Video Games of 2018 as RUCAIBox/LLMRank gives it (Hou et al., ECIR 2024): leave-one-out, no time stamps, no
queries. `test` asks for each shopper's last item, `valid` for the one before it; what precedes the target is known.
Protocol A: the target among the first 19 random candidates; B: 21 candidates mixed from seven retrievers, the target
not forced in. B's lists were retrieved for the test targets by methods that had seen the validation targets, so on
validation B tells nothing. GAMES=<folder>: another copy of the files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(os.environ.get("GAMES", Path(__file__).resolve().parents[3] / "shared" / "data" / "llmrank_games"))
VALID, TEST = "valid", "test"
CANDIDATES = 20  # of a list of protocol A, the target among them
OTHERS = 9  # shoppers kept beside each judged one in a sample
FILES = {"a200": "Games.random", "a6k": "Games-6k.random", "b": "Games-6k.rabmbepobpgrsa_3"}
MIXED = ("b",)
SEED = 20240324
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Games:
    """What is known before the targets. titles: of each item, whose id is its place.

    histories: items of each shopper, oldest first. targets: what each took next. shelf: the items there are, in order.
    """

    titles: tuple[str, ...]
    histories: Mapping[str, Ints]
    targets: Mapping[str, int]
    shelf: Ints


@dataclass(frozen=True)
class Lists:
    """Lists to be ranked. users [n]; items int64 [n, K], -1 where there is no candidate; taken int64 [n]."""

    users: NDArray[np.str_]
    items: Ints
    taken: Ints

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Whether there is a candidate: [n, K]."""
        return self.items >= 0

    @property
    def gains(self) -> NDArray[np.float64]:
        """1.0 for the item taken: [n, K]."""
        return (self.items == self.taken[:, None]).astype(np.float64)

    def seen(self, games: Games) -> NDArray[np.bool_]:
        """Whether the shopper is known to have taken the candidate: [n, K]."""
        rows = zip(self.users.tolist(), self.items, strict=True)
        return np.array([np.isin(items, games.histories[user]) for user, items in rows]).reshape(self.items.shape)


def refuse_missing_files() -> None:
    """Ends the program where the data are not there."""
    if not (FOLDER / "Games-6k.item").exists():
        sys.exit(f"{FOLDER} is not there: put the data beside the project, as its README says.")


def read_games(targets: str, folder: Path = FOLDER) -> Games:
    """What is known before the targets, `valid` or `test`."""
    rows = _rows(folder / f"Games-6k.{targets}.inter")
    titles = _titles(folder / "Games-6k.item")
    histories = {user: _items(history) for user, history, _ in rows}
    return Games(titles, histories, {user: int(target) for user, _, target in rows}, np.arange(len(titles)))


def _titles(path: Path) -> tuple[str, ...]:
    rows = _rows(path)
    odd = [item for place, (item, _) in enumerate(rows) if item != str(place)]
    if odd:
        sys.exit(f"{path} cannot be read: expected the items 0, 1, 2, ... in order, found {odd[0]} out of place.")
    return tuple(title for _, title in rows)


def _rows(path: Path) -> list[list[str]]:
    """The columns of each line below the head."""
    lines = path.read_text(encoding="utf-8").split("\n")[1:]
    return [line.split("\t") for line in lines if line]


def _items(listed: str) -> Ints:
    return np.array(listed.split(" "), dtype=np.int64)


def read_candidates(path: Path, most: int | None = None) -> dict[str, Ints]:
    """The candidates of each shopper in a file of lists, in its order, duplicates too; of the first `most` of them."""
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    return {user: _items(listed) for user, listed in (line.split("\t") for line in lines[:most])}


def protocols(games: Games, most: int | None = None, folder: Path = FOLDER) -> dict[str, Lists]:
    """The lists of each protocol by name, of the first `most` shoppers of each file."""
    read = {name: read_candidates(folder / file, most) for name, file in FILES.items()}
    return {
        name: mixed_lists(games, candidates) if name in MIXED else random_lists(games, candidates)
        for name, candidates in read.items()
    }


def random_lists(games: Games, candidates: Mapping[str, Ints]) -> Lists:
    """Protocol A: the target and the first 19 other candidates."""
    users = np.array(list(candidates), dtype=np.str_)
    taken = np.array([games.targets[user] for user in candidates], dtype=np.int64)
    others = [one[one != target][: CANDIDATES - 1] for one, target in zip(candidates.values(), taken, strict=True)]
    return Lists(users, padded([[target, *rest] for target, rest in zip(taken, others, strict=True)]), taken)


def mixed_lists(games: Games, candidates: Mapping[str, Ints]) -> Lists:
    """Protocol B: the candidates as they are, each once."""
    users = np.array(list(candidates), dtype=np.str_)
    taken = np.array([games.targets[user] for user in candidates], dtype=np.int64)
    return Lists(users, padded([list(dict.fromkeys(one.tolist())) for one in candidates.values()]), taken)


def padded(rows: list[list[int]]) -> Ints:
    """int64 [rows, longest], -1 where a row has ended."""
    found = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int64)
    for at, row in enumerate(rows):
        found[at, : len(row)] = row
    return found


def sample(games: Games, lists: Mapping[str, Lists]) -> Games:
    """The shoppers of the lists and nine times as many others, drawn by a fixed seed, and the items that they meet."""
    judged = {str(user) for one in lists.values() for user in one.users}
    others = [user for user in games.histories if user not in judged]
    drawn = np.random.default_rng(SEED).permutation(len(others))[: OTHERS * len(judged)]
    kept = sorted([*judged, *(others[at] for at in drawn)])
    histories = {user: games.histories[user] for user in kept}
    met = np.unique(np.concatenate([*histories.values(), *(one.items.ravel() for one in lists.values())]))
    return Games(games.titles, histories, {user: games.targets[user] for user in kept}, met[met >= 0])
