"""The one normaliser of text: what items and queries are compared by."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from nightrank.sections import WordsConfig
from nightrank.steps.unicode_forms import plain_form, with_python

# In a title these say nothing about what the thing is: the head noun is sought without them.
NOT_HEADS = (
    "set", "of", "and", "with", "in", "the", "a", "for", "assorted", "small", "large", "red", "white", "pink", "blue",
    "black", "green", "design", "pack",
)  # fmt: skip
CHINESE = r"\p{IsHan}"


def normalise_text(text: Column, config: WordsConfig) -> Column:
    """`text` without case, width and punctuation: letters, marks and digits, words a single space apart; null stays.

    Compatibility forms are NFKC's, accents are kept, apostrophes join (women's -> womens), Chinese is cut into words
    where words.language is zh. Normalising twice is normalising once. ASCII, most of what shops write, is done by Spark
    alone and is a null to Python.
    """
    return _spaced(_without_case(text, config))


def search_text(query: Column, config: WordsConfig) -> Column:
    """A query as queries are told apart: normalised, without stop words unless it has no others (`the who`)."""
    normal = normalise_text(query, config)
    unwanted = stop_words(config)
    if not unwanted:
        return normal

    def told(one: Column) -> Column:
        kept = F.array_join(F.filter(F.split(one, " "), lambda word: ~word.isin(*unwanted)), " ")
        return F.when(kept == "", one).otherwise(kept)

    # In an array, so that the normaliser is written once in the plan and not for each use of its result.
    return F.element_at(F.transform(F.array(normal), told), 1)


def stop_words(config: WordsConfig) -> tuple[str, ...]:
    """The sorted stop words of the language and the shop's own, as they read once normalised.

    Chinese shops write English too: zh has both lists.
    """
    english, chinese = config.stop_words.en, config.stop_words.zh
    listed = {"none": (), "en": english, "zh": (*english, *chinese)}[config.language]
    return tuple(sorted({plain_form(word) for word in (*listed, *config.more_stop_words)}))


def telling_words(text: Column, config: WordsConfig, unwanted: Sequence[str] = ()) -> Column:
    """The words of `text` that say something, in order: no stop word, none of `unwanted`, and three letters or more.

    A Chinese word says something from two characters on: one alone is mostly a particle or a measure.
    """
    return _telling(normalise_text(text, config), {*stop_words(config), *unwanted})


def head_noun(title: Column, config: WordsConfig) -> Column:
    """The last telling word of a title, what the thing is (`red woolly hottie white heart` -> heart); else null."""
    return F.try_element_at(_telling(normalise_text(title, config), set(NOT_HEADS)), F.lit(-1))


def levels(path: Column, config: WordsConfig) -> Column:
    """The normalised levels of a category path (`Audio > Head-phones` -> [audio, head phones]), blank ones left out."""
    return F.filter(F.transform(F.split(_without_case(path, config), ">"), _spaced), lambda level: level != "")


def _without_case(text: Column, config: WordsConfig) -> Column:
    """Compatibility forms without case; punctuation is still there."""
    # Bytes that are no UTF-8 would end the batch, as Arrow's strings cannot hold them.
    strange = F.when(text.rlike(r"[^\x00-\x7F]"), F.make_valid_utf8(text))
    return F.coalesce(with_python(strange, config.language), F.lower(text))


def _spaced(text: Column) -> Column:
    joined = F.regexp_replace(F.translate(text, "`", "'"), r"(?<=\p{L})'(?=\p{L})", "")
    return F.trim(F.regexp_replace(joined, r"[^\p{L}\p{M}\p{N}]+", " "))


def _telling(normal: Column, unwanted: set[str]) -> Column:
    def tells(word: Column) -> Column:
        letters = F.length(F.regexp_replace(word, r"\P{L}", ""))
        wanted = F.when(word.rlike(CHINESE), 2).otherwise(3)
        return (letters >= wanted) & ~word.isin(*sorted(unwanted))

    return F.filter(F.split(normal, " "), tells)
