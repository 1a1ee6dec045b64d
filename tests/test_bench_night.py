"""The pure parts of `make bench-night`: process trees, memory, the moment that the first stage starts, the figures."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path

import pytest
from bench_night import Ran, first_stage_started, night_config, night_figures, nights_of_calendar
from process_memory import Peak, memory_of_tree, parent_of, pss_bytes, tree_of, watch, way_to_count

ROOT = Path(__file__).parents[1]


def test_a_parent_is_read_past_a_name_with_blanks_and_brackets() -> None:
    assert parent_of("42 (a) name) S 7 42 42 0") == 7


def test_a_tree_holds_children_of_children_and_nothing_beside() -> None:
    assert tree_of(2, {1: 0, 2: 1, 3: 2, 4: 3, 5: 1}) == {2, 3, 4}
    assert tree_of(9, {1: 0}) == {9}


def test_shared_pages_are_counted_by_their_share() -> None:
    rollup = "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:    900 kB\nPss:    300 kB\nPss_Dirty:   10 kB\n"
    assert pss_bytes(rollup) == 300 * 1024


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="NO /proc HERE: memory cannot be read")
def test_memory_of_a_child_counts_and_is_kept_at_its_peak() -> None:
    size = 50_000_000
    hold = f"held = bytearray({size}); held[::4096] = b'x' * len(held[::4096]); print(flush=True); input()"
    before, peak, ended = memory_of_tree(os.getpid(), "pss"), Peak(), threading.Event()
    child = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    watcher = threading.Thread(target=watch, args=(child.pid, way_to_count(), peak, ended))
    watcher.start()
    assert memory_of_tree(child.pid, "rss") > size
    assert memory_of_tree(os.getpid(), "pss") > before + 0.9 * size
    ended.wait(1.2)
    child.communicate(b"\n")
    ended.set()
    watcher.join()
    assert size < peak.bytes < 3 * size


@pytest.mark.parametrize(
    ("line", "started"),
    [
        ("07:00:12 INFO stage=items night=2026-01-30 rows=800 seconds=3.5\n", 8.5),
        ("stage=items night=2026-01-30 rows=800 seconds=20.0", 0.0),
        (":: loading settings", None),
    ],
)
def test_a_stage_started_its_seconds_before_its_line(line: str, started: float | None) -> None:
    assert first_stage_started(line, now=12.0) == started


def test_figures_of_a_night() -> None:
    summary = {"night": "2026-01-30", "rows": {"items": 8, "events": 40}, "seconds": {"items": 2.5, "events": 3.5}}
    ran = Ran(seconds=20.0, startup=5.0, peak=2_500_000_000, counted_by="pss")
    assert night_figures(summary, ran, shoppers=100) == {
        "seconds_items": 2.5, "seconds_events": 3.5, "rows_items": 8, "rows_events": 40, "seconds_stages": 6.0,
        "seconds_startup": 5.0, "seconds_wall": 20.0, "startup_share": 0.25, "peak_memory_gb": 2.5,
        "memory_counted_by": "pss", "shoppers": 100, "night": "2026-01-30",
    }  # fmt: skip


def test_the_demo_is_run_in_a_folder_of_its_own_and_shrunk_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SHOPPERS", "60")
    config = night_config()
    assert config.shop.shoppers == 60
    paths = (config.lake.path, config.shop.path, config.source.events, config.mlflow.tracking_uri)
    assert all("build/bench/night/" in path for path in paths)
    assert nights_of_calendar(config) == [date(2026, 1, 28), date(2026, 1, 29), date(2026, 1, 30)]
