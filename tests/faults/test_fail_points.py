"""Fail points and stops, without Spark: what is refused, and what a signal or a deadline becomes."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest

from nightrank.errors import ConfigError, TryAgainError
from nightrank.faults import fail_point, refuse_faults
from nightrank.stopping import AGAIN_SECONDS, stoppable, within


def test_faults_are_refused_without_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_faults()
    monkeypatch.setenv("NIGHTRANK_FAULT", "before:items:kill")
    with pytest.raises(ConfigError, match="expected none outside tests"):
        refuse_faults()
    fail_point("before", "items")


@pytest.mark.parametrize("asked", ["items", "never:items:kill", "before:items:explode"])
def test_faults_that_there_are_not_are_refused(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("NIGHTRANK_TEST_FAULTS", "1")
    monkeypatch.setenv("NIGHTRANK_FAULT", asked)
    with pytest.raises(ConfigError, match="expected <before"):
        refuse_faults()


def test_a_fault_comes_at_its_point_and_stage_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTRANK_TEST_FAULTS", "1")
    monkeypatch.setenv("NIGHTRANK_FAULT", "committed:items:raise")
    refuse_faults()
    fail_point("before", "items")
    fail_point("committed", "events")
    with pytest.raises(RuntimeError, match="committed items"):
        fail_point("committed", "items")


def test_sigterm_cancels_spark_and_is_a_try_again() -> None:
    cancelled = []
    spark = SimpleNamespace(sparkContext=SimpleNamespace(cancelAllJobs=lambda: cancelled.append(True)))
    before = signal.getsignal(signal.SIGTERM)

    def stopped() -> None:
        with stoppable(spark):  # type: ignore[arg-type]  # no JVM is needed
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    with pytest.raises(TryAgainError, match="SIGTERM"):
        stopped()
    assert cancelled == [True]
    refused = pytest.raises(TryAgainError, match="another run")
    with refused, stoppable(spark):  # type: ignore[arg-type]  # as above
        raise TryAgainError("another run")
    assert cancelled == [True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_deadline_is_a_try_again_that_names_the_stage() -> None:
    late = pytest.raises(TryAgainError, match=r"Stage 'searches' is stopped: expected an end within 0.2 s")
    with late, within(0.2, "searches"):
        time.sleep(5)
    swallowed = pytest.raises(TryAgainError, match=r"within 0\.1 s")
    with swallowed, within(0.1, "searches"):
        try:
            time.sleep(5)
        except TryAgainError:
            raise ConnectionError("as Py4J does") from None
    with within(0.2, "searches"):
        pass
    with within(None, "searches"):
        time.sleep(0.3)


def test_a_stop_that_is_swallowed_comes_again_and_what_tidies_up_is_left_alone() -> None:
    """Py4J sends a command again when an exception comes while it is being sent."""
    steps = []
    late = pytest.raises(TryAgainError, match=r"within 0\.1 s")
    with late, within(0.1, "searches"):
        try:
            time.sleep(5)
        except TryAgainError:
            steps.append("swallowed")
        try:
            time.sleep(60)
            steps.append("went on")
        finally:
            time.sleep(3 * AGAIN_SECONDS)
            steps.append("tidied up")
    assert steps == ["swallowed", "tidied up"]


def test_a_stop_that_is_swallowed_at_the_end_is_one_all_the_same() -> None:
    with pytest.raises(TryAgainError, match=r"within 0\.1 s"), within(0.1, "searches"), suppress(TryAgainError):
        time.sleep(5)
