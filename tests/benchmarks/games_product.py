"""The product's own stages over the games, and what its rankers say of the lists' items."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from games_inputs import LAST, searchers, write_items, write_log
from lakes import with_lake_in
from llmrank_games import Games, Lists
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank import tables
from nightrank.config import Config, load_config
from nightrank.contract import Table
from nightrank.models.catalogue import positions
from nightrank.models.row import interests, shopper_part
from nightrank.models.scorer import row_sums
from nightrank.runner import run_nights
from nightrank.steps.catalogue import share_catalogue
from nightrank.steps.compiling import compile_profiles
from nightrank.steps.persons import persons
from nightrank.steps.rankers import challenger_id, load_ranker_of
from nightrank.steps.shoppers import flat_shoppers, read_shopper
from nightrank.storage import read_table

CONFIG = Path(__file__).with_name("games.yaml")
KEEP = os.environ.get("KEEP") == "1"
SEARCHED_CLASS = tables.CLASSES.index("category")  # of all derived searches
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What the product says of each candidate, float64 [n, K], 0 where there is none.

    base: the item's prior. full: the whole ranker. sums: of the shopper's row, before scale and bound.
    """

    base: Doubles
    full: Doubles
    sums: Doubles


def config_in(folder: Path, nights: int = 0) -> Config:
    """The benchmark's settings with inputs, lake and MLflow in the folder: a bulk load and so many nights after it."""
    config = load_config(CONFIG)
    logs = {name: f"{folder}/input/{name}.parquet" for name in ("events", "searches")}
    # A catalogue a night: new items may arrive in the last one.
    paths = {**logs, "items": f"{folder}/input/{{run_date}}/items.parquet"}
    calendar = {"bulk_until": LAST - timedelta(days=nights), "nights": nights}
    return with_lake_in(folder, config).model_copy(
        update={
            "source": config.source.model_copy(update=paths),
            "calendar": config.calendar.model_copy(update=calendar),
        }
    )


def with_ranker(config: Config, seed: int, id_dropout: float | None = None) -> Config:
    """The settings with another seed of ranker_runs and, where one is given, another id_dropout."""
    sequence = config.ranker_runs.sequence
    sequence = sequence if id_dropout is None else sequence.model_copy(update={"id_dropout": id_dropout})
    ranker = config.ranker_runs.model_copy(update={"seed": seed, "sequence": sequence})
    return config.model_copy(update={"ranker_runs": ranker})


def nights_of(config: Config) -> list[date]:
    """The nights of the calendar, LAST the last of them."""
    return [LAST - timedelta(days=back) for back in reversed(range(config.calendar.nights + 1))]


def prepare(spark: SparkSession, config: Config, shelves: Mapping[date, Games], lists: Mapping[str, Lists]) -> None:
    """Everything before a ranker is trained: inputs, then each night's stages up to its examples.

    shelves: what is known, by night; nights differ in their shelf alone. Under KEEP=1 what was prepared stands.
    """
    folder = Path(config.lake.path).parent
    done, written = folder / "prepared", folder / "input" / "written"
    if not KEEP:
        shutil.rmtree(folder, ignore_errors=True)
    if done.exists():
        return
    if not written.exists():
        write_inputs(config, shelves, lists, written.parent)
        written.touch()
    for night in shelves:
        for what in ("prepare", "encode", "propensities", "training_examples"):
            run_nights(spark, config, what, [night])
    done.touch()


def write_inputs(config: Config, shelves: Mapping[date, Games], lists: Mapping[str, Lists], folder: Path) -> None:
    """Writes the log of everybody known, and each night's catalogue."""
    known = next(iter(shelves.values()))
    judged = {str(user) for one in lists.values() for user in one.users}
    days = searched_days(config)
    write_log(known, searchers(known, judged, days), days, folder)
    for night, games in shelves.items():
        write_items(games, folder / str(night))


def searched_days(config: Config) -> int:
    """On how many last days there are searches: the training window of the bulk load's night and what comes after."""
    return config.training_examples.window_nights + config.calendar.nights


def train(spark: SparkSession, config: Config) -> None:
    """Trains a ranker each night and gives tonight's items their tokens."""
    for night in nights_of(config):
        run_nights(spark, config, "ranker_runs", [night], again=True)
    run_nights(spark, config, "item_tokens", [LAST], again=True)


def remove_lake(config: Config) -> None:
    """Removes what the benchmark wrote, unless KEEP=1."""
    if not KEEP:
        shutil.rmtree(Path(config.lake.path).parent, ignore_errors=True)


def scored(spark: SparkSession, config: Config, known_on: date, lists: Lists) -> Scores:
    """What the last night's ranker says of the lists, shoppers being as they stood at the end of `known_on`.

    The one place here that knows how the product makes rows and scores: rows come from the function that makes
    tonight's, so they are those that the stage rerank_weights would write, before gates.
    """

    def read(table: Table, night: date) -> DataFrame:
        return read_table(spark, config.lake, table, night, night)

    runs = read(tables.RANKER_RUNS, LAST)
    ranker = load_ranker_of(runs, trained_id(runs), config)
    tokens = read(tables.ITEM_TOKENS, LAST).where(F.col("code_version") == ranker.code_version)
    loader = share_catalogue(tokens, read(tables.ITEM_NEIGHBOURS, known_on), config)
    asked = spark.createDataFrame([(user,) for user in np.unique(lists.users).tolist()], "user_id string")
    profiles = read(tables.USER_PROFILES, known_on).join(asked, on="user_id", how="left_semi")
    people, segments = read(tables.PEOPLE, known_on), read(tables.SEGMENTS, known_on)
    compiled, _ = compile_profiles(profiles, people, segments, loader, ranker, config)
    rows = {row["user_id"]: (row["facet_weights"], row["item_boosts"]) for row in compiled.collect()}
    indexed = {row["item_id"]: (row["prior"], row["tokens"]) for row in tokens.collect()}

    catalogue = loader()
    flat = flat_shoppers(persons(profiles.withColumn("as_of", F.col("run_date")), people, config), config).toPandas()
    read_rows = flat.itertuples(index=False)
    shoppers = [read_shopper(catalogue, row, config.training_examples.recent_decay) for row in read_rows]
    interest = interests(catalogue, ranker, shoppers)
    centred = np.where(interest.any(axis=1, keepdims=True), interest - ranker.mean_shopper, 0).astype(np.float64)
    at = {user: n for n, user in enumerate(flat["user_id"])}
    unit = float(ranker.engine_coefficients[SEARCHED_CLASS, 0])

    base, full, sums = (np.zeros(lists.items.shape) for _ in range(3))
    for n, (user, mask) in enumerate(zip(lists.users.tolist(), lists.mask, strict=True)):
        ids = [str(item) for item in lists.items[n, mask]]
        items = positions(catalogue.item_ids, np.array(ids, dtype=np.str_))
        prior = np.array([indexed[item][0] for item in ids])
        base[n, mask] = prior
        full[n, mask] = prior + shopper_part(catalogue, ranker, shoppers[at[user]], centred[at[user]], items) / unit
        sums[n, mask] = row_sums(ids, [indexed[item][1] for item in ids], *rows[user])
    # A row is in the ranker's unit, as g is; its scale takes it to that of the base.
    return Scores(base, full, sums / unit)


def trained_id(runs: DataFrame) -> str:
    """The id of the ranker trained in the last night; ends the program, with the reason, where none was."""
    found = challenger_id(runs, LAST)
    if found is None:
        sys.exit(f"No ranker was trained: {[row['reason'] for row in runs.select('reason').collect()]}")
    return found
