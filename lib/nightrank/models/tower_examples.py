"""Training examples beside what a shopper tower makes of each one's takes."""

from __future__ import annotations

from collections.abc import Iterator

from nightrank.models.artefact import Floats
from nightrank.models.batches import BLOCK_ROWS, Columns, Pass, recut
from nightrank.models.sequences import TAKEN
from nightrank.models.tower_artefact import Towers
from nightrank.models.towers import last_states
from nightrank.models.training import deterministic


def with_shoppers(examples: Pass, towers: Towers, vectors: Floats, threads: int) -> Pass:
    """The same passes with one more column: `shopper`, float32 [rows, dims], u as of each example.

    vectors: [items, dims], rows by item_index. Columns taken_index, taken_action, taken_gap [rows, longest] say what
    was taken. The towers are frozen, so u is made in the first pass over a fold and kept: dims numbers an example.
    """
    made: dict[str, list[Floats]] = {}

    def passed(fold: str) -> Iterator[Columns]:
        kept = made.setdefault(fold, [])
        for number, columns in enumerate(recut(examples(fold), BLOCK_ROWS)):
            taken = [columns.pop(name) for name in TAKEN]
            if number == len(kept):
                with deterministic(threads):
                    kept.append(last_states(towers.shopper, vectors.__getitem__, *taken))
            yield {**columns, "shopper": kept[number]}

    return passed
