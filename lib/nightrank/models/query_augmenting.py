"""Queries as others would have typed them: with a typo, in other letters' case or width, in another order of words."""

from __future__ import annotations

import numpy as np

# ASCII from ! to ~ and its full-width forms, as Chinese and Japanese keyboards type them.
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
SHORTEST = 4  # letters; in a shorter word a typo makes another word


def augmented(query: str, draws: np.random.Generator) -> str:
    """The query typed in another way: a typo, case, width or word order, each equally often.

    A way that cannot change it (the order of one word, case in Chinese) leaves it as it is.
    """
    way = (_with_typo, _in_other_case, _in_other_width, _in_other_order)[int(draws.integers(4))]
    return way(query, draws)


def _with_typo(query: str, draws: np.random.Generator) -> str:
    """Two letters swapped, one left out, or one typed twice, within a word of SHORTEST letters or more."""
    words = query.split(" ")
    long = [n for n, word in enumerate(words) if len(word) >= SHORTEST]
    if not long:
        return query
    at = long[int(draws.integers(len(long)))]
    word, letter = words[at], int(draws.integers(1, len(words[at]) - 1))
    kinds = (
        word[:letter] + word[letter + 1] + word[letter] + word[letter + 2 :],
        word[:letter] + word[letter + 1 :],
        word[: letter + 1] + word[letter:],
    )
    words[at] = kinds[int(draws.integers(len(kinds)))]
    return " ".join(words)


def _in_other_case(query: str, draws: np.random.Generator) -> str:
    return (query.upper(), query.title(), query.capitalize())[int(draws.integers(3))]


def _in_other_width(query: str, _: np.random.Generator) -> str:
    return query.translate(_WIDE)


def _in_other_order(query: str, draws: np.random.Generator) -> str:
    words = query.split(" ")
    return " ".join(words[n] for n in draws.permutation(len(words)))
