"""The rules of the house, held by reading the house."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest
import yaml

from nightrank import tables
from nightrank.config import Config, load_config
from nightrank.picture import night_in_a_picture
from nightrank.stages import JOBS, STAGES, WEEKLY, WEEKLY_JOBS

ROOT = Path(__file__).parents[1]
LIB = ROOT / "lib" / "nightrank"
SOURCES = sorted(LIB.rglob("*.py"))
LONGEST_FILE, MEDIAN_FILE = 250, 100
# All contracts, all settings: one list each, which splitting would hide.
LISTS = {"tables.py", "sections.py"}
LONGEST_FUNCTION, MEDIAN_FUNCTION = 25, 10


def functions(path: Path) -> list[tuple[str, int]]:
    """Each function of a file with the lines of its body, docstring and signature not counted."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            found.append((f"{path.name}:{node.name}", node.end_lineno - body[0].lineno + 1))
    return found


def test_files_are_short() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in SOURCES}
    too_long = {name: n for name, n in lengths.items() if n > LONGEST_FILE and name not in LISTS}
    assert not too_long
    assert median(lengths.values()) <= MEDIAN_FILE


def test_functions_are_short() -> None:
    found = [f for path in SOURCES for f in functions(path)]
    assert not [f for f in found if f[1] > LONGEST_FUNCTION]
    assert median(length for _, length in found) <= MEDIAN_FUNCTION


def test_every_table_is_a_stage_and_every_stage_has_its_places() -> None:
    assert sorted(s.name for s in (*STAGES, *WEEKLY)) == sorted(t.name for t in tables.TABLES)
    for stage in (*STAGES, *WEEKLY):
        assert stage.build.__name__ == f"build_{stage.name}"
        assert stage.build.__module__ == f"nightrank.steps.{stage.name}"
        assert stage.name in Config.model_fields, f"no config section for {stage.name}"
        assert (ROOT / "tests" / "steps" / f"test_{stage.name}.py").exists(), f"no test file for {stage.name}"


def test_jobs_cover_the_stages_once_in_order() -> None:
    in_order = [s.name for job in JOBS for s in STAGES if s.job == job]
    assert in_order == [s.name for s in STAGES]
    assert {s.job for s in WEEKLY} == set(WEEKLY_JOBS)
    assert sorted(p.stem for p in (ROOT / "jobs").glob("*.py")) == sorted([*JOBS, *WEEKLY_JOBS, "nightly"])


def test_a_stage_reads_only_what_is_made_before_it_or_stood_earlier() -> None:
    stages = (*STAGES, *WEEKLY)
    for at, stage in enumerate(stages):
        made = {s.name for s in stages[:at]}
        for read in stage.reads:
            if read.table and read.nights.__name__ == "tonight":
                assert read.table.name in made, f"{stage.name} reads tonight's {read.table.name} before it is made"


def test_the_readme_shows_the_current_picture() -> None:
    assert night_in_a_picture() in (ROOT / "README.md").read_text()


def test_base_yaml_spells_every_default_out() -> None:
    written = yaml.safe_load((ROOT / "conf" / "base.yaml").read_text())
    assert written == Config().model_dump(mode="json")


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("*.yaml")), ids=lambda p: p.name)
def test_every_overlay_loads(path: Path) -> None:
    assert isinstance(load_config(path), Config)


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded after a statement."""
    script = f"import sys; {statement}; print(' '.join({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_line_starts_without_torch() -> None:
    loaded = loaded_by("import nightrank.cli, nightrank.stages, nightrank.runner")
    assert not loaded & {"torch", "transformers", "mlflow", "petastorm"}


def test_numbers_know_no_spark() -> None:
    files = [p.relative_to(LIB.parent).with_suffix("") for p in (LIB / "models").rglob("*.py") if p.stem != "__init__"]
    names = [".".join(file.parts) for file in files]
    assert "pyspark" not in loaded_by("import " + ", ".join(names))


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        # The session only asks Delta's own function for the jar that fits; storage alone reads and writes tables.
        ("delta", {"storage.py", "session.py"}),
        ("petastorm", {"petastorm_feed.py", "petastorm_compat.py"}),
        # Tracking has experiments, runs and figures; the registry has versions and aliases.
        ("mlflow", {"registry.py", "tracking.py"}),
        (r"pyspark\.ml\.torch", {"devices.py"}),
    ],
)
def test_a_library_lives_in_one_place(library: str, homes: set[str]) -> None:
    pattern = re.compile(rf"^\s*(from|import) {library}\b", re.MULTILINE)
    assert {path.name for path in SOURCES if pattern.search(path.read_text())} <= homes


def test_steps_collect_only_in_arrays() -> None:
    action = re.compile(r"\.(collect|count|show|toPandas|toArrow|first|head|take)\(\)")
    found = {p.name for p in (LIB / "steps").glob("*.py") if action.search(p.read_text())}
    assert found <= {"arrays.py"}


def test_nothing_but_the_runner_and_its_lease_read_the_clock() -> None:
    clock = re.compile(r"\b(datetime\.now|date\.today|time\.time|current_timestamp|current_date)\(")
    assert not [p.name for p in SOURCES if clock.search(p.read_text()) and p.name not in {"runner.py", "lease.py"}]
