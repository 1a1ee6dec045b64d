"""The notebooks run, tell the night in its order, and carry nothing of the machine that they were run on."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

import pytest

from nightrank.config import Config
from nightrank.stages import STAGES
from nights import Lake
from notebook_runs import NOTEBOOKS, ROOT, cleaned, executed, opened, pictures_shown, texts_shown

ONE_NIGHT = ROOT / "notebooks" / "01_one_night.ipynb"
VECTORS = ROOT / "notebooks" / "02_what_the_vectors_know.ipynb"
JUDGE = ROOT / "notebooks" / "03_judge_a_ranker.ipynb"
LONGEST_CELL = 12
FEWEST_PICTURES = 15
ABSOLUTE_PATH = re.compile(r"(?<![\w.>])/(home|root|Users|tmp|usr|opt|var|mnt|work|etc|private)\b|[A-Z]:\\\\|file://")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_one_night_runs_on_a_small_lake(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a kernel with a Spark of its own, on one core. The lake is only read."""
    monkeypatch.setenv("NIGHTRANK_CONFIG", str(lake.path))
    before = sorted(file for file in lake.path.parent.rglob("*") if file.is_file())
    notebook = executed(opened(ONE_NIGHT))
    assert pictures_shown(notebook) >= FEWEST_PICTURES
    assert all(stage.name in texts_shown(notebook) for stage in STAGES if stage.wanted(lake.config))
    assert sorted(file for file in lake.path.parent.rglob("*") if file.is_file()) == before


@pytest.mark.long
def test_what_the_vectors_know_runs_on_a_small_lake(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTRANK_CONFIG", str(lake.path))
    notebook = executed(opened(VECTORS))
    assert pictures_shown(notebook) == 6
    # Codes with their items, and the night's own figures of them.
    assert re.search(r"code:c[0-9a-f]{10}:0:\d+ ", texts_shown(notebook))
    assert "code_drift" in texts_shown(notebook)


@pytest.mark.long
def test_judge_a_ranker_runs_on_a_small_lake(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTRANK_CONFIG", str(lake.path))
    notebook = executed(opened(JUDGE))
    assert pictures_shown(notebook) == 6
    assert all(word in texts_shown(notebook) for word in ("min_agreement", "helped", "class:category", "open gate"))


def test_one_night_tells_the_stages_in_running_order() -> None:
    headings = re.findall(r"^## `(\w+)`", "\n".join(cell.source for cell in opened(ONE_NIGHT).cells), re.MULTILINE)
    assert headings == [stage.name for stage in STAGES if stage.wanted(Config())]


@every_notebook
def test_cells_are_short(path: Path) -> None:
    code = [cell.source for cell in opened(path).cells if cell.cell_type == "code"]
    assert not [source for source in code if len(source.splitlines()) > LONGEST_CELL]


@every_notebook
def test_a_committed_notebook_shows_pictures_and_nothing_of_a_machine(path: Path) -> None:
    notebook = opened(path)
    assert pictures_shown(notebook) >= 1
    everything = "\n".join([texts_shown(notebook), *(cell.source for cell in notebook.cells)])
    assert not ABSOLUTE_PATH.findall(everything)
    assert not re.search(rf"\b{re.escape(getpass.getuser())}\b", texts_shown(notebook))
    assert notebook == cleaned(opened(path)), "written by hand? `make notebooks` runs and cleans it"


@pytest.mark.parametrize("text", ["/home/me/lake", "in /tmp/x", "file:///x", "'/root/.ivy2'"])
def test_a_machine_path_would_be_found(text: str) -> None:
    assert ABSOLUTE_PATH.search(text)
