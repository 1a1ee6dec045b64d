"""The package and its spark-submit lines, on what looks like a machine with a runtime's Spark and no project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pyspark.sql import SparkSession

from nightrank.cli import run_job
from nightrank.session import LOCAL
from nightrank.stages import JOBS
from nightrank.storage import nights_of
from nightrank.tables import TABLES
from nights import BULK_UNTIL, LAST, Lake, copy_of, hashes, loaded

ROOT = Path(__file__).parents[1]
SITE = Path(sysconfig.get_path("purelib"))
# What the environment must not have: the runtime brings Spark and Delta, --py-files brings nightrank.
NOT_IN_ENVIRONMENT = re.compile(r"(__editable__.*)?(nightrank|pyspark|py4j|delta)([_.-]|$)|__pycache__|.*\.pth")


@dataclass(frozen=True)
class Machine:
    """package: what `make package` built, with an environment archive. spark: a runtime's SPARK_HOME."""

    package: Path
    spark: Path

    def shell(self, lines: str) -> subprocess.CompletedProcess[str]:
        """The lines in a clean shell in the package's folder, with the HOME and the BLAS kernels of this process."""
        java = shutil.which("java")
        assert java
        clean = {
            "PATH": f"{self.spark}/bin:/usr/bin:/bin:{Path(java).parent}",
            "SPARK_HOME": str(self.spark),
            "SPARK_SUBMIT_OPTS": LOCAL["spark.driver.extraJavaOptions"],
            **{name: os.environ[name] for name in ("HOME", "JAVA_HOME", "OPENBLAS_CORETYPE") if name in os.environ},
        }
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            cwd=self.package, env=clean, capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip


