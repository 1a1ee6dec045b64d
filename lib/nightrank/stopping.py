"""What ends a run from outside: a signal to stop, a stage's deadline. Both end it with the exit code 75.

Signals reach Python's main thread only: a run in any other is not stopped by them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pyspark.sql import SparkSession

from nightrank.errors import TryAgainError


@contextmanager
def stoppable(spark: SparkSession) -> Iterator[None]:
    """A block that SIGTERM ends with TryAgainError, after Spark was told to drop its jobs: no commit is half made."""
    said = "Stopped by SIGTERM: what was committed stands, the rest is for the next try."
    # Only then: a run that is refused may share its Spark with the one that holds the lease.
    with _ended_by(signal.SIGTERM, said, spark.sparkContext.cancelAllJobs):
        yield


@contextmanager
def within(seconds: float | None, stage: str) -> Iterator[None]:
    """A block that must end in time: TryAgainError after that many seconds; None: any time."""
    if seconds is None:
        yield
        return
    late = (
        f"Stage '{stage}' is stopped: expected an end within {seconds:g} s (run.deadline_seconds), found it running. "
        "What stood before stands. Try again, or raise the deadline."
    )
    with _ended_by(signal.SIGALRM, late):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def _ended_by(number: signal.Signals, message: str, then: Callable[[], object] | None = None) -> Iterator[None]:
    """A block that the signal ends with TryAgainError, whatever the code that it interrupts makes of an exception.

    then: called when the signal has ended it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def end(signal_number: int, _: FrameType | None) -> None:
        came.append(signal_number)
        raise TryAgainError(message)

    before = signal.signal(number, end)
    try:
        yield
    except Exception as error:
        # Py4J takes an exception in the middle of a call for a broken connection, and raises one of its own.
        if not came:
            raise
        if then:
            then()
        raise TryAgainError(message) from error
    finally:
        signal.signal(number, before)
