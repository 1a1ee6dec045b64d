"""Texts as a tokenizer can take them: in time, without an error, and the same for every tokenizer."""

from __future__ import annotations

import re

# No language writes words of 64 letters on average: a cut after so many for each token that counts changes no text,
# and a tokenizer need not go through megabytes.
CHARACTERS_PER_TOKEN = 64
# Half of a surrogate pair is no character, and tokenizers raise.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Control characters stand where a blank could; of those that nobody sees, the joiners of Persian and Indic words stay.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_UNSEEN = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


def longest_text(max_tokens: int) -> int:
    """How many characters of a text count."""
    return max_tokens * CHARACTERS_PER_TOKEN


def encodable(text: str | None, max_tokens: int) -> str:
    """The text without what no tokenizer should see: cut, control characters as blanks, unseen marks gone.

    None is the empty text. A lone surrogate becomes U+FFFD.
    """
    short = (text or "")[: longest_text(max_tokens)]
    if short.isascii():
        return short if short.isprintable() else _CONTROL.sub(" ", short)
    seen = _UNSEEN.sub("", _LONE_SURROGATE.sub("\ufffd", short))
    return _CONTROL.sub(" ", seen)
