"""Small files that lie beside the lake's tables, on whatever file system the lake is."""

from __future__ import annotations

import os
from typing import Any

from nightrank.config import Config


def in_lake(config: Config, name: str) -> tuple[Any, str]:
    """The lake's file system and the path of `name` in it."""
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # it ships no types

    files, path = url_to_fs(f"{config.lake.path.rstrip('/')}/{name}")
    return files, path


def write_whole(config: Config, name: str, content: bytes) -> None:
    """Writes the file so that readers see all of it or none."""
    files, path = in_lake(config, name)
    files.makedirs(os.path.dirname(path), exist_ok=True)
    files.pipe_file(f"{path}.part", content)
    files.mv(f"{path}.part", path)  # a rename
