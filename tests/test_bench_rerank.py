"""The pure parts of `make bench-rerank`: what one more shopper costs, and a process's highest memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench_rerank import growth
from process_memory import high_water_bytes, high_waters


def test_one_more_shopper_costs_the_difference_between_two_sizes() -> None:
    # 90 shoppers more take 9 s more, 200 more take 22 s more.
    found = dict(growth([10, 100, 300], [3.0, 12.0, 34.0]))
    expected = {"marginal_ms_100": 100.0, "marginal_ms_300": 110.0, "marginal_growth": 1.1}
    assert found == pytest.approx(expected)
    assert "marginal_growth" not in dict(growth([10, 100], [3.0, 12.0]))


def test_the_highest_memory_is_read_from_the_status() -> None:
    assert high_water_bytes("Name:\tpython\nVmPeak:\t  900 kB\nVmHWM:\t  300 kB\nVmRSS:\t  200 kB\n") == 300 * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="NO /proc HERE: memory cannot be read")
def test_the_highest_memory_of_a_child_by_its_name() -> None:
    size = 50_000_000
    hold = f"called = 'a-name-of-its-own'; bytearray({size})[:] = b'x' * {size}; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = high_waters(os.getpid(), "a-name-of-its-own")
        assert high_waters(os.getpid(), "a-name-of-no-one") == []
        child.communicate(b"\n")
    assert len(found) == 1
    assert found[0] > size
