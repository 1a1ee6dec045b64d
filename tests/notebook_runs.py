"""Running the notebooks: `make notebooks` writes them with what they show of the demo; the tests run them small."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
NOTEBOOKS = tuple(sorted((ROOT / "notebooks").glob("*.ipynb")))
LONGEST_CELL_SECONDS = 300


def opened(path: Path) -> NotebookNode:
    """The notebook in the file."""
    return nbformat.read(path, as_version=4)


def executed(notebook: NotebookNode) -> NotebookNode:
    """The notebook with fresh outputs, run from the project's root; raises CellExecutionError where a cell fails."""
    where = {"metadata": {"path": str(ROOT)}}
    return NotebookClient(
        notebook, timeout=LONGEST_CELL_SECONDS, kernel_name="python3", resources=where, record_timing=False
    ).execute()


def cleaned(notebook: NotebookNode) -> NotebookNode:
    """The notebook with nothing in it that another machine or another run would change: what is committed.

    Execution counts and what was written to standard error (warnings, and Spark's own lines with their paths) go.
    """
    for cell in notebook.cells:
        cell.metadata.clear()
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = None
    notebook.metadata.get("language_info", {}).pop("version", None)
    return notebook


def texts_shown(notebook: NotebookNode) -> str:
    """Everything in the outputs that is text, pictures left out."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [text for o in outputs for kind, text in o.get("data", {}).items() if not kind.startswith("image/")]
    return "\n".join([*shown, *(o["text"] for o in outputs if "text" in o)])


def pictures_shown(notebook: NotebookNode) -> int:
    """How many pictures the outputs hold."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def main() -> int:
    """Runs every notebook on the lake of conf/demo.yaml (or NIGHTRANK_CONFIG) and writes it with what it shows."""
    for path in NOTEBOOKS:
        nbformat.write(cleaned(executed(opened(path))), path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
