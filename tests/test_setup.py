"""The files that set a machine up and start the jobs: pins, Makefile, CI, entry points."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
JOBS = ("prepare", "encode", "train", "rerank", "nightly", "encoder")
COMMANDS = {
    "demo": "-m nightrank demo --config conf/demo.yaml",
    "test": '-m "not long" tests',
    "check": "-m mypy",
    "bench-online-retail": "tests/benchmarks/bench_online_retail.py",
}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    named = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in named}


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for group in project["optional-dependencies"].values() for line in group]
    return [Requirement(line) for line in (*project["dependencies"], *extras)]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_what_pyproject_names_is_pinned_within_its_bounds(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_pins_are_names_and_versions_and_nothing_else() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)] == []
    assert lines == sorted(lines, key=lambda line: canonicalize_name(line.split("==")[0]))
    assert "://" not in (ROOT / "constraints.txt").read_text()


def planned(target: str, venv: Path) -> str:
    """What make would run for a target, as text."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "VENV"))}
    command = ["make", "--dry-run", target, f"VENV={venv}"]
    return subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("target", COMMANDS)
def test_each_target_sets_up_what_is_missing_and_only_then(target: str, tmp_path: Path) -> None:
    first = planned(target, tmp_path)
    assert first.index('pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,model,local]"') < (
        first.index(COMMANDS[target])
    )
    assert "openjdk-$version-jre-headless" in first
    (tmp_path / ".installed").touch()
    second = planned(target, tmp_path)
    assert COMMANDS[target] in second
    assert not {"pip", "venv", "apt-get"} & set(re.split(r"[ \n]", second))


def test_check_holds_lint_format_types_and_imports(tmp_path: Path) -> None:
    (tmp_path / ".installed").touch()
    runs = [line.split("/bin/")[1] for line in planned("check", tmp_path).splitlines()]
    assert runs == [
        "python -m ruff check lib jobs tests notebooks",
        "python -m ruff format --check lib jobs tests notebooks",
        "python -m mypy",
        "lint-imports",
    ]


def test_clean_keeps_the_lake_and_the_environment(tmp_path: Path) -> None:
    removed = planned("clean", tmp_path).split()
    assert removed[:2] == ["rm", "-rf"]
    assert not {"lake", ".venv", str(tmp_path), ".", "/"} & set(removed)


def test_ci_is_check_and_test() -> None:
    script = ROOT / ".ci" / "run"
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "set -euo pipefail"
    assert lines[2:] == ["make check", "make test"]
    assert os.access(script, os.X_OK)


def test_the_jobs_are_the_ones_that_there_are() -> None:
    assert sorted(path.stem for path in (ROOT / "jobs").glob("*.py")) == sorted(JOBS)


@pytest.mark.parametrize("job", JOBS)
def test_a_job_defines_nothing_and_starts_its_own_stages(job: str) -> None:
    tree = ast.parse((ROOT / "jobs" / f"{job}.py").read_text())
    kinds = [type(node).__name__ for node in tree.body]
    assert kinds == ["Expr", "Import", "ImportFrom", "If"]
    assert ast.unparse(tree.body[-1].body[0]) == f"sys.exit(run_job('{job}', sys.argv[1:]))"  # type: ignore[attr-defined]  # an If
