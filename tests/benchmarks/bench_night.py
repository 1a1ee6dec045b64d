"""make bench-night: one ordinary night of the demo's shop, in a process of its own, as a scheduler starts it.

The shop is written, loaded in bulk, and its nights are run, each by `nightrank run nightly --run-date`; the figures are
the last night's. SHOPPERS=n makes the shop smaller for a trial. seconds_startup is all until the first stage starts:
Python, the imports and the Spark session; startup_share is its share of seconds_wall. peak_memory_gb (1e9 bytes) is of
driver, JVM and Python workers together; memory_counted_by says whether shared pages count once (pss) or not (rss).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml
from bench_world import config_in
from figures import say_figures
from process_memory import Peak, watch, way_to_count

from nightrank.config import Config, load_config
from nightrank.shop.ubi_log import write_shop

FOLDER = Path("build/bench/night")
STAGE_LINE = re.compile(r"\bstage=(\w+) .*\bseconds=([\d.]+)")


@dataclass(frozen=True)
class Ran:
    """One night's process: its wall time, the time until its first stage started, its peak memory in bytes."""

    seconds: float
    startup: float
    peak: int
    counted_by: str


def night_config() -> Config:
    """The demo's settings in a folder of the benchmark's own, with SHOPPERS shoppers where that is set."""
    demo = load_config("conf/demo.yaml")
    shoppers = int(os.environ.get("SHOPPERS", demo.shop.shoppers))
    return config_in(FOLDER, demo.model_copy(update={"shop": demo.shop.model_copy(update={"shoppers": shoppers})}))


def nights_of_calendar(config: Config) -> Sequence[date]:
    """The bulk load's night and the ordinary ones after it. The demo's calendar has both."""
    first = config.calendar.bulk_until
    assert first is not None
    return [first + timedelta(days=n) for n in range(config.calendar.nights + 1)]


def run_night(config_path: Path, night: date) -> Ran:
    """What one night took, run by the command that a scheduler runs. Raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", "nightrank", "run", "nightly"]
    command += ["--config", str(config_path), "--run-date", str(night)]
    started, startup = time.monotonic(), None
    counted_by, peak, ended = way_to_count(), Peak(), threading.Event()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        watcher = threading.Thread(target=watch, args=(running.pid, counted_by, peak, ended), daemon=True)
        watcher.start()
        for line in running.stderr:
            sys.stderr.write(line)
            if startup is None:
                startup = first_stage_started(line, time.monotonic() - started)
        code = running.wait()
        ended.set()
        watcher.join()
    if code or startup is None:
        raise subprocess.CalledProcessError(code, command)
    return Ran(time.monotonic() - started, startup, peak.bytes, counted_by)


def first_stage_started(line: str, now: float) -> float | None:
    """When the stage started that this log line, read at `now`, says has ended; None: it is another kind of line."""
    found = STAGE_LINE.search(line)
    return max(now - float(found[2]), 0.0) if found else None


def night_figures(summary: Mapping[str, Any], ran: Ran, shoppers: int) -> dict[str, float | int | str]:
    """The benchmark's figures, from the last night's run_summary.json and its process."""
    figures: dict[str, float | int | str] = {f"seconds_{name}": s for name, s in summary["seconds"].items()}
    figures |= {f"rows_{name}": rows for name, rows in summary["rows"].items()}
    return figures | {
        "seconds_stages": sum(summary["seconds"].values()),
        "seconds_startup": ran.startup,
        "seconds_wall": ran.seconds,
        "startup_share": ran.startup / ran.seconds,
        "peak_memory_gb": ran.peak / 1e9,
        "memory_counted_by": ran.counted_by,
        "shoppers": shoppers,
        "night": summary["night"],
    }


def main() -> None:
    """Writes the shop, runs every night of the calendar, and says what the last one took."""
    config = night_config()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    write_shop(config.shop, Path(config.shop.path))
    path = FOLDER / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    ran = [run_night(path, night) for night in nights_of_calendar(config)][-1]
    summary = json.loads((Path(config.lake.path) / "run_summary.json").read_text(encoding="utf-8"))
    say_figures("night", night_figures(summary, ran, config.shop.shoppers))


if __name__ == "__main__":
    main()
