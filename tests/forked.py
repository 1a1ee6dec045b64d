"""A second run beside the test's own, cheap enough to be killed many times: a fork of this process on the same JVM."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from nightrank.errors import NightrankError

KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Fork:
    """A run in a process of its own.

    It shares Spark's JVM with the tests: when it is killed, jobs that it had started there go on, and may still write
    when the next run is at work already. A driver that dies with its JVM leaves less behind.
    """

    pid: int

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        os.kill(self.pid, number)

    def ended(self, meanwhile: Callable[[], None] | None = None) -> int:
        """Its exit code, or minus the signal that killed it. meanwhile: called again and again until then."""
        while True:
            done, status = os.waitpid(self.pid, os.WNOHANG if meanwhile else 0)
            if done:
                return os.waitstatus_to_exitcode(status)
            if meanwhile:
                meanwhile()


def fork(act: Callable[[], object], **environment: str) -> Fork:
    """Starts `act` in a fork: its exit code is 0, that of the error, or 70."""
    gc.collect()
    if pid := os.fork():
        return Fork(pid)
    # What the parent still holds in the JVM would be released with the child's copies of it.
    gc.freeze()
    os.environ.update(environment)
    codes = [70]
    # A new thread has a connection to the JVM of its own; the parent's must not be spoken into.
    thread = threading.Thread(target=lambda: codes.append(_exit_code(act)))
    thread.start()
    thread.join()
    os._exit(codes[-1])


def fault(point: str, stage: str, what: str = "kill") -> dict[str, str]:
    """The environment of a run that fails there."""
    return {"NIGHTRANK_TEST_FAULTS": "1", "NIGHTRANK_FAULT": f"{point}:{stage}:{what}"}


def kill_after(one: Fork, seconds: float) -> None:
    """Kills it at that time, if it has not ended by then."""
    time.sleep(seconds)
    one.send(signal.SIGKILL)


def _exit_code(act: Callable[[], object]) -> int:
    try:
        act()
    except NightrankError as error:
        return error.exit_code
    except BaseException:
        traceback.print_exc()
        return 70
    return 0
