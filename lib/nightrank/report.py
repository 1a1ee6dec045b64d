"""The lake in words: what the tables hold, and what one shopper's row says."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank import tables
from nightrank.config import Config
from nightrank.contract import Table
from nightrank.errors import InputMissingError
from nightrank.models.coding import CROWDED
from nightrank.models.gate_cells import UNKNOWN
from nightrank.nights import BEGINNING
from nightrank.steps.code_labels import code_labels
from nightrank.storage import nights_of, read_table, version_of

MOST_SHOWN = 5


def last_night(spark: SparkSession, config: Config, table: Table) -> DataFrame:
    """The rows of the table's last night. Raises InputMissingError where it has none."""
    nights = nights_of(spark, config.lake, table)
    if not nights:
        raise InputMissingError(
            f"Table '{table.name}' in lake '{config.lake.path}' has no night yet. Run `nightrank run nightly` first."
        )
    return read_table(spark, config.lake, table, nights[-1], nights[-1])


def tables_in_words(spark: SparkSession, config: Config) -> str:
    """One line a table: nights, rows of the last, quarantined rows of the last and their reasons, Delta version."""
    lines = [f"lake {config.lake.path}", f"{'table':<18} {'nights':>6} {'last night':<11} {'rows':>9} {'version':>7}"]
    for table in tables.TABLES:
        nights = nights_of(spark, config.lake, table)
        if not nights:
            lines.append(f"{table.name:<18} {0:>6}")
            continue
        rows = read_table(spark, config.lake, table, nights[-1], nights[-1], accepted_only=False)
        version = version_of(spark, config.lake, table)
        lines.append(
            f"{table.name:<18} {len(nights):>6} {nights[-1]!s:<11} {rows.count():>9} {version:>7}"
            f"{_refused(table, rows)}"
        )
    return "\n".join(lines)


def _refused(table: Table, rows: DataFrame) -> str:
    if "accepted" not in table.partitions:
        return ""
    reasons = rows.where("not accepted").select(F.explode("reasons").alias("reason")).groupBy("reason").count()
    found = sorted((row["reason"], row["count"]) for row in reasons.collect())
    return "  quarantined: " + ", ".join(f"{reason} {count}" for reason, count in found) if found else ""


def shopper_in_words(spark: SparkSession, config: Config, user_id: str) -> str:
    """What the last night's row of a shopper says. Raises InputMissingError for one without a row."""
    rows = last_night(spark, config, tables.RERANK_WEIGHTS).where(F.col("user_id") == user_id).collect()
    if not rows:
        raise InputMissingError(
            f"Shopper '{user_id}' has no row in 'rerank_weights': the engine uses a segment's row, then `anonymous`."
        )
    row = rows[0]
    return "\n".join(
        [
            *_alphas_in_words(row),
            *_gates_in_words(spark, config, row),
            *_facets_in_words(spark, config, row),
            *_boosts_in_words(spark, config, row),
        ]
    )


def _alphas_in_words(row: Any) -> list[str]:
    gates = ", ".join(
        f"{name} {alpha:.3g} (bound {row.bound[name]:.3g})" if alpha else f"{name} off"
        for name, alpha in sorted(row.alpha.items())
    )
    known = "not known" if row.agreement is None else f"{row.agreement:.2f} (by chance .50)"
    return [
        f"{row.user_id}: {row.evidence} events behind the row of night {row.run_date}, valid until {row.valid_until}",
        f"  the ranker's agreement with the last takes, held out: {known}",
        f"  personalised by (alpha by query class): {gates}",
    ]


def _gates_in_words(spark: SparkSession, config: Config, row: Any) -> list[str]:
    """One line an open gate of the row: of which cell it is, and what is expected of it."""
    agreement = UNKNOWN if row.agreement is None else row.agreement
    reached = (F.col("min_evidence") <= row.evidence) & (F.col("min_agreement") <= agreement)
    of_ranker = (F.col("run_date") == F.lit(row.run_date)) & (F.col("ranker_id") == row.ranker_id)
    gates = all_nights(spark, config, tables.GATES).where(of_ranker & reached)
    cells = gates.orderBy("query_class", "min_evidence", "min_agreement").collect()
    last = {gate.query_class: gate for gate in cells}
    return [_gate_in_words(gate) for name, gate in last.items() if row.alpha.get(name)]


