"""The lease of a lake: one run at a time writes to it, and one that has lost it cannot.

It is one row of a Delta table of its own. A turn is taken by writing the row under the next number: of two writers of
one number Delta takes one. The turn in which a holder came is its fencing number, which every commit of its nights
carries: a holder that was stopped, lost the lease and woke up again has its late commit dropped by Delta.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from pyspark.sql import SparkSession

from nightrank.config import Config
from nightrank.contract import LONG, STRING, Holds, Table, columns
from nightrank.errors import TryAgainError
from nightrank.storage import read_single, swap_single

LEASE = Table(
    "lease",
    "who may write to the lake, and until when",
    columns(turn=LONG, fencing=LONG, holder=STRING, host=STRING, pid=LONG, doing=STRING, expires_at=LONG),
    key=("turn",),
    holds=Holds.SNAPSHOT,
)
FREE = ""


@dataclass(frozen=True)
class Lease:
    """The lease's row. holder: FREE after it was given back. fencing: the turn in which the holder came.

    expires_at: seconds since 1970.
    """

    turn: int
    fencing: int
    holder: str
    host: str
    pid: int
    doing: str
    expires_at: int


@contextmanager
def holding_lease(spark: SparkSession, config: Config, doing: str) -> Iterator[Lease]:
    """The lake's lease, kept alive until the block ends. Raises TryAgainError where somebody else holds it."""
    lease = _taken(spark, config, doing)
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(spark, config, lease, ended), daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        ended.set()
        keeper.join(timeout=60)
        _give_back(spark, config, lease)


def _taken(spark: SparkSession, config: Config, doing: str) -> Lease:
    now, held = int(time.time()), _read(spark, config)
    if held and not _is_free(held, now):
        raise TryAgainError(_held_by_another(held))
    turn = held.turn + 1 if held else 1
    host, pid = socket.gethostname(), os.getpid()
    mine = Lease(turn, turn, uuid.uuid4().hex, host, pid, doing, now + config.run.lease_seconds)
    found = _swapped(spark, config, mine)
    if found.holder != mine.holder:
        raise TryAgainError(_held_by_another(found))
    return mine


def _is_free(held: Lease, now: int) -> bool:
    """Whether the lease was given back or has run out, or its holder, on this very host, is no more."""
    if held.holder == FREE or held.expires_at <= now:
        return True
    return held.host == socket.gethostname() and not _runs(held.pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _held_by_another(held: Lease) -> str:
    return (
        f"The lake is in use: {held.doing}, by process {held.pid} on {held.host}, lease {held.fencing} until "
        f"{datetime.fromtimestamp(held.expires_at, UTC):%Y-%m-%d %H:%M} UTC. Try again when that run has ended."
    )


def _keep(spark: SparkSession, config: Config, lease: Lease, ended: threading.Event) -> None:
    """Puts off the lease's end, three times in its length, until the run has ended or somebody else holds it."""
    length = config.run.lease_seconds
    while not ended.wait(length / 3):
        held = _read(spark, config)
        if held is None or held.holder != lease.holder:
            return
        _swapped(spark, config, replace(held, turn=held.turn + 1, expires_at=int(time.time()) + length))


def _give_back(spark: SparkSession, config: Config, lease: Lease) -> None:
    held = _read(spark, config)
    if held and held.holder == lease.holder:
        _swapped(spark, config, replace(held, turn=held.turn + 1, holder=FREE))


def _read(spark: SparkSession, config: Config) -> Lease | None:
    row = read_single(spark, config.lake, LEASE)
    return Lease(**row) if row else None


def _swapped(spark: SparkSession, config: Config, wanted: Lease) -> Lease:
    """The lease's row after `wanted` was offered for its turn."""
    frame = spark.createDataFrame([tuple(asdict(wanted).values())], LEASE.columns)
    swap_single(frame, config.lake, LEASE, wanted.turn)
    found = _read(spark, config)
    assert found is not None
    return found
