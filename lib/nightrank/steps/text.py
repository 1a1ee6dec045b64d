"""The one normaliser of text: what items and queries are compared by, as native Spark columns."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

# Unicode's full-width forms of ! to ~, as typed on East Asian keyboards, and their plain twins.
FULL_WIDTH = "".join(chr(0xFF01 + at) for at in range(94))
PLAIN = "".join(chr(0x21 + at) for at in range(94))
# In a title these say nothing about what the thing is: the head noun is sought without them.
NOT_HEADS = (
    "set", "of", "and", "with", "in", "the", "a", "for", "assorted", "small", "large", "red", "white", "pink", "blue",
    "black", "green", "design", "pack",
)  # fmt: skip


def normalise_text(text: Column) -> Column:
    """`text` in lower case, letters and digits only, words a single space apart; null stays null.

    Compatibility forms: full-width characters become plain and apostrophes join (women's -> womens). Spark has no
    native Unicode normalisation: composed and decomposed accents stay different, and accents are kept.
    """
    plain = F.translate(F.lower(F.translate(text, FULL_WIDTH, PLAIN)), "’ʼ`", "'''")
    joined = F.regexp_replace(plain, r"(?<=\p{L})'(?=\p{L})", "")
    return F.trim(F.regexp_replace(joined, r"[^\p{L}\p{M}\p{N}]+", " "))


def keywords(title: Column, most: int, stop_words: Sequence[str]) -> Column:
    """The first `most` distinct words of `title` with three or more letters that are no stop words, in order."""
    return F.slice(F.array_distinct(_telling(title, stop_words)), 1, most)


def head_noun(title: Column) -> Column:
    """The last telling word of a title, what the thing is (`red woolly hottie white heart` -> heart); else null."""
    return F.try_element_at(_telling(title, NOT_HEADS), F.lit(-1))


def levels(path: Column) -> Column:
    """The normalised levels of a category path (`Audio > Head-phones` -> [audio, head phones]), blank ones left out."""
    return F.filter(F.transform(F.split(path, ">"), normalise_text), lambda level: level != "")


def _telling(title: Column, stop_words: Sequence[str]) -> Column:
    def tells(word: Column) -> Column:
        letters = F.length(F.regexp_replace(word, r"\P{L}", ""))
        return (letters >= 3) & ~word.isin(*stop_words)

    return F.filter(F.split(normalise_text(title), " "), tells)