def _gate_in_words(gate: Any) -> str:
    agreeing = f", agreement {gate.min_agreement:g} or more" if gate.min_agreement >= 0 else ""
    return (
        f"  gate      {gate.query_class}, {gate.min_evidence} events or more{agreeing}: gain {gate.gain:+.4f} "
        f"[{gate.gain_lower:+.4f}, {gate.gain_upper:+.4f}] expected; {gate.own_gain:+.4f} seen of {gate.users} shoppers"
    )


def _facets_in_words(spark: SparkSession, config: Config, row: Any) -> list[str]:
    named = {t: w for t, w in row.facet_weights.items() if not t.startswith("code:")}
    codes = {t: w for t, w in row.facet_weights.items() if t.startswith("code:")}
    liked = sorted(named.items(), key=lambda pair: (-pair[1], pair[0]))
    lines = [f"  likes     {t.replace(':', ' ', 1)}  {w:+.3f}" for t, w in liked[:MOST_SHOWN] if w > 0]
    lines += [f"  avoids    {t.replace(':', ' ', 1)}  {w:+.3f}" for t, w in liked[::-1][:MOST_SHOWN] if w < 0]
    return lines + _codes_in_words(spark, config, codes)


def _codes_in_words(spark: SparkSession, config: Config, codes: dict[str, float]) -> list[str]:
    """The heaviest codes, each with the words that tell its items from others."""
    heaviest = sorted(codes.items(), key=lambda pair: (-pair[1], pair[0]))[:2]
    if not heaviest:
        return []
    labelled = code_labels(last_night(spark, config, tables.ITEM_TOKENS))
    known = labelled.where(F.col("token").isin([token for token, _ in heaviest])).collect()
    labels = {row.token: f" ({row.label})" for row in known if row.label}
    return [f"  leans to  {token}{labels.get(token, '')}  {weight:+.3f}" for token, weight in heaviest]


def codes_in_words(spark: SparkSession, config: Config) -> str:
    """One line a code of the live code version: its items, in fair shares too, and the words that tell them apart."""
    live = last_night(spark, config, tables.PROMOTIONS).select(F.col("live_code_version").alias("code_version"))
    tokens = last_night(spark, config, tables.ITEM_TOKENS).join(live, on="code_version", how="left_semi")
    level, code = (F.element_at(F.split("token", ":"), at).cast("int") for at in (3, 4))
    rows = code_labels(tokens).orderBy(level, code).collect()
    lines = [f"{'code':<24} {'items':>9} {'fair shares':>11}  items are told by"]
    for row in rows:
        crowded = "  (crowded)" if row.fair_shares > CROWDED else ""
        lines.append(f"{row.token:<24} {row['items']:>9} {row.fair_shares:>11.2f}  {row.label}{crowded}")
    return "\n".join(lines)


def _boosts_in_words(spark: SparkSession, config: Config, row: Any) -> list[str]:
    heaviest = sorted(row.item_boosts.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_SHOWN]
    items = last_night(spark, config, tables.ITEMS).where(F.col("item_id").isin([item for item, _ in heaviest]))
    titles = {item.item_id: item.title for item in items.select("item_id", "title").collect()}
    return [f"  boosts    {item} {titles.get(item, '')}  {weight:+.3f}" for item, weight in heaviest]


def query_in_words(spark: SparkSession, config: Config, normalised_query: str, query_class: str) -> str:
    """The query for whoever reads a report or a log: quoted if so many shoppers have used it, else only its class.

    A rare query may name the one who asks it. How many is run.query_text_shoppers; the anonymous count for none.
    """
    asked = all_nights(spark, config, tables.SEARCHES).where(F.col("normalised_query") == normalised_query)
    if asked.join(shown_queries(asked, config), on="normalised_query", how="left_semi").isEmpty():
        return f"a query of class {query_class}"
    return f"'{normalised_query}'"


def shown_queries(searches: DataFrame, config: Config) -> DataFrame:
    """normalised_query of those that enough shoppers have used for their words to be shown outside of tables."""
    shoppers = F.count_distinct(F.when(F.col("user_id") != tables.ANONYMOUS, F.col("user_id")))
    counted = searches.groupBy("normalised_query").agg(shoppers.alias("shoppers"))
    return counted.where(F.col("shoppers") >= config.run.query_text_shoppers).select("normalised_query")


def all_nights(spark: SparkSession, config: Config, table: Table) -> DataFrame:
    """Every night of a table."""
    nights = nights_of(spark, config.lake, table)
    return read_table(spark, config.lake, table, BEGINNING, nights[-1] if nights else BEGINNING)
