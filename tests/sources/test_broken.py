"""Files that break before their end: told from whole ones, left out of what may be read without them, else refused."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession

from nightrank.broken_logs import leaving_out
from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.sources import broken_files, read_raw
from nightrank.sources.broken import AROSE, DECODERS, breaks, broken_among, file_named

NIGHT = date(2026, 1, 3)
EVENT = {"ts": "2026-01-03T10:00:00Z", "user_id": "u", "action": "buy", "item_id": "i"}
ITEM = {"item_id": "i", "title": "t"}


def archive(path: Path, row: dict[str, Any], rows: int = 2_000) -> bytes:
    """Writes a gzip file of JSON lines, and returns its bytes."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(
        gzip.compress("\n".join(json.dumps({**row, "event_id": f"{path}{n}"}) for n in range(rows)).encode())
    )
    return path.read_bytes()


def failure(frame: DataFrame) -> Exception:
    with pytest.raises(Py4JJavaError) as found:
        frame.write.format("noop").mode("overwrite").save()
    return found.value


def test_archives_and_pages_that_break_are_told_from_whole_ones(spark: SparkSession, tmp_path: Path) -> None:
    whole = archive(tmp_path / "whole.gz", EVENT)
    spoilt = {
        "cut.gz": whole[: len(whole) // 2],
        "no_trailer.gz": whole[:-4],
        "flipped.gz": bytes(byte ^ 0xFF if at == len(whole) // 2 else byte for at, byte in enumerate(whole)),
        "no_archive.gz": b"plain text",
    }
    for name, content in spoilt.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "cut.ndjson").write_bytes(b'{"a": 1}\n{"a"')  # a broken line is a row, with its reason
    pd.DataFrame({"a": range(20_000), "b": ["x", "y"] * 10_000}).to_parquet(tmp_path / "whole.parquet")
    page = bytearray((tmp_path / "whole.parquet").read_bytes())
    page[1_000:1_300] = bytes(300)
    footer = bytearray((tmp_path / "whole.parquet").read_bytes())
    footer[-200:-20] = b"\xff" * 180
    (tmp_path / "page.parquet").write_bytes(page)
    (tmp_path / "footer.parquet").write_bytes(footer)
    files = {str(path): path.suffix == ".parquet" for path in tmp_path.iterdir()}
    found = {Path(path).name for path in broken_among(spark, files)}
    assert found == {*spoilt, "page.parquet", "footer.parquet"}
    # What is not there is nothing that could be left out.
    with pytest.raises(Exception, match="PATH_NOT_FOUND"):
        breaks(spark, f"{tmp_path}/gone.gz", False)


def test_an_error_says_which_file_broke_and_whether_it_was_its_own_fault() -> None:
    said = "[FAILED_READ_FILE.NO_HINT] Encountered error while reading file s3a://shop/logs/a%20b.gz.  SQLSTATE: KD001"
    assert file_named(RuntimeError(said)) == "shop/logs/a b.gz"
    assert file_named(RuntimeError("[TASK_WRITE_FAILED] Task failed")) is None
    decoder = "\n\tat org.apache.hadoop.io.compress.DecompressorStream.read(D)"
    cut = f"Caused by: java.io.EOFException: Unexpected end{decoder}"
    inflated = "Caused by: java.util.zip.ZipException: bad\n\tat java.base/java.util.zip.InflaterInputStream.read(I)"
    socket = "\n\tat java.base/sun.nio.ch.NioSocketImpl.timedRead(N)"
    store = f"Caused by: java.net.SocketTimeoutException: Read timed out\nfor the third time{socket}{decoder}"
    for text, own_fault in ((cut, True), (inflated, True), (store, False), (f"{store}\n{cut}", True)):
        assert AROSE.findall(text)[-1].startswith(DECODERS) == own_fault


def test_what_may_be_missing_is_left_out_and_named_and_a_catalogue_is_refused(
    spark: SparkSession, tmp_path: Path
) -> None:
    folder = tmp_path / str(NIGHT)
    for name in ("a", "b", "c"):
        archive(folder / f"events_{name}.gz", EVENT)
        archive(folder / f"items_{name}.gz", ITEM)
    for name in ("events_a", "events_c", "items_b"):
        file = folder / f"{name}.gz"
        file.write_bytes(file.read_bytes()[:-50])
    source = {
        "convention": "canonical", "events": f"{tmp_path}/{{run_date}}/events_*", "searches": None,
        "items": f"{tmp_path}/{{run_date}}/items_*",
    }  # fmt: skip
    config, nights = Config.model_validate({"source": source}), (NIGHT, NIGHT)
    assert broken_files(spark, config, *nights, RuntimeError("something else")) == ()
    error = failure(read_raw(spark, "events", config, *nights, NIGHT))
    broken = broken_files(spark, config, *nights, error)
    # All of them, though only one ended the read.
    assert broken == tuple(f"file:{folder}/events_{name}.gz" for name in ("a", "c"))
    mended = leaving_out(config, broken)
    events = read_raw(spark, "events", mended, *nights, NIGHT)
    assert {row.source_file for row in events.select("source_file").distinct().collect()} == {
        f"file:{folder}/events_b.gz"
    }
    assert events.count() == 2_000
    lines = read_raw(spark, "event_lines", mended, *nights, NIGHT).groupBy("source_file").sum("event_rows").collect()
    counts = {Path(row.source_file).stem: row["sum(event_rows)"] for row in lines}
    assert counts == {"events_a": None, "events_b": 2_000, "events_c": None}
    error = failure(read_raw(spark, "items", mended, *nights, NIGHT))
    with pytest.raises(ContractError, match=r"items_b\.gz' cannot be used: expected a whole file of source\.items"):
        broken_files(spark, config, *nights, error)
