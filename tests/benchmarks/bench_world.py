"""make bench-world: five simulated shops that nothing was tuned on, each a bulk load through the whole night.

Seeds 101 to 105 are used nowhere else. SHOPS=n takes the first n of them.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
from figures import say_figures

from nightrank.asked import nights_to_run
from nightrank.cli import _log_plainly
from nightrank.config import Config, load_config
from nightrank.recovery import Recovery, measure_recovery
from nightrank.runner import run_nights
from nightrank.session import build_session
from nightrank.shop.ubi_log import write_shop

SEEDS = (101, 102, 103, 104, 105)
FOLDER = Path("build/bench/world")


def config_in(folder: Path, config: Config) -> Config:
    """The settings with the simulated shop's logs, the lake and MLflow in the folder."""
    logs = f"{folder}/shop/logs/{{run_date}}"
    return config.model_copy(
        update={
            "shop": config.shop.model_copy(update={"path": f"{folder}/shop"}),
            "source": config.source.model_copy(
                update={
                    "events": f"{logs}/events.ndjson",
                    "searches": f"{logs}/queries.ndjson",
                    "items": f"{logs}/items.jsonl",
                }
            ),
            "lake": config.lake.model_copy(update={"path": f"{folder}/lake"}),
            "mlflow": config.mlflow.model_copy(update={"tracking_uri": f"sqlite:///{folder}/lake/mlflow.db"}),
        }
    )


def world_config(seed: int) -> Config:
    """The demo's settings over the shop of that seed; the bulk load alone, judged on its last night."""
    demo = config_in(FOLDER / str(seed), load_config("conf/demo.yaml"))
    shop = demo.shop.model_copy(update={"seed": seed})
    return demo.model_copy(update={"shop": shop, "calendar": demo.calendar.model_copy(update={"nights": 0})})


def run_world(seed: int) -> Recovery:
    """What the night recovered of one shop."""
    config = world_config(seed)
    shutil.rmtree(FOLDER / str(seed), ignore_errors=True)
    write_shop(config.shop, Path(config.shop.path))
    spark = build_session(config.spark)
    run_nights(spark, config, "nightly", nights_to_run(spark, config, None))
    return measure_recovery(spark, config)


def main() -> None:
    """Each shop's figures, then their means (and the worst, where a bound is asked for)."""
    _log_plainly()
    seeds = SEEDS[: int(os.environ.get("SHOPS", len(SEEDS)))]
    found = {seed: run_world(seed) for seed in seeds}
    figures = {f"{name}_{seed}": value for seed, one in found.items() for name, value in asdict(one).items()}
    every = {name: np.array([getattr(one, name) for one in found.values()]) for name in Recovery.__dataclass_fields__}
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
