"""Pseudonyms instead of user ids: HMAC-SHA256 under a key that only the workers read."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pandas
from pyspark.sql import Column
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.errors import ConfigError
from nightrank.tables import ANONYMOUS


def shopper(user_id: Column, config: Config) -> Column:
    """`user_id` as the tables hold it: a pseudonym where source.pseudonym_key_file is set; no id: `anonymous`.

    Raises ConfigError where the key file is not there or empty. The file must have the same path on every worker.
    """
    known = named(user_id)
    path = config.source.pseudonym_key_file
    if path is None:
        return known
    _require_key(path)
    # The key itself must not be a literal: plans land in the event log. Only its path travels.
    pseudonym = F.pandas_udf(_pseudonyms_under(path), "string")  # type: ignore[attr-defined] # missing in pyspark's stubs
    return F.when(known == ANONYMOUS, known).otherwise(pseudonym(known))


def named(user_id: Column) -> Column:
    """The id, `anonymous` where it is null or blank."""
    return F.coalesce(F.when(F.trim(user_id) != "", user_id), F.lit(ANONYMOUS))


def pseudonym_of(user_id: str, key: bytes) -> str:
    """The pseudonym of one id: the HMAC-SHA256 of its UTF-8 bytes under `key`, in 64 hexadecimal digits."""
    return hmac.new(key, user_id.encode(), "sha256").hexdigest()


def _require_key(path: str) -> None:
    if not Path(path).is_file() or not _key(path):
        raise ConfigError(
            f"source.pseudonym_key_file: expected a file with a key, found none at '{path}'. Make one, for instance "
            "with `openssl rand -hex 32`, and keep it: another key makes every shopper a new one."
        )


@lru_cache(maxsize=4)
def _key(path: str) -> bytes:
    return Path(path).read_bytes().strip()


def _pseudonyms_under(path: str) -> Callable[..., pandas.Series]:
    def pseudonyms(user_id: pandas.Series) -> pandas.Series:
        key = _key(path)
        return user_id.map(lambda one: pseudonym_of(one, key))

    return pseudonyms
