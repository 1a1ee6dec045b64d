"""What MLflow has yet to be told: one JSON file a note, in `<lake>/mlflow_outbox/`, until it was told.

A note is kept before anything is sent, so that a server that is down, slow, or a run that is killed loses no figure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nightrank.config import Config
from nightrank.models.lake_files import in_lake, write_whole

FOLDER, REFUSED = "mlflow_outbox", "refused"


@dataclass(frozen=True)
class Input:
    """What a job has read. path: also a table's name in a catalog. version: of a Delta table; None: a raw log."""

    name: str
    path: str
    version: int | None = None


@dataclass(frozen=True)
class Note:
    """What is to be told of one job's night; parts that are empty are not told.

    about: with night and job the note's name: a later note of that name replaces one that still waits.
    status: how the job ended, in MLflow's words. seconds: how long it took.
    """

    night: str
    job: str
    about: str
    status: str | None = None
    seconds: float = 0.0
    tags: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    summary: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Waiting:
    """A note in the outbox. at: when it was kept, in milliseconds since 1970: sent twice, it is the same twice."""

    note: Note
    name: str
    at: int


def keep_note(config: Config, note: Note) -> None:
    """Puts the note into the outbox."""
    content = json.dumps(asdict(note), sort_keys=True, default=str)
    write_whole(config, f"{FOLDER}/{note.night}-{note.job}-{note.about}.json", content.encode())


def waiting_notes(config: Config) -> list[Waiting]:
    """The notes in the outbox, oldest night first. A file that is no note is moved to `refused/`."""
    files, folder = in_lake(config, FOLDER)
    if not files.exists(folder):
        return []
    names = sorted(path.rsplit("/", 1)[-1] for path in files.ls(folder, detail=False) if path.endswith(".json"))
    found = (_read(config, name) for name in names)
    return [waiting for waiting in found if waiting]


def drop_note(config: Config, waiting: Waiting) -> None:
    """Removes a note that was told, unless another of its name was kept meanwhile."""
    files, path = in_lake(config, f"{FOLDER}/{waiting.name}")
    if files.exists(path) and _kept_at(files, path) == waiting.at:
        files.rm_file(path)


def refuse_note(config: Config, name: str) -> None:
    """Moves a note that MLflow will never take out of the way, to `refused/`."""
    files, path = in_lake(config, f"{FOLDER}/{name}")
    _, aside = in_lake(config, f"{FOLDER}/{REFUSED}/{name}")
    files.makedirs(aside.rsplit("/", 1)[0], exist_ok=True)
    files.mv(path, aside)


def _read(config: Config, name: str) -> Waiting | None:
    files, path = in_lake(config, f"{FOLDER}/{name}")
    try:
        values = json.loads(files.cat_file(path))
        inputs = tuple(Input(**one) for one in values.pop("inputs"))
        return Waiting(Note(**values, inputs=inputs), name, _kept_at(files, path))
    except (ValueError, TypeError, KeyError):
        refuse_note(config, name)
        return None


def _kept_at(files: Any, path: str) -> int:
    return int(files.modified(path).timestamp() * 1000)
