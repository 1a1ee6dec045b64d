"""The ledger in words: what was decided in the last night, and whom that helps and harms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pyspark.sql import SparkSession

from nightrank import tables
from nightrank.config import Config
from nightrank.models.report_card import ALL
from nightrank.models.shopper_shares import SHARES
from nightrank.report import last_night


def ledger_in_words(spark: SparkSession, config: Config) -> str:
    """The last night's decision, each ranker's difference from the shop's order, and its shares of shoppers."""
    row = last_night(spark, config, tables.PROMOTIONS).collect()[0]
    lines = [f"night {row.run_date}: promoted={row.promoted}, live {row.live_id[:12]}: {row.reason}"]
    for figure in row.figures:
        if (figure.versus, figure.slice, figure.metric) == ("shop", ALL, "ndcg"):
            bounds = f"[{figure.lower:+.4f}, {figure.upper:+.4f}]"
            lines.append(f"  {figure.method} against the shop's order: nDCG {figure.value:+.4f} {bounds}")
    return "\n".join([*lines, shares_in_words(row.figures)])


def shares_in_words(figures: Sequence[Any]) -> str:
    """One line a ranker and slice: shoppers, and which share of them is helped, harmed and untouched."""
    found: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for figure in figures:
        if figure.metric in SHARES:
            found[figure.method, figure.slice][figure.metric] = figure
    if not found:
        return "Nobody's searches were judged yet."
    longest = max(len(name) for _, name in found)
    head = "".join(f"{metric:<24}" for metric in SHARES).rstrip()
    lines = [f"{'':<12}{'shoppers of':<{longest}} {'':>8}  {head}"]
    for (method, name), by_metric in found.items():
        shares = "".join(f"{_share(by_metric[metric]):<24}" for metric in SHARES).rstrip()
        lines.append(f"{method:<12}{name:<{longest}} {by_metric[SHARES[0]].users:>8}  {shares}")
    return "\n".join(lines)


def _share(figure: Any) -> str:
    """`31.2 % [28.0, 34.5]`."""
    return f"{100 * figure.value:.1f} % [{100 * figure.lower:.1f}, {100 * figure.upper:.1f}]"
