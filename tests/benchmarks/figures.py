"""How a benchmark says its figures: one `key=value` line each, and all of them in build/bench/<name>.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path("build/bench")


def say_figures(name: str, figures: Mapping[str, float | int | str]) -> None:
    """Prints each figure on a line of its own and writes all of them to build/bench/<name>.json.

    Numbers are rounded to four decimals in both, so that the two never differ; -0.0 is 0.0.
    """
    rounded = {key: round(value, 4) + 0.0 if isinstance(value, float) else value for key, value in figures.items()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
    for key, value in rounded.items():
        print(f"{key}={value}")
