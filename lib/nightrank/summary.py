"""What a run did, in a file beside the tables: run_summary.json."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field

from nightrank.config import Config
from nightrank.models.lake_files import write_whole

log = logging.getLogger("nightrank")
FILE = "run_summary.json"


@dataclass
class Summary:
    """What one run did; written to run_summary.json whatever happens. metrics: by stage, of what it wrote."""

    status: str = "running"
    reason: str = ""
    night: str = ""
    stage: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def write_summary(config: Config, summary: Summary) -> None:
    """Writes the file, whole or not at all. Never raises: the run's own end is what has to be told."""
    try:
        write_whole(config, FILE, (json.dumps(asdict(summary), indent=1) + "\n").encode())
    except Exception as error:
        log.warning("%s=unwritten night=%s error=%s", FILE, summary.night, type(error).__name__)
