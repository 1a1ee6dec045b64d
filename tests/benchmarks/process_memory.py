"""How much memory a process and all that it started use, read from /proc: a driver, its JVM and Python workers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
KIB = 1024
# Each look walks the page tables of a JVM of some GB, which takes tens of milliseconds.
SECONDS_BETWEEN = 0.5


def parent_of(stat: str) -> int:
    """The parent's process id in the text of /proc/<pid>/stat, whose second field may hold blanks and brackets."""
    return int(stat.rpartition(")")[2].split()[1])


def tree_of(root: int, parents: Mapping[int, int]) -> frozenset[int]:
    """`root` and every process below it; parents: process id -> parent's."""
    found, added = {root}, {root}
    while added:
        added = {pid for pid, parent in parents.items() if parent in added} - found
        found |= added
    return frozenset(found)


def pss_bytes(smaps_rollup: str) -> int:
    """The proportional set size in the text of /proc/<pid>/smaps_rollup: a page shared by n processes counts 1/n."""
    return next(int(line.split()[1]) * KIB for line in smaps_rollup.splitlines() if line.startswith("Pss:"))


def rss_bytes(statm: str) -> int:
    """The resident set size in the text of /proc/<pid>/statm: shared pages count in every process that has them."""
    return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")


# Forked Python workers share most of their pages: resident sizes would count them once a worker.
READERS: Mapping[str, tuple[str, Callable[[str], int]]] = {
    "pss": ("smaps_rollup", pss_bytes),
    "rss": ("statm", rss_bytes),
}


def memory_of_tree(root: int, counted_by: str) -> int:
    """Bytes used by `root` and all below it; a process that ended meanwhile counts nothing.

    counted_by: `pss` or `rss`.
    """
    file, size = READERS[counted_by]
    texts = (_text(PROC / str(pid) / file) for pid in tree_of(root, all_parents()))
    return sum(size(text) for text in texts if text)


def all_parents() -> dict[int, int]:
    """The parent's process id of every process."""
    pids = [int(folder.name) for folder in PROC.iterdir() if folder.name.isdigit()]
    return {pid: parent_of(_text(PROC / str(pid) / "stat") or "0 () X 0") for pid in pids}


def high_waters(root: int, called: str) -> list[int]:
    """The largest resident size, in bytes, of each process below `root` whose command line has `called` in it.

    Pages that it shares with others count, those of mapped files too.
    """
    below = sorted(tree_of(root, all_parents()) - {root})
    texts = [_text(PROC / str(pid) / "status") for pid in below if called in _text(PROC / str(pid) / "cmdline")]
    return [high_water_bytes(text) for text in texts if "VmHWM:" in text]


def high_water_bytes(status: str) -> int:
    """The largest resident size in the text of /proc/<pid>/status."""
    return next(int(line.split()[1]) * KIB for line in status.splitlines() if line.startswith("VmHWM:"))


def way_to_count() -> str:
    """`pss` where the system tells it of one's own processes, else `rss`."""
    return "pss" if _text(PROC / "self" / "smaps_rollup") else "rss"


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # it has ended, or its files are not ours to read
        return ""


@dataclass
class Peak:
    """The most memory seen at one look."""

    bytes: int = 0


def watch(root: int, counted_by: str, peak: Peak, ended: threading.Event) -> None:
    """Looks at the tree every half second until `ended` is set, and keeps the most that it saw in `peak`."""
    while not ended.wait(SECONDS_BETWEEN):
        peak.bytes = max(peak.bytes, memory_of_tree(root, counted_by))
