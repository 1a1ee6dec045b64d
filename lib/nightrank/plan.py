"""What nights of a shop of some size take, before there is one: `nightrank plan`.

Every figure is a line: so much for the stage itself and so much a unit of what drives it (its rows, its work). The
lines are in sizing.json; `make bench-sizing` draws them through measured nights. A half-life is in none of them: it
changes what a value is worth, not how long it is kept, which is what *.forget_nights does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files

from nightrank.config import Config
from nightrank.plan_drivers import DRIVERS, Constants, Sizes
from nightrank.stages import JOBS, STAGES

SIZING = "sizing.json"
GPU_JOBS = ("encode", "train", "rerank")
# Not measured but assumed: one GPU does the work of so many cores in the jobs that use it.
CORES_A_GPU = 20
# Assumed too: the share of texts that are new or changed on a night.
NEW_TEXTS = 0.01
# Redis 7 keeps a string with a key of some 20 characters in about 90 bytes more than the string.
REDIS_KEY_BYTES = 90


@dataclass(frozen=True)
class Needs:
    """What one stage needs on an ordinary night, and its table holds of it.

    hours_known: whether the measured nights took longer the larger they were; else the start-up hid what work costs.
    """

    stage: str
    job: str
    rows: float
    bytes: float
    shuffle_bytes: float
    core_hours: float
    gpu_hours: float
    redis_bytes: float
    hours_known: bool = True


def sizes_asked(
    config: Config,
    shoppers: float,
    items: float,
    events: float,
    searches: float | None = None,
    queries: float | None = None,
    slate: float | None = None,
    dims: float | None = None,
) -> Sizes:
    """The sizes of a shop of which some things are not said: they are the config's, as measured, or one an item.

    Behind its tables lie as many nights as pairs of items are remembered; a hundredth of its texts are new each night.
    """
    measured = measured_constants()["sizes"][-1]
    asked = queries or items
    return Sizes(
        shoppers=shoppers,
        items=items,
        events=events,
        searches=searches or events * measured["searches"] / measured["events"],
        queries=asked,
        nights=config.item_neighbours.forget_nights,
        slate=slate or config.training_examples.slate,
        dims=dims or config.ranker_runs.dims,
        changed_items=items * NEW_TEXTS,
        new_queries=asked * NEW_TEXTS,
    )


@cache
def measured_constants() -> Constants:
    """The lines that `make bench-sizing` drew last."""
    constants: Constants = json.loads((files("nightrank") / SIZING).read_text(encoding="utf-8"))
    return constants


def figure_of(stage: str, figure: str, sizes: Sizes, config: Config, constants: Constants) -> float:
    """What the stage's line says of the figure."""
    fixed, each = constants["tables"][stage][figure]
    return float(fixed + each * DRIVERS[stage].of(figure)(sizes, config, constants))


def needs(sizes: Sizes, config: Config, constants: Constants | None = None) -> Sequence[Needs]:
    """What each stage needs on an ordinary night of a shop of that size."""
    known = constants or measured_constants()
    return [_needs_of(stage.name, stage.job, sizes, config, known) for stage in STAGES if stage.name in DRIVERS]


def _needs_of(stage: str, job: str, sizes: Sizes, config: Config, constants: Constants) -> Needs:
    found = {figure: figure_of(stage, figure, sizes, config, constants) for figure in constants["tables"][stage]}
    rows = found["rows"]
    # A vector has a byte a dimension, in the rows and in what an engine is given.
    wider = rows * (sizes.dims - constants["dims"]) if stage in {"item_tokens", "rerank_weights"} else 0.0
    core_hours = found["core_seconds"] / 3600
    served = found["served_bytes"]
    return Needs(
        stage=stage,
        job=job,
        rows=rows,
        bytes=found["bytes"] + wider,
        shuffle_bytes=found["shuffle_bytes"],
        core_hours=core_hours,
        gpu_hours=core_hours / CORES_A_GPU if job in GPU_JOBS else 0.0,
        redis_bytes=served + wider + REDIS_KEY_BYTES * rows if served else 0.0,
        hours_known=constants["tables"][stage]["core_seconds"][1] > 0,
    )


def plan_in_words(sizes: Sizes, config: Config) -> str:
    """A line a stage, the sums, and what the figures rest on."""
    constants = measured_constants()
    found = needs(sizes, config, constants)
    heads = ("rows", "bytes", "shuffle", "core-hours", "GPU-hours", "Redis bytes")
    lines = [f"{'job':<8} {'stage':<18}" + "".join(f"{head:>12}" for head in heads)]
    for job in JOBS:
        lines += [
            _line(job if n == 0 else "", one.stage, one) for n, one in enumerate(o for o in found if o.job == job)
        ]
    total = {field.name: sum(getattr(one, field.name) for one in found) for field in fields(Needs)[2:-1]}
    lines.append(_line("night", "", Needs("", "", **total)))
    night, bulk = constants["sizes"][-1]["events"], constants["bulk_events"]
    lines += [
        "",
        f"Reckoned from nights of up to {night:,.0f} events and a load of {bulk:,.0f} ({constants['source']}): from",
        f"{sizes.events / night:,.0f} and {sizes.events / bulk:,.0f} times less. Redis: each row as JSON.",
        "?: a stage that took no longer on the largest of those nights than on the smallest; the sums leave it out.",
        f"GPU-hours: the core-hours of {', '.join(GPU_JOBS)} if a GPU does the work of {CORES_A_GPU} cores: assumed.",
    ]
    return "\n".join(lines)


def _line(job: str, stage: str, found: Needs) -> str:
    amounts = [_short(found.rows), _short(found.bytes, "B"), _short(found.shuffle_bytes, "B")]
    hours = [f"{hours:,.1f}" if found.hours_known else "?" for hours in (found.core_hours, found.gpu_hours)]
    cells = [*amounts, *hours, _short(found.redis_bytes, "B") if found.redis_bytes else "-"]
    return f"{job:<8} {stage:<18}" + "".join(f"{cell:>12}" for cell in cells)


def _short(number: float, unit: str = "") -> str:
    """Three digits and the power of a thousand: `1.2 MB`."""
    powers = iter(("", "k", "M", "G", "T", "P"))
    power = next(powers)
    while number >= 999.5:
        number, power = number / 1000, next(powers)
    return f"{number:.3g} {power}{unit}".strip()
