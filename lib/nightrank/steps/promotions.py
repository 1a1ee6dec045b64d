"""promotions: the ledger: which ranker makes tonight's rows, on which evidence, or why the champion was kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.errors import ContractError, TryAgainError
from nightrank.models.report_card import ALL, PRIOR, Figure, below_baselines, compile_loss, figures
from nightrank.models.shopper_shares import SHARES, shares_of, shopper_shares
from nightrank.nights import Night
from nightrank.steps.arrays import Arrays, collect_arrays
from nightrank.steps.rankers import challenger_id, champion_id
from nightrank.tables import ANONYMOUS, PROMOTIONS

log = logging.getLogger("nightrank")
NO_RANKER = "none"
# Of one search: the shop, two as it was shown (organic, sponsored), two rankers, the challenger's four of its own
# (full, undiversified, prior, with_prior), nine of mean interest, six more.
ROWS_A_SEARCH = 24


def build_promotions(
    evaluations: DataFrame, ranker_runs: DataFrame, promotions: DataFrame, night: Night, config: Config
) -> DataFrame:
    """The night's one row. evaluations: tonight's and the nights before that are pooled with it.

    Promotion needs the lower 95 % bound of the paired difference of nDCG, by shopper, pooled: above -margin against
    the champion and at least 0 against alpha = 0; where the engine adds priors, against the shop's order without them
    too. live_id makes tonight's rows: the promoted challenger, else the champion; where nothing was ever promoted the
    challenger, with all its gates closed. The reason ends with the baselines that a ranker is below: they decide
    nothing, but whoever reads the ledger should ask why.
    """
    challenger, champion = challenger_id(ranker_runs, night.run_date), champion_id(promotions)
    judged = _judged(evaluations, config)
    found = _figures(judged, config.promotions.bootstrap) if len(judged["query_id"]) else []
    version = _code_version(ranker_runs, challenger)
    promoted, reason = decide(found, challenger, champion, version, config)
    reason = "; ".join([reason, *map(_in_words, below_baselines(found))])
    live = challenger if promoted or champion is None else champion
    nights = len(np.unique(judged["run_date"][judged["method"] == "challenger"])) if len(judged["query_id"]) else 0
    row = (
        challenger, champion, live or NO_RANKER, _code_version(ranker_runs, live), promoted, reason, nights,
        [figure.row() for figure in found],
    )  # fmt: skip
    return evaluations.sparkSession.createDataFrame([row], PROMOTIONS.columns)


def decide(
    found: list[Figure], challenger: str | None, champion: str | None, code_version: str | None, config: Config
) -> tuple[bool, str]:
    """Whether the challenger is promoted, and why or why not."""
    if challenger is None:
        return False, "no challenger was trained tonight"
    gain = _gain(found, config)
    if gain is None:
        return False, "the challenger is registered; there is nothing to judge it on yet, so alpha is 0"
    indexed = config.item_tokens.indexed_code_version
    if indexed is not None and indexed != code_version:
        return False, f"code version {code_version} is not indexed yet: the shop says {indexed}"
    least = config.promotions.least_gain
    if gain.lower < least:
        return False, f"against alpha 0 the lower bound is {gain.lower:+.4f}, needed at least {least:g}"
    ahead = _difference(found, "champion") if champion else None
    margin = config.promotions.margin
    if ahead is not None and ahead.lower <= -margin:
        return False, f"against the champion the lower bound is {ahead.lower:+.4f}, needed above {-margin:+.4f}"
    against = f", against the champion at least {ahead.lower:+.4f}" if ahead else ", and there is no champion"
    return True, f"nDCG against alpha 0 at least {gain.lower:+.4f}{against}"


def agree_champion(promotions: DataFrame, night: Night, config: Config) -> None:
    """Points MLflow's alias `champion` at the champion that tonight's row makes or keeps, before the row stands.

    The alias decides nothing, but a registry that is down must not leave a promotion that MLflow never heard of:
    a promotion raises TryAgainError then, and the champion is kept. Where nothing is promoted, a warning is enough.
    """
    from nightrank.models.registry import CHAMPION, point_alias

    rows = promotions.select("champion_id", "live_id", "promoted")
    row = collect_arrays(rows, 1, "ledger rows of one night")
    if bool(row["promoted"][0]):
        point_alias(config, CHAMPION, str(row["live_id"][0]), night.run_date)
    elif row["champion_id"][0] is not None:
        try:
            point_alias(config, CHAMPION, str(row["champion_id"][0]), night.run_date)
        except (TryAgainError, ContractError) as error:
            log.warning("alias=%s unchanged: %s", CHAMPION, error)


def note_figures(promotions: DataFrame, _: Mapping[str, int], config: Config) -> Mapping[str, float]:
    """Notes for MLflow the figures that tonight's row was decided on: in the ranker's run, and in that of `rerank`.

    Returns for the summary, with their bounds: `compile_loss`; how far a ranker is below which baseline
    (`below/challenger-repeats`); which share of the shoppers of each slice a ranker helps, harms and leaves untouched
    (`helped/challenger/all`).
    """
    from nightrank.models.outbox import Note, keep_note

    rows = promotions.select("run_date", F.explode("figures").alias("f")).select("run_date", "f.*")
    found = collect_arrays(rows, 100_000, "figures of one night", order=["method", "versus", "slice", "metric"])
    for job in ("train", "rerank") if len(found["metric"]) else ():
        keep_note(config, Note(str(found["run_date"][0]), job, "judged", figures=_as_metrics(found)))
    judged = _as_figures(found)
    below, loss = below_baselines(judged), compile_loss(judged)
    for figure in below:
        log.warning("%s night=%s", _in_words(figure), found["run_date"][0])
    if loss:
        log.info("compile_loss=%.4f lower=%.4f upper=%.4f", loss.value, loss.lower, loss.upper)
    named = {f"below/{f.method}-{f.versus}": f for f in below} | ({"compile_loss": loss} if loss else {})
    named |= {f"{f.metric}/{f.method}/{f.slice}": f for f in shares_of(judged)}
    bounds = ("value", ""), ("lower", "/lower"), ("upper", "/upper")
    return {f"{name}{end}": getattr(f, bound) for name, f in named.items() for bound, end in bounds}


def _in_words(figure: Figure) -> str:
    """`challenger below repeats: -0.0123 [-0.0200, -0.0046]`."""
    bounds = f"[{figure.lower:+.4f}, {figure.upper:+.4f}]"
    return f"{figure.method} below {figure.versus}: {figure.value:+.4f} {bounds}"


def _as_figures(found: Arrays) -> list[Figure]:
    columns = [found[field.name].tolist() for field in fields(Figure)]
    return [Figure(*values) for values in zip(*columns, strict=True)]


def _as_metrics(found: Arrays) -> dict[str, float]:
    """Figures under MLflow names: `ndcg/challenger/class.category`, `helped/challenger-shop/all`.

    Those of segments are left out: a catalogue's own words need not be a name that MLflow takes.
    """
    return {
        f"{f.metric}/{f.method}{'-' + f.versus if f.versus else ''}/{f.slice.replace(':', '.')}": f.value
        for f in _as_figures(found)
        if f.metric not in SHARES or f.slice == ALL or f.slice.startswith("class:")
    }


def _figures(judged: Arrays, draws: int) -> list[Figure]:
    return [*figures(judged, draws), *shopper_shares(judged, draws, ANONYMOUS)]


def _judged(evaluations: DataFrame, config: Config) -> Arrays:
    most = config.evaluations.max_searches * ROWS_A_SEARCH * config.promotions.pooled_nights
    order = ["user_id", "run_date", "query_id", "method", "part"]
    segment = F.coalesce("segment", F.lit(""))
    columns = evaluations.drop("ranker_id", "alpha", "expected_gain").withColumn("segment", segment)
    return collect_arrays(columns, most, "judged searches", "evaluations.share_of_searches", order)


def _gain(found: list[Figure], config: Config) -> Figure | None:
    """The challenger's gain over alpha 0, and over the shop's order where that is another: the one less sure."""
    zeros = ("shop", PRIOR) if config.item_tokens.prior_added else ("shop",)
    gains = [gain for gain in (_difference(found, versus) for versus in zeros) if gain]
    return min(gains, key=lambda gain: gain.lower, default=None)


def _difference(found: list[Figure], versus: str) -> Figure | None:
    wanted = ("challenger", versus, ALL, "ndcg")
    return next((f for f in found if (f.method, f.versus, f.slice, f.metric) == wanted), None)


def _code_version(ranker_runs: DataFrame, ranker_id: str | None) -> str | None:
    if ranker_id is None:
        return None
    row = ranker_runs.where(F.col("ranker_id") == ranker_id).select("code_version").distinct().orderBy("code_version")
    found = collect_arrays(row.limit(1), 1, "code versions of one ranker")
    return str(found["code_version"][0]) if len(found["code_version"]) else None
