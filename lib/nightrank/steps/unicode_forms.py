"""What Spark cannot do with text: Unicode's compatibility forms, and Chinese words; one string at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from unicodedata import normalize

import pandas
from pyspark.sql import Column
from pyspark.sql import functions as F

from nightrank.errors import ConfigError

# Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt): soft hyphens, joiners, marks of direction,
# variation selectors. They show nothing, so a word with one and a word without are the same word.
UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
APOSTROPHES = str.maketrans("’ʼ`", "'''")
JOINING = re.compile(r"(?<=[^\W\d_])'(?=[^\W\d_])")
# Runs of Han characters: what has no spaces between its words.
HAN = re.compile("[\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+")


def with_python(text: Column, language: str) -> Column:
    """`text` in its compatibility forms, without case, Chinese as words where the language is zh; null stays null.

    A Python UDF in a `when` is asked for every row. So the caller hands null for rows that need none of it, and a
    batch of nulls comes back as it went. Raises ConfigError where zh is asked for and jieba is not there.
    """
    if language == "zh":
        _require_jieba()
    forms = F.pandas_udf(_forms(language), "string")  # type: ignore[attr-defined] # missing in pyspark's stubs
    found: Column = forms(text)
    return found


def plain_form(text: str) -> str:
    """Unicode's form for matching without case and width (D146, with the ignorable left out), apostrophes joined.

    NFKC makes ＡＢＣ and ﬁ plain and composes accents, which stay; case folding makes ß ss.
    """
    seen = UNSEEN.sub("", normalize("NFD", text)).casefold()
    folded = normalize("NFKC", normalize("NFKC", seen).casefold()).translate(APOSTROPHES)
    # Once more: what an apostrophe or an ignorable stood between may now be one character, as Hangul's letters are.
    return normalize("NFKC", JOINING.sub("", UNSEEN.sub("", folded)))


def chinese_words(text: str) -> str:
    """`text` with blanks around the words of its Han runs, by the dictionary of jieba.

    Without jieba's hidden Markov model for unknown words: the words of a run are then the likeliest path through the
    dictionary, a part of which is the likeliest path through that part, so cutting twice cuts no further. A word that
    the dictionary lacks falls into its characters, in titles and in queries alike.
    """
    segmenter = _segmenter()
    return HAN.sub(lambda run: f" {' '.join(segmenter.cut(run.group(), HMM=False))} ", text)


def _forms(language: str) -> Callable[..., pandas.Series]:
    def forms(text: pandas.Series) -> pandas.Series:
        asked = text.notna()
        if not asked.any():
            return text
        plain = text[asked].map(plain_form)
        found: pandas.Series = text.copy()
        found[asked] = plain.map(chinese_words) if language == "zh" else plain
        return found

    return forms


def _require_jieba() -> None:
    try:
        import jieba  # noqa: F401  (only whether it is there)
    except ImportError:
        raise ConfigError(
            "words.language: zh needs the package jieba, which is not installed. Install it where driver and workers "
            "run (pip install 'nightrank[zh]'), or set another language."
        ) from None


@lru_cache(maxsize=1)
def _segmenter() -> Any:
    """A segmenter with the dictionary that comes with jieba.

    It is filled here, as jieba would on its own read and write a cache of it in the machine's shared folder for
    temporary files, where anybody may have put another.
    """
    from jieba import Tokenizer

    segmenter = Tokenizer()
    segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(segmenter.get_dict_file())
    segmenter.initialized = True
    return segmenter
