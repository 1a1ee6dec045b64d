"""make bench-sizing: what an ordinary night takes, stage by stage, and the lines that `nightrank plan` reckons with.

SHOPPERS=n (or n,m) loads a simulated shop of n shoppers in bulk, runs one ordinary night on top of it and says, of each
table, the night's rows and bytes and the stage's shuffle and core-seconds, in build/bench/sizing_<n>.json.

Without SHOPPERS the smallest and the largest of these nights become lib/nightrank/sizing.json. What that says of each
night in between is compared with what was measured there; the first of those is kept for the tests. Small nights say
little of what an event costs: of the job `prepare` that is taken from the bulk load of `PART=raw make bench-prepare`.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from bench_world import config_in
from figures import FOLDER, say_figures
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from sizing_lines import lines_through, wrong_by

from nightrank import tables
from nightrank.asked import the_night
from nightrank.cli import _log_plainly
from nightrank.config import Config, load_config
from nightrank.nights import BEGINNING
from nightrank.runner import run_nights, run_stage
from nightrank.session import build_session
from nightrank.shop.planted import SLATE
from nightrank.shop.ubi_log import write_shop
from nightrank.stages import STAGES, Stage
from nightrank.storage import address, read_table

# A shop with four times the shoppers sells twice the items: else the events of an item would not grow.
ITEMS_BY_ROOT_OF_SHOPPERS = 23.0
CORES = 2
SERVED = (tables.RERANK_WEIGHTS, tables.ITEM_TOKENS, tables.QUERY_CLASSES, tables.SEGMENTS)
# Written for what is new only, which is nothing on the ordinary night of a shop whose texts stay: the bulk load tells.
ONCE = ("item_embeddings", "query_embeddings")
Figures = dict[str, float]
CHECKED = Path("tests/benchmarks/sizing_night.json")


def sizing_config(shoppers: int) -> Config:
    """The demo's settings over a shop of so many shoppers."""
    demo = load_config("conf/demo.yaml")
    shop = demo.shop.model_copy(update={"shoppers": shoppers, "items": int(ITEMS_BY_ROOT_OF_SHOPPERS * shoppers**0.5)})
    return config_in(FOLDER / "sizing" / str(shoppers), demo.model_copy(update={"shop": shop}))


def measured_night(shoppers: int) -> Figures:
    """`size_<name>`, and `<figure>.<table>` of each table, of one ordinary night after a bulk load."""
    config = sizing_config(shoppers)
    shutil.rmtree(FOLDER / "sizing" / str(shoppers), ignore_errors=True)
    write_shop(config.shop, config.shop.path)
    spark, bulk = build_session(config.spark), config.calendar.bulk_until
    assert bulk is not None
    run_nights(spark, config, "nightly", [bulk])
    loaded = json.loads((Path(config.lake.path) / "run_summary.json").read_text(encoding="utf-8"))
    night, found = bulk + timedelta(days=1), Figures()
    for stage in STAGES:
        shuffled, started = _shuffled(spark), time.monotonic()
        run_stage(spark, config, stage, the_night(spark, config, night))
        seconds, day = time.monotonic() - started, bulk if stage.name in ONCE else night
        worked = {"shuffle_bytes": _shuffled(spark) - shuffled, "core_seconds": CORES * seconds}
        if stage.name in ONCE:
            worked["core_seconds"] = CORES * loaded["seconds"][stage.name]
        held = _held(spark, config, stage, day)
        found |= {f"{figure}.{stage.name}": value for figure, value in {**held, **worked}.items()}
    return {**_sizes(spark, config, night, found), **found}


def _held(spark: SparkSession, config: Config, stage: Stage, day: date) -> Figures:
    """Rows and bytes of a night of the table, and for what an engine is given the characters of its rows as JSON."""
    folder = Path(address(config.lake, stage.table)) / f"run_date={day}"
    rows = read_table(spark, config.lake, stage.table, day, day, accepted_only=False).drop("run_date")
    length = F.sum(F.length(F.to_json(F.struct(*rows.columns))))
    told = rows.agg(F.count(F.lit(1)), length if stage.table in SERVED else F.lit(0)).first()
    assert told is not None
    size = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
    return {"rows": told[0], "bytes": size, "served_bytes": told[1] or 0}


def _shuffled(spark: SparkSession) -> int:
    """Bytes that the session's tasks have written for shuffles so far."""
    store: Any = spark.sparkContext._jsc.sc().statusStore()
    executors = store.executorList(False)
    return sum(executors.apply(n).totalShuffleWrite() for n in range(executors.size()))


def _sizes(spark: SparkSession, config: Config, night: date, found: Mapping[str, float]) -> Figures:
    """What `nightrank plan` would be asked about such a shop."""
    all_events = read_table(spark, config.lake, tables.EVENTS, BEGINNING, night, accepted_only=False).count()
    of_tables = {"items": "items", "events": "events", "searches": "searches", "queries": "query_classes"}
    sizes = {name: found[f"rows.{table}"] for name, table in of_tables.items()}
    sizes |= {"shoppers": found["rows.user_profiles"], "nights": all_events / sizes["events"]}
    sizes |= {"changed_items": found["rows.item_embeddings"], "new_queries": found["rows.query_embeddings"]}
    sizes |= {"slate": SLATE, "dims": config.ranker_runs.dims}
    return {f"size_{name}": value for name, value in sizes.items()}


def measured_nights() -> Sequence[Figures]:
    """Every night that was measured, the smallest first."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in FOLDER.glob("sizing_*.json")]
    return sorted(found, key=lambda one: one["size_events"])


def main() -> None:
    """One night's figures, or the lines through those that were measured."""
    _log_plainly()
    asked = os.environ.get("SHOPPERS")
    if asked:
        for shoppers in map(int, asked.split(",")):
            say_figures(f"sizing_{shoppers}", measured_night(shoppers))
        return
    nights, config = measured_nights(), load_config("conf/demo.yaml")
    bulk = json.loads((FOLDER / "prepare_raw.json").read_text(encoding="utf-8"))
    lines = lines_through(nights[0], nights[-1], bulk, config)
    text = json.dumps(lines, indent=1) + "\n"
    Path("lib/nightrank/sizing.json").write_text(text, encoding="utf-8")
    if nights[1:-1]:
        CHECKED.write_text(json.dumps(nights[1], indent=1) + "\n", encoding="utf-8")
    for night in nights[1:-1]:
        for figure, wrong in wrong_by(night, lines, config).items():
            print(f"wrong_by_{night['size_shoppers']:.0f}.{figure}={wrong:+.2f}")


if __name__ == "__main__":
    main()