def make_package(folder: Path) -> None:
    """Runs `make package` into a folder, with the virtual environment of these tests as it is."""
    command = ["make", "package", f"VENV={sys.prefix}", f"PACKAGE={folder}", "-o", f"{sys.prefix}/.installed"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder = tmp_path_factory.mktemp("machine")
    make_package(folder / "package")
    environment = folder / "its_making"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    site = next(environment.glob("lib/python*/site-packages"))
    for entry in SITE.iterdir():
        if not NOT_IN_ENVIRONMENT.match(entry.name):
            (site / entry.name).symlink_to(entry)
    # Links to what is installed here: the whole environment is some gigabytes, and is packed in the same way.
    with tarfile.open(folder / "package" / "environment.tar.gz", "w:gz") as archive:
        archive.add(environment, ".")
    (folder / "spark").mkdir()
    for name in ("bin", "jars", "python", "sbin"):
        (folder / "spark" / name).symlink_to(SITE / "pyspark" / name)
    return Machine(folder / "package", folder / "spark")


def readme_lines(heading: str) -> str:
    """The first block of commands under a heading of the README."""
    below = (ROOT / "README.md").read_text().split(f"\n## {heading}\n")[1]
    return below.split("```")[1]


def tonights(spark: SparkSession, config_path: Path) -> dict[tuple[str, str], str]:
    return hashes(spark, loaded(config_path), since=LAST)


def expected(lake: Lake) -> dict[tuple[str, str], str]:
    return {key: value for key, value in lake.hashes.items() if key[1] == str(LAST)}


@pytest.mark.long
@pytest.mark.parametrize(("master", "partitions"), [("local[2]", 7), ("local-cluster[2,1,2048]", 3)])
def test_the_readme_lines_run_where_nothing_of_the_project_is(
    spark: SparkSession,
    lake: Lake,
    machine: Machine,
    tmp_path: Path,
    master: str,
    partitions: int,
) -> None:
    """And give the tables of the lake, which was made in another process, on other cores, with other partitions."""
    quick = {**LOCAL, "spark.executor.extraJavaOptions": LOCAL["spark.driver.extraJavaOptions"]}
    own = {"master": None, "local_settings": False, "settings": quick, "shuffle_partitions": partitions}
    config = copy_of(lake, tmp_path, before=True, spark=own)
    assert {night for table in TABLES for night in nights_of(spark, loaded(config).lake, table)[-1:]} == {BULK_UNTIL}
    lines = readme_lines("spark-submit")
    for written, here in {
        "make package package-env\ncd build/package\n": "",
        "--master yarn": f"--master '{master}'",
        "conf/prod.yaml": str(config),
        "2026-02-01": str(LAST),
    }.items():
        assert lines.count(written) == 1
        lines = lines.replace(written, here)
    done = machine.shell(lines)
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads((tmp_path / "lake" / "run_summary.json").read_text())
    assert (summary["status"], summary["night"]) == ("ok", str(LAST))
    assert tonights(spark, config) == expected(lake)
    # Each executor worked with the archive's Python and with the zip, in its own folder.
    unpacked = 2 if master.startswith("local-cluster") else 0
    for name in ("environment/bin/python", "nightrank.zip"):
        assert len(list(machine.spark.glob(f"work/*/*/{name}"))) == unpacked


@pytest.mark.long
def test_the_same_night_again_by_its_four_jobs_is_the_same_night(
    spark: SparkSession, lake: Lake, tmp_path: Path
) -> None:
    """Twice == once, and the four jobs one after another == nightly: no night of any table differs."""
    config = copy_of(lake, tmp_path)
    night = ["--config", str(config), "--run-date", f"before:{LAST.replace(day=LAST.day + 1)}", "--again"]
    for job in JOBS:
        assert run_job(job, night) == 0
    assert hashes(spark, loaded(config)) == lake.hashes


def test_the_environment_has_neither_the_project_nor_spark_nor_delta(machine: Machine) -> None:
    found = machine.shell(
        "mkdir -p environment && tar -xzf environment.tar.gz -C environment\n"
        "for name in nightrank pyspark delta torch petastorm; do\n"
        "  ./environment/bin/python -c \"import importlib.util as u; print(u.find_spec('$name') is not None)\"; done"
    )
    assert found.stdout.split() == ["False", "False", "False", "True", "True"], found.stderr


def test_a_package_has_the_wheel_the_zip_the_jobs_and_the_configs(machine: Machine, tmp_path: Path) -> None:
    wheel = next(machine.package.glob("*.whl"))
    assert wheel.read_bytes() == (machine.package / "nightrank.zip").read_bytes()
    modules = {str(path.relative_to(ROOT / "lib")) for path in (ROOT / "lib" / "nightrank").rglob("*.py")}
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("nightrank/")}
    assert names == modules | {"nightrank/py.typed", "nightrank/sizing.json"}
    for folder in ("jobs", "conf"):
        assert {path.name for path in (machine.package / folder).iterdir()} == {
            path.name for path in (ROOT / folder).iterdir() if path.is_file()
        }
    assert (machine.package / "databricks.yml").read_bytes() == (ROOT / "conf" / "databricks.yml").read_bytes()
    make_package(tmp_path / "again")
    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes()


def asked_for(requirements: list[str], extra: str = "") -> Iterator[str]:
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield canonicalize_name(requirement.name)


def test_the_wheel_never_asks_for_pyspark_not_even_through_others(machine: Machine) -> None:
    metadata = zipfile.ZipFile(machine.package / "nightrank.zip").read("nightrank-0.2.0.dist-info/METADATA").decode()
    lines = re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)
    todo, seen = [*asked_for(lines), *asked_for(lines, "model")], set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            try:
                todo += asked_for(requires(name) or [])
            except PackageNotFoundError:  # an extra's package that is not installed here
                continue
    assert {"torch", "mlflow", "pyarrow"} <= seen
    assert not seen & {"pyspark", "delta-spark", "petastorm", "databricks-connect"}
    # petastorm comes without what it asks for, so the wheel asks for that itself.
    assert set(asked_for(requires("petastorm") or [])) - {"pyspark"} <= set(asked_for(lines))
