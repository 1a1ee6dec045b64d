"""Queries typed in other ways: each way alone, seeded, and never another query's words."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from nightrank.models import query_augmenting
from nightrank.models.query_augmenting import augmented


def typed(query: str, times: int = 200) -> set[str]:
    draws = np.random.default_rng(0)
    return {augmented(query, draws) for _ in range(times)}


def test_the_same_draws_give_the_same_query() -> None:
    one, two = ([augmented("red kettle", np.random.default_rng(n)) for n in range(20)] for _ in range(2))
    assert one == two
    assert len(set(one)) > 5


def test_every_way_comes_up() -> None:
    found = typed("red kettle")
    assert {"RED KETTLE", "Red Kettle", "kettle red", "ｒｅｄ ｋｅｔｔｌｅ"} <= found
    # Of `kettle` in these ways; `red` is too short for a typo.
    assert {"red ktetle", "red kttle", "red keettle"} <= found
    assert all(unicodedata.normalize("NFKC", one).lower().startswith(("red", "kettle", "k")) for one in found)


@pytest.mark.parametrize("query", ["", "mug", "茶壶", "a b c"])
def test_a_query_without_a_long_word_has_no_typo(query: str) -> None:
    assert query_augmenting._with_typo(query, np.random.default_rng(0)) == query
    letters = sorted(unicodedata.normalize("NFKC", query).lower())
    assert all(sorted(unicodedata.normalize("NFKC", one).lower()) == letters for one in typed(query, 50))
