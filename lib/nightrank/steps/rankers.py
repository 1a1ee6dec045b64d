"""Which rankers a night has: tonight's challenger and the champion, read from the ledger, never from an alias."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.artefact import Ranker
from nightrank.steps.arrays import collect_arrays

log = logging.getLogger("nightrank")
CHALLENGER, CHAMPION = "challenger", "champion"


@dataclass(frozen=True)
class Contender:
    """A ranker in one of its two roles. ranker None: the champion's artefact cannot be scored any more."""

    role: str
    ranker_id: str
    ranker: Ranker | None


def contenders(ranker_runs: DataFrame, promotions: DataFrame, run_date: date, config: Config) -> list[Contender]:
    """Tonight's challenger, where one was trained, and the champion, where there is one.

    The champion is the live ranker of the last promoted row of `promotions` (nights before tonight).
    ranker_runs: all nights up to tonight.
    """
    found: list[Contender] = []
    challenger = challenger_id(ranker_runs, run_date)
    if challenger:
        found.append(Contender(CHALLENGER, challenger, load_ranker_of(ranker_runs, challenger, config)))
    champion = champion_id(promotions)
    if champion:
        found.append(Contender(CHAMPION, champion, _load_or_say(ranker_runs, champion, config)))
    return found


def challenger_id(ranker_runs: DataFrame, run_date: date) -> str | None:
    """The ranker trained in that night; None: none was."""
    trained = ranker_runs.where((F.col("run_date") == F.lit(run_date)) & (F.col("status") == "trained"))
    found = collect_arrays(trained.select("ranker_id"), 1, "rankers trained in one night")
    return str(found["ranker_id"][0]) if len(found["ranker_id"]) else None


def champion_id(promotions: DataFrame) -> str | None:
    """The live ranker of the last promoted row; None: none was promoted yet."""
    last = promotions.where("promoted").orderBy(F.col("run_date").desc(), "live_id").limit(1)
    found = collect_arrays(last.select("live_id"), 1, "champions")
    return str(found["live_id"][0]) if len(found["live_id"]) else None


def load_ranker_of(ranker_runs: DataFrame, ranker_id: str, config: Config) -> Ranker:
    """The ranker with that id, verified by sha256. Raises ContractError where its artefact is missing or altered.

    Or where the towers that its items' vectors are of are missing.
    """
    from nightrank.models.registry import fetch_ranker
    from nightrank.models.tower_store import refuse_missing_towers

    wanted = (
        ranker_runs.where(F.col("ranker_id") == ranker_id).select("artefact_uri").distinct().orderBy("artefact_uri")
    )
    found = collect_arrays(wanted.limit(1), 1, "artefacts of one ranker")
    if not len(found["artefact_uri"]):
        raise ContractError(f"Ranker {ranker_id} is not in table 'ranker_runs': its night was removed. Train again.")
    ranker = fetch_ranker(config, str(found["artefact_uri"][0]), ranker_id)
    if ranker.tower_id:
        refuse_missing_towers(config, ranker.tower_id)
    return ranker


def _load_or_say(ranker_runs: DataFrame, ranker_id: str, config: Config) -> Ranker | None:
    try:
        return load_ranker_of(ranker_runs, ranker_id, config)
    except ContractError as error:
        log.warning("champion=%s cannot be scored, its published rows stand in for it: %s", ranker_id, error)
        return None
