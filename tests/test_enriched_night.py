"""A night with enrichments as the runner makes it: only items that something is written of change, and it is told."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.runner import run_nights
from nights import BULK_UNTIL, loaded, rows_of, write_config


@pytest.mark.long
def test_a_switched_on_night_changes_the_texts_of_enriched_items_only(
    spark: SparkSession, shop: Path, tiny_bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = loaded(write_config(tmp_path, shop, tiny_bert))
    run_nights(spark, plain, "items", [BULK_UNTIL])
    items = rows_of(spark, plain, tables.ITEMS, BULK_UNTIL).where("accepted").orderBy("item_id").collect()
    first, second = items[0], items[1]
    line = {"model": "m", "prompt_version": "1", "made_at": f"{BULK_UNTIL}T01:00:00Z"}
    told = [
        {**line, "plain_hash": first.plain_hash, "text": "Sleeps two"},
        {**line, "plain_hash": second.plain_hash, "text": "<p>Sleeps two</p>"},
    ]
    written = tmp_path / str(BULK_UNTIL) / "enrichments.jsonl"
    written.parent.mkdir()
    written.write_text("".join(json.dumps(one) + "\n" for one in told))
    source = {"enrichments": f"{tmp_path}/{{run_date}}/enrichments.jsonl"}
    switched = loaded(write_config(tmp_path, shop, tiny_bert, source=source, enrichments={"in_text": True}))
    with caplog.at_level(logging.INFO, logger="nightrank"):
        for stage in ("enrichments", "items"):
            run_nights(spark, switched, stage, [BULK_UNTIL])
    assert f"WARNING table=enrichments night={BULK_UNTIL} accepted=1 markup=1" in [
        f"{record.levelname} {record.getMessage()}" for record in caplog.records
    ]
    assert f"table=items night={BULK_UNTIL} items={len(items)} enriched=1 refused_in_catalogue=0" in caplog.text
    after = rows_of(spark, switched, tables.ITEMS, BULK_UNTIL).where("accepted").orderBy("item_id").collect()
    assert [row.plain_hash for row in after] == [row.content_hash for row in items]
    assert [row.item_id for row, old in zip(after, items, strict=True) if row.text != old.text] == [first.item_id]
    assert "Sleeps two" in after[0].text
