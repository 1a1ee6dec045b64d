"""A made-up copy of the games' files: shoppers who go round their own genre's games in one order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

GENRES = ("racing car", "puzzle block", "football league", "dragon quest")
OF_GENRE, SHOPPERS, SHORTEST, LONGEST, JUDGED = 15, 400, 7, 14, 60


def write_tiny_games(folder: Path) -> None:
    """Writes all files; item g * 15 + n of genre g is taken after n - 1, and after 14 comes 0."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    titles = [f"{genre} part {n}" for genre in GENRES for n in range(OF_GENRE)]
    _write(folder / "Games-6k.item", ["item_id:token\ttitle:token_seq", *(f"{n}\t{t}" for n, t in enumerate(titles))])
    taken = [_walk(random) for _ in range(SHOPPERS)]
    for name, left_out in (("valid", 2), ("test", 1)):
        rows = [f"{user}\t{_listed(items[:-left_out])}\t{items[-left_out]}" for user, items in enumerate(taken)]
        _write(folder / f"Games-6k.{name}.inter", ["user_id:token\titem_id_list:token_seq\titem_id:token", *rows])
    for prefix, many in (("Games", JUDGED // 3), ("Games-6k", JUDGED)):
        lists = [random.permutation(len(titles)) for _ in range(many)]
        _write(folder / f"{prefix}.random", [f"{user}\t{_listed(one[:40])}" for user, one in enumerate(lists)])
        mixed = [[*one[:20], one[0]] for one in lists]
        _write(folder / f"{prefix}.rabmbepobpgrsa_3", [f"{user}\t{_listed(one)}" for user, one in enumerate(mixed)])


def _walk(random: np.random.Generator) -> list[int]:
    genre, start = random.integers(len(GENRES)), random.integers(OF_GENRE)
    return [int(genre * OF_GENRE + (start + n) % OF_GENRE) for n in range(random.integers(SHORTEST, LONGEST + 1))]


def _listed(items: list[int]) -> str:
    return " ".join(map(str, items))


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
