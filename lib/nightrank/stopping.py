"""What ends a run from outside: a signal to stop, a stage's deadline. Both end it with the exit code 75.

Signals reach Python's main thread only: a run in any other is not stopped by them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pyspark.sql import SparkSession

from nightrank.errors import TryAgainError


@contextmanager
def stoppable(spark: SparkSession) -> Iterator[None]:
    """A block that SIGTERM ends with TryAgainError, after Spark was told to drop its jobs: no commit is half made."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_: int, __: FrameType | None) -> None:
        raise TryAgainError("Stopped by SIGTERM: what was committed stands, the rest is for the next try.")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except TryAgainError:
        spark.sparkContext.cancelAllJobs()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def within(seconds: float | None, stage: str) -> Iterator[None]:
    """A block that must end in time: TryAgainError after that many seconds; None: any time."""
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(_: int, __: FrameType | None) -> None:
        raise TryAgainError(
            f"Stage '{stage}' is stopped: expected an end within {seconds:g} s (run.deadline_seconds), found it "
            "running. What stood before stands. Try again, or raise the deadline."
        )

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
