"""Fail points: where tests make a run fail. They do nothing unless the test switch is set.

NIGHTRANK_FAULT=<point>:<stage>:<fault> names one, with NIGHTRANK_TEST_FAULTS=1 as the switch. A point is before, built,
agreed, committed or published; a fault is kill (of this process, as by kill -9), raise, or sleep=<seconds>.
"""

from __future__ import annotations

import os
import signal
import time

from nightrank.errors import ConfigError

SWITCH, FAULT = "NIGHTRANK_TEST_FAULTS", "NIGHTRANK_FAULT"
POINTS = ("before", "built", "agreed", "committed", "published")


def refuse_faults() -> None:
    """Raises ConfigError where a fault is asked for without the test switch, or one that there is not."""
    asked = os.environ.get(FAULT)
    if not asked:
        return
    if os.environ.get(SWITCH) != "1":
        raise ConfigError(
            f"{FAULT}: expected none outside tests, found '{asked}'. Unset it, or set {SWITCH}=1 in a test."
        )
    point, _, fault = asked.split(":") if asked.count(":") == 2 else ("", "", "")
    if point not in POINTS or not (fault in {"kill", "raise"} or fault.startswith("sleep=")):
        raise ConfigError(f"{FAULT}: expected <{'|'.join(POINTS)}>:<stage>:<kill|raise|sleep=s>, found '{asked}'.")


def fail_point(point: str, stage: str) -> None:
    """Fails here where the environment asks for it."""
    asked = os.environ.get(FAULT, "")
    if os.environ.get(SWITCH) != "1" or not asked.startswith(f"{point}:{stage}:"):
        return
    fault = asked.rpartition(":")[2]
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "raise":
        raise RuntimeError(f"fault at {point} {stage}")
    time.sleep(float(fault.removeprefix("sleep=")))
