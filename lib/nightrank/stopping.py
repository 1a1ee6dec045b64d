"""What ends a run from outside: a signal to stop, a stage's deadline. Both end it with the exit code 75.

Signals reach Python's main thread only: a run in any other is not stopped by them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pyspark.sql import SparkSession

from nightrank.errors import TryAgainError

# How long a signal that something has swallowed goes unheard.
AGAIN_SECONDS = 0.5


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
    stop = TryAgainError(message)
    with _raising(number, stop) as senders:
        try:
            yield
            if senders:
                raise stop
        except Exception as error:
            # Py4J takes an exception in the middle of a call for a broken connection, and raises one of its own.
            if not senders:
                raise
            if then:
                then()
            raise TryAgainError(message) from error


@contextmanager
def _raising(number: signal.Signals, stop: Exception) -> Iterator[list[threading.Thread]]:
    """A block in which the signal raises `stop`, again and again until the block has ended; yields who sends it again.

    Py4J, for one, tries a command again when an exception comes while it is being sent.
    """
    ended, senders = threading.Event(), list[threading.Thread]()

    def end(_: int, __: FrameType | None) -> None:
        if not senders:
            senders.append(_sending_again(number, ended))
        # What tidies up after it is not to be interrupted again.
        if not _is_being_handled(stop):
            raise stop

    before = signal.signal(number, end)
    try:
        yield senders
    finally:
        ended.set()
        for sender in senders:
            sender.join()
        signal.signal(number, before)


def _sending_again(number: signal.Signals, ended: threading.Event) -> threading.Thread:
    """A thread that sends this process the signal again and again until `ended` is set."""

    def send() -> None:
        while not ended.wait(AGAIN_SECONDS):
            os.kill(os.getpid(), number)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    return sender


def _is_being_handled(stop: Exception) -> bool:
    """Whether the code that runs now is there because of that exception, or of one that came of it."""
    error, seen = sys.exc_info()[1], set[int]()
    while error is not None and id(error) not in seen:
        if error is stop:
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
