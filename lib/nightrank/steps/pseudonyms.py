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
    return _under(user_id, config.source.pseudonym_key_file, "pseudonym_key_file")


def previous_shopper(user_id: Column, config: Config) -> Column:
    """`user_id` as the tables held it under the key before: source.previous_key_file."""
    return _under(user_id, config.source.previous_key_file, "previous_key_file")


def pseudonym_of(user_id: str, key: bytes) -> str:
    """The pseudonym of one id: the HMAC-SHA256 of its UTF-8 bytes under `key`, in 64 hexadecimal digits."""
    own = _keyed(key).copy()
    own.update(user_id.encode())
    return own.hexdigest()


@lru_cache(maxsize=4)
def _keyed(key: bytes) -> hmac.HMAC:
    """The HMAC of nothing yet: the key is hashed into it once, not once an id."""
    return hmac.new(key, digestmod="sha256")


def _under(user_id: Column, path: str | None, setting: str) -> Column:
    known = named(user_id)
    if path is None:
        return known
    _require_key(path, setting)
    # The key itself must not be a literal: plans land in the event log. Only its path travels.
    pseudonym = F.pandas_udf(_pseudonyms_under(path), "string")  # type: ignore[attr-defined] # missing in pyspark's stubs
    return F.when(known == ANONYMOUS, known).otherwise(pseudonym(known))


def named(user_id: Column) -> Column:
    """The id, `anonymous` where it is null or blank."""
    return F.coalesce(F.when(F.trim(user_id) != "", user_id), F.lit(ANONYMOUS))


def _require_key(path: str, setting: str) -> None:
    if not Path(path).is_file() or not _key(path):
        raise ConfigError(
            f"source.{setting}: expected a file with a key, found none at '{path}'. Make one, for instance "
            "with `openssl rand -hex 32`, and keep it: another key makes every shopper a new one."
        )


@lru_cache(maxsize=4)
def _key(path: str) -> bytes:
    return Path(path).read_bytes().strip()


def _pseudonyms_under(path: str) -> Callable[..., pandas.Series]:
    def pseudonyms(user_id: pandas.Series) -> pandas.Series:
        # A log holds an id many times in a row: each is hashed once a batch.
        at, ids = pandas.factorize(user_id)
        key = _key(path)
        hashed = pandas.Series([pseudonym_of(one, key) for one in ids], dtype=object)
        return hashed.take(at).set_axis(user_id.index)

    return pseudonyms
