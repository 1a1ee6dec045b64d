"""The picture of the night, drawn from STAGES: the README shows exactly this."""

from __future__ import annotations

from nightrank.stages import JOBS, STAGES, Stage

WIDTH = 18


def night_in_a_picture() -> str:
    """One line a stage in running order: job, table, and what it reads (a table's earlier nights as `name'`)."""
    lines = []
    for job in JOBS:
        for n, stage in enumerate(s for s in STAGES if s.job == job):
            lines.append(f"{job if n == 0 else '':<8} {stage.name:<{WIDTH}} <- {', '.join(_read_by(stage))}")
    return "\n".join(lines)


def _read_by(stage: Stage) -> list[str]:
    made = {s.name for s in STAGES[: STAGES.index(stage)]}
    return [f"{r.parameter}'" if r.table and r.table.name not in made else r.parameter for r in stage.reads]
