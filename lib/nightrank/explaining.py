"""What an unexpected error becomes: one of this program's own, in one line that shows nothing of a shopper.

Messages of Spark, Python and the disk may quote rows, so none is repeated: only kinds of errors, Spark's name of the
condition, and the paths of tables' files.
"""

from __future__ import annotations

import errno
import re
import traceback
from pathlib import Path

from nightrank import errors
from nightrank.errors import BugError, ContractError, DiskError, NightrankError, TryAgainError

_RACE = re.compile(r"\[DELTA_(CONCURRENT_|METADATA_CHANGED|PROTOCOL_CHANGED)")
_FULL = re.compile(r"No space left on device|Disk quota exceeded")
# What Spark, Parquet, Hadoop's checksums and Delta say of files that are not what was written.
_SPOILT = re.compile(
    r"\[(FAILED_READ_FILE|CANNOT_READ_FILE_FOOTER|PATH_NOT_FOUND)|is not a Parquet file|Could not read (footer|page)"
    r"|ChecksumException|Checksum error|could not verify page|CRC checksum|FileNotFoundException|FILE_NOT_EXIST"
    r"|DELTA_(FILE_NOT_FOUND|LOG_FILE_NOT_FOUND|TRUNCATED|STATE_RECOVER|VERSIONS_NOT_CONTIGUOUS|CHECKPOINT)"
    r"|JsonParseException|JsonEOFException|MismatchedInputException"
)
_FILE = re.compile(r"(?:(?:file|s3a?|abfss?|gs|hdfs):)?/[^\s'\"(),:]*\.(?:parquet|json|crc)\b")
_TASK = re.compile(r"Task (\d+) in stage [\d.]+ failed (\d+) times")
_WORKER = re.compile(r"Python worker exited unexpectedly|ExecutorLostFailure|java\.io\.EOFException")
_CONDITION = re.compile(r"\[([A-Z][A-Z0-9_.]{5,})\]")
# This program's own error in a worker: its words name no shopper.
_OWN = re.compile(r"^nightrank\.errors\.(\w+Error): ([^\n]+)", re.MULTILINE)
_IN_WORKER = re.compile(r'File "([^"]+)", line (\d+), in ')


def explained(error: Exception, doing: str) -> NightrankError:
    """The error in this program's own terms, to be raised from it.

    doing: what was not done, as `Stage 'items' of night 2026-01-10`. A lost race becomes TryAgainError, a full disk
    DiskError, files that cannot be read back ContractError, one of this program's own that a worker raised itself,
    anything else BugError.
    """
    if isinstance(error, NightrankError):
        return error
    said = f"{type(error).__name__}: {error}"
    if own := _OWN.search(said):
        kind: type[NightrankError] = getattr(errors, own.group(1), BugError)
        return kind(own.group(2))
    if _RACE.search(said):
        return TryAgainError(f"{doing} failed: another program wrote to the same table meanwhile. Run it again.")
    if getattr(error, "errno", None) == errno.ENOSPC or _FULL.search(said):
        return DiskError(f"{doing} failed: the disk is full. What stood before stands. Free space and run it again.")
    if _SPOILT.search(said):
        return ContractError(f"{doing} failed: {_spoilt_files(said)}. What stood before stands. {_RESTORE}")
    return BugError(f"{doing} failed: {_kind(error, said)}. What stood before stands. {_REPORT}")


_RESTORE = (
    "Restore that file from the store's own copies; or restore the table to a version whose files are whole "
    "(RESTORE TABLE ... TO VERSION AS OF) and run the nights after it again with --backfill."
)
_REPORT = "This is not expected: set NIGHTRANK_TRACEBACK=1 to see all of it (it may show rows), and report it."


def _spoilt_files(said: str) -> str:
    file = _FILE.search(said)
    return f"expected files as they were written, found one missing or altered: {file.group() if file else 'not named'}"


def _kind(error: Exception, said: str) -> str:
    """The error's type, where it came from, and the task that it came in: none of its own words."""
    task, worker, condition = _TASK.search(said), _IN_WORKER.findall(said), _CONDITION.search(said)
    words = [type(error).__name__]
    if condition:
        words.append(condition.group(1))
    if _WORKER.search(said):
        words.append("a Python worker or an executor died (killed, or out of memory)")
    elif worker:
        words.append(f"at {Path(worker[-1][0]).name}:{worker[-1][1]}")
    elif own := [frame for frame in traceback.extract_tb(error.__traceback__) if "nightrank" in frame.filename]:
        words.append(f"at {Path(own[-1].filename).name}:{own[-1].lineno}")
    if task:
        words.append(f"in partition {task.group(1)}, {task.group(2)} attempts")
    return ", ".join(words)
