"""make bench-soak: fifteen nights with one seeded fault each, beside the same nights without: the tables must be equal.

Each night is a process of its own that is killed, stopped, made to fail or cut off by a deadline; it is run again until
it ends well. NIGHTS=n takes fewer nights, SEED=n other faults.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import yaml
from bench_world import config_in
from figures import say_figures

from nightrank import tables
from nightrank.config import Config, load_config
from nightrank.faults import POINTS
from nightrank.hashing import hashes_by_night
from nightrank.session import build_session
from nightrank.shop.ubi_log import write_shop
from nightrank.stages import STAGES
from nightrank.storage import read_table

FOLDER = Path("build/bench/soak")
BULK_DAYS = 12
# Stages that this shop has no use for never run: no fault would befall them.
WANTED = [stage for stage in STAGES if stage.wanted(Config())]
NIGHTS = int(os.environ.get("NIGHTS", "15"))
TRIES = 5
# Each of some hundred queries a night would be compiled for a few hundred rows.
INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


@dataclass(frozen=True)
class Fault:
    """What befalls one run. environment: its process's; after: seconds until `number` is sent; deadline: of a stage."""

    kind: str
    environment: Mapping[str, str]
    number: signal.Signals | None = None
    after: float = 0.0
    deadline: Mapping[str, float] | None = None


def faults(seed: int) -> list[Fault]:
    """A fault a night: each kind in turn, its stage, point and time drawn."""
    at = random.Random(seed)
    drawn = []
    for night in range(NIGHTS):
        stage, point = at.choice(WANTED).name, at.choice(POINTS)
        drawn.append(
            (
                Fault("killed_at_point", {"NIGHTRANK_TEST_FAULTS": "1", "NIGHTRANK_FAULT": f"{point}:{stage}:kill"}),
                Fault("killed_at_time", {}, signal.SIGKILL, at.uniform(12, 70)),
                Fault("raised_at_point", {"NIGHTRANK_TEST_FAULTS": "1", "NIGHTRANK_FAULT": f"{point}:{stage}:raise"}),
                Fault("sigterm_at_time", {}, signal.SIGTERM, at.uniform(12, 70)),
                Fault("deadline", {}, deadline={stage: 0.3}),
            )[night % 5]
        )
    return drawn


def shop_config(folder: Path) -> Config:
    """The demo's settings, a smaller shop over more nights, the lake in the folder."""
    demo = load_config("conf/demo.yaml")
    shop = demo.shop.model_copy(update={"shoppers": 150, "items": 120, "days": BULK_DAYS + NIGHTS + 1, "seed": 7})
    first = shop.first_day + timedelta(days=BULK_DAYS - 2)
    calendar = demo.calendar.model_copy(update={"bulk_until": first, "nights": NIGHTS})
    window = demo.training_examples.model_copy(update={"window_nights": 6})
    runs = demo.ranker_runs.model_copy(update={"min_examples": 50, "epochs": 4})
    own = demo.model_copy(update={"shop": shop, "calendar": calendar, "training_examples": window, "ranker_runs": runs})
    found = config_in(folder, own)
    logs = config_in(FOLDER, own)
    spark = demo.spark.model_copy(update={"settings": INTERPRETED, "shuffle_partitions": 2})
    return found.model_copy(update={"shop": logs.shop, "source": logs.source, "spark": spark})


def written(config: Config, path: Path) -> Path:
    """The settings as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    return path


def start(path: Path, *words: str, fault: Fault | None = None) -> subprocess.Popen[bytes]:
    """`nightrank run nightly` as a process; what it says goes into a log beside its config."""
    command = [sys.executable, "-m", "nightrank", "run", "nightly", "--config", str(path), *words]
    environment = {**os.environ, **(fault.environment if fault else {})}
    with (path.parent / "log").open("a") as log:
        return subprocess.Popen(command, env=environment, stderr=log, stdout=log)


def run(path: Path, *words: str, fault: Fault | None = None) -> int:
    """The exit code of `nightrank run nightly`; minus the signal that killed it."""
    process = start(path, *words, fault=fault)
    if fault and fault.number:
        deadline = time.monotonic() + fault.after
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        if process.poll() is None:
            process.send_signal(fault.number)
    return process.wait()


def night_with(fault: Fault, config: Config, path: Path, night: date) -> int:
    """How many runs the night took: 1 where the fault missed it. RuntimeError where TRIES of them do not end well."""
    faulty = config
    if fault.deadline:
        faulty = config.model_copy(update={"run": config.run.model_copy(update={"deadline_seconds": fault.deadline})})
    code = run(written(faulty, path.with_name("faulty.yaml")), "--run-date", str(night), fault=fault)
    where = fault.environment.get("NIGHTRANK_FAULT", fault.deadline or round(fault.after, 1))
    print(f"night {night} {fault.kind} {where} ended with {code}", file=sys.stderr)
    tries = 1
    while code:
        if tries == TRIES:
            raise RuntimeError(f"night {night} did not end well in {TRIES} runs after {fault}: {code}")
        code = run(path, "--run-date", str(night))
        tries += 1
    return tries


def main() -> None:
    """How many nights ended with the fault-free hashes, and how many hashes were compared."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    faultless, faulty = (shop_config(FOLDER / name) for name in ("faultless", "faulty"))
    write_shop(faultless.shop, Path(faultless.shop.path))
    path = written(faulty, FOLDER / "faulty" / "config.yaml")
    first = faulty.calendar.bulk_until
    assert first is not None
    beside = start(written(faultless, FOLDER / "faultless" / "config.yaml"))
    if code := run(path, "--run-date", str(first)):
        raise RuntimeError(f"the bulk load ended with {code}")
    seed = int(os.environ.get("SEED", "3"))
    nights = [first + timedelta(days=n) for n in range(1, NIGHTS + 1)]
    tries = [night_with(fault, faulty, path, night) for fault, night in zip(faults(seed), nights, strict=True)]
    if code := beside.wait():
        raise RuntimeError(f"the nights without faults ended with {code}")
    spark = build_session(faultless.spark)
    whole = (first, nights[-1], False)
    found = [
        hashes_by_night({table: read_table(spark, one.lake, table, *whole) for table in tables.TABLES})
        for one in (faultless, faulty)
    ]
    equal = {key: found[0].get(key) == found[1].get(key) for key in found[0].keys() | found[1].keys()}
    for table, night in sorted(key for key, same in equal.items() if not same):
        print(f"differs: {table} {night}", file=sys.stderr)
    by_night = {night: all(same for (_, day), same in equal.items() if day == night) for night in nights}
    hit = sum(runs > 1 for runs in tries)
    figures = {"nights": NIGHTS, "seed": seed, "faults_hit": hit, "runs": sum(tries), "hashes_compared": len(equal)}
    say_figures("soak", {**figures, "nights_equal": sum(by_night.values()), "hashes_equal": sum(equal.values())})


if __name__ == "__main__":
    main()
