"""make bench-world: five simulated shops that nothing was tuned on, each a bulk load through the whole night.

Seeds 101 to 105 are used nowhere else. SHOPS=n takes the first n of them. As in the demo the shop's engine adds priors;
PRIORS=0: it does not. expected_*: of the rows as published, on the next day, with far less noise (expected_world.py).

WORLD=tasteless: a shop whose shoppers have no tastes, and how far the gates of its last night's rows are open
(mean_alpha). WORLD=flip: one whose shoppers all change their tastes on a day; gain_night_<k>: what rows gain over alpha
0 on the searches of the k-th night from then on, night 0 being the last with the old tastes; followed_after: the first
k whose gain is half of that of night 0 or more, 99 where none is.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from expected_world import expected_figures
from figures import say_figures
from lakes import with_lake_in
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from nightrank import tables
from nightrank.asked import nights_to_run
from nightrank.cli import _log_plainly
from nightrank.config import Config, load_config
from nightrank.recovery import measure_recovery
from nightrank.runner import run_nights
from nightrank.session import build_session
from nightrank.shop.planted import World
from nightrank.shop.ubi_log import write_shop
from nightrank.storage import read_table

SEEDS = (101, 102, 103, 104, 105)
FOLDER = Path("build/bench/world")
FLIPPED_NIGHTS = 5
Figures = dict[str, float | int | str]


def config_in(folder: Path, config: Config) -> Config:
    """The settings with the simulated shop's logs, the lake and MLflow in the folder."""
    logs = f"{folder}/shop/logs/{{run_date}}"
    return with_lake_in(folder, config).model_copy(
        update={
            "shop": config.shop.model_copy(update={"path": f"{folder}/shop"}),
            "source": config.source.model_copy(
                update={
                    "events": f"{logs}/events.ndjson",
                    "searches": f"{logs}/queries.ndjson",
                    "items": f"{logs}/items.jsonl",
                }
            ),
        }
    )


def world_config(seed: int) -> Config:
    """The demo's settings over the shop of that seed; the bulk load alone, judged on its last night."""
    demo = config_in(FOLDER / str(seed), load_config("conf/demo.yaml"))
    adds = os.environ.get("PRIORS", "1") != "0"
    changes = {
        "shop": demo.shop.model_copy(update={"seed": seed}),
        "calendar": demo.calendar.model_copy(update={"nights": 0}),
        "item_tokens": demo.item_tokens.model_copy(update={"prior_added": adds}),
    }
    return demo.model_copy(update=changes)


def run_world(config: Config, world: World | None = None) -> SparkSession:
    """The session in which the calendar's nights of a shop of that world were run."""
    shutil.rmtree(Path(config.shop.path).parent, ignore_errors=True)
    write_shop(config.shop, Path(config.shop.path), world)
    spark = build_session(config.spark)
    run_nights(spark, config, "nightly", nights_to_run(spark, config, None))
    return spark


def recovered(seed: int) -> dict[str, float]:
    """What the night recovered of one shop."""
    config = world_config(seed)
    spark = run_world(config)
    found = asdict(measure_recovery(spark, config)) | expected_figures(spark, config)
    told = " ".join(f"{name}={value:.4g}" for name, value in found.items())
    sys.stderr.write(f"shop {seed}: {told}\n")  # five shops take half an hour: each as it ends
    return found


def tasteless() -> Figures:
    """mean_alpha, over the rows of returning shoppers and the classes, and the share of those gates that are open."""
    config = world_config(SEEDS[0])
    last = config.shop.first_day + timedelta(days=config.shop.days - 1)
    nights = config.calendar.model_copy(update={"bulk_until": last - timedelta(days=2), "nights": 2})
    config = config.model_copy(update={"calendar": nights})
    spark = run_world(config, World(taste_strength=0.0))
    rows = (
        read_table(spark, config.lake, tables.RERANK_WEIGHTS, last, last)
        .where("evidence > 0")
        .select("alpha")
        .collect()
    )
    alphas = np.array([alpha for row in rows for alpha in row.alpha.values()])
    return {"mean_alpha": float(alphas.mean()), "open_gates": float((alphas > 0).mean()), "rows": len(rows)}


def flipped() -> Figures:
    """The gain of each night about the flip, and after how many it is half of what it was."""
    config = world_config(SEEDS[0])
    flip = config.shop.first_day + timedelta(days=config.shop.days - FLIPPED_NIGHTS)
    calendar = config.calendar.model_copy(update={"bulk_until": flip - timedelta(days=2), "nights": FLIPPED_NIGHTS + 1})
    config = config.model_copy(update={"calendar": calendar})
    spark = run_world(config, World(flip_day=flip))
    gains = [gain_of(spark, config, flip + timedelta(days=k - 1)) for k in range(FLIPPED_NIGHTS + 1)]
    followed = (k for k, gain in enumerate(gains) if k and gain >= gains[0] / 2)
    return {**{f"gain_night_{k}": gain for k, gain in enumerate(gains)}, "followed_after": next(followed, 99)}


def gain_of(spark: SparkSession, config: Config, night: date) -> float:
    """nDCG of the challenger's rows less that of alpha 0, on the night's organic searches."""
    judged = read_table(spark, config.lake, tables.EVALUATIONS, night, night).where("part = 'organic'")
    means = judged.groupBy("method").agg((F.sum(F.col("ndcg") * F.col("weight")) / F.sum("weight")).alias("ndcg"))
    found = {row.method: row.ndcg for row in means.collect()}
    return float(found["challenger"] - found["prior" if config.item_tokens.prior_added else "shop"])


WORLDS = {"tasteless": tasteless, "flip": flipped}


def main() -> None:
    """Each shop's figures, then their means (and the worst, where a bound is asked for); or those of a world."""
    _log_plainly()
    if wanted := os.environ.get("WORLD"):
        if wanted not in WORLDS:
            sys.exit(f"WORLD={wanted} cannot be judged: expected {' or '.join(WORLDS)}.")
        say_figures(f"world_{wanted}", WORLDS[wanted]())
        return
    seeds = SEEDS[: int(os.environ.get("SHOPS", len(SEEDS)))]
    found = {seed: recovered(seed) for seed in seeds}
    figures: Figures = {f"{name}_{seed}": value for seed, one in found.items() for name, value in one.items()}
    every = {name: np.array([one[name] for one in found.values()]) for name in next(iter(found.values()))}
    figures |= {name: float(values.mean()) for name, values in every.items()}
    figures |= {
        "gain_share_spread": float(every["gain_share"].std(ddof=1)) if len(seeds) > 1 else 0.0,
        "indifferent_gain_worst": float(every["indifferent_gain"].min()),
        "position_error_worst": float(every["position_error"].max()),
        "favourite_found_worst": float(every["favourite_found"].min()),
    }
    say_figures("world", figures)


if __name__ == "__main__":
    main()
