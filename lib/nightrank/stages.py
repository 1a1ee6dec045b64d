"""The table of contents: every stage, in running order, and which nights of which tables it reads.

A stage is named after the Delta table that it builds. `build` gets one frame for each of `reads`, as a keyword
argument, then `night` and `config`, and returns the frame to be written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame

from nightrank import tables
from nightrank.config import Config
from nightrank.contract import Table
from nightrank.nights import Night
from nightrank.spans import (
    Nights,
    arrivals,
    attributed_arrivals,
    attribution_window,
    before_training_searches,
    class_window,
    closed_by_then,
    closing_arrivals,
    duplicates_window,
    earlier,
    enrichments_before_judged,
    enrichments_in_text,
    everything,
    has_enrichments,
    has_people,
    held_out,
    judged_by_enrichments,
    judges_enrichments,
    last_nights_snapshot,
    of_sequences,
    pairs_since_previous,
    people_of,
    pooled_window,
    previous_snapshot,
    propensity_window,
    rotating,
    since_previous,
    since_training_snapshot,
    snapshot_before_held_out,
    snapshot_before_training,
    taken_over,
    tonight,
    tonights_snapshots,
    training_window,
    tuning_window,
)
from nightrank.steps.encoder_runs import build_encoder_runs, note_encoder_figures
from nightrank.steps.enrichment_runs import build_enrichment_runs
from nightrank.steps.enrichments import build_enrichments
from nightrank.steps.evaluations import build_evaluations
from nightrank.steps.events import build_events
from nightrank.steps.gates import build_gates
from nightrank.steps.item_embeddings import build_item_embeddings
from nightrank.steps.item_neighbours import build_item_neighbours
from nightrank.steps.item_tokens import build_item_tokens
from nightrank.steps.items import build_items
from nightrank.steps.manifest import build_manifest
from nightrank.steps.people import build_people
from nightrank.steps.promotions import agree_champion, build_promotions, note_figures
from nightrank.steps.propensities import build_propensities
from nightrank.steps.query_classes import build_query_classes
from nightrank.steps.query_embeddings import build_query_embeddings
from nightrank.steps.ranker_runs import build_ranker_runs, note_versions
from nightrank.steps.rerank_weights import build_rerank_weights
from nightrank.steps.searches import build_searches
from nightrank.steps.segments import build_segments
from nightrank.steps.training_examples import build_training_examples
from nightrank.steps.user_profiles import build_user_profiles


@dataclass(frozen=True)
class Read:
    """One frame that a builder gets: nights of a table; table None: the raw input of the same name.

    accepted_only: whether a table with quarantine is read without it.
    """

    parameter: str
    table: Table | None
    nights: Nights
    accepted_only: bool = True


def raw(name: str, nights: Nights) -> Read:
    """A raw input: `raw_events`, `raw_searches`, `raw_items`, `raw_people`, `raw_enrichments`; `raw_event_lines`, …"""
    return Read(f"raw_{name}", None, nights)


def of(table: Table, nights: Nights, called: str | None = None, accepted_only: bool = True) -> Read:
    """Nights of a table, under the table's name or another."""
    return Read(called or table.name, table, nights, accepted_only)


@dataclass(frozen=True)
class Stage:
    """One step of the night: a table, the job that it belongs to, what it reads, how it is built.

    agreed: what the outside must know before the night's rows may stand: where it raises, nothing is written.
    published: what is told to the outside once the night's rows stand: called with them and with the Delta versions of
        the tables that they were built from; what it returns are the stage's metrics in the summary.
    wanted: whether the shop has any use for the table; where it has none the stage does not run.
    """

    table: Table
    job: str
    build: Callable[..., DataFrame]
    reads: tuple[Read, ...]
    agreed: Callable[[DataFrame, Night, Config], None] | None = None
    published: Callable[[DataFrame, Mapping[str, int], Config], Mapping[str, float] | None] | None = None
    wanted: Callable[[Config], bool] = lambda _: True

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name


t = tables
STAGES: tuple[Stage, ...] = (
    Stage(t.ENRICHMENTS, "prepare", build_enrichments, (raw("enrichments", arrivals),), wanted=has_enrichments),
    # Items come before events, whose contract asks whether an item is known.
    Stage(t.ITEMS, "prepare", build_items,
          (raw("items", arrivals), of(t.ITEMS, previous_snapshot), of(t.ENRICHMENTS, enrichments_in_text))),
    Stage(t.EVENTS, "prepare", build_events,
          (raw("events", arrivals), of(t.ITEMS, tonight), of(t.EVENTS, duplicates_window, accepted_only=False))),
    Stage(t.SEARCHES, "prepare", build_searches,
          (raw("searches", attribution_window), of(t.EVENTS, attribution_window, accepted_only=False))),
    Stage(t.MANIFEST, "prepare", build_manifest,
          (raw("event_lines", arrivals), raw("search_lines", closing_arrivals), raw("item_lines", arrivals),
           of(t.EVENTS, arrivals, accepted_only=False), of(t.SEARCHES, arrivals, accepted_only=False),
           of(t.ITEMS, tonight, accepted_only=False), of(t.EVENTS, attributed_arrivals, "attributed_events"),
           of(t.SEARCHES, closed_by_then, "closed_searches", accepted_only=False))),
    Stage(t.QUERY_CLASSES, "prepare", build_query_classes, (of(t.SEARCHES, class_window), of(t.ITEMS, tonight))),
    Stage(t.PEOPLE, "prepare", build_people,
          (raw("people", since_previous), raw("events", rotating(since_previous)),
           raw("searches", rotating(since_previous)), of(t.USER_PROFILES, rotating(previous_snapshot)),
           of(t.PEOPLE, previous_snapshot)),
          wanted=has_people),
    Stage(t.USER_PROFILES, "prepare", build_user_profiles,
          (of(t.USER_PROFILES, previous_snapshot), of(t.EVENTS, since_previous), of(t.PEOPLE, people_of(tonight)))),
    Stage(t.ITEM_NEIGHBOURS, "prepare", build_item_neighbours,
          (of(t.ITEM_NEIGHBOURS, previous_snapshot), of(t.EVENTS, pairs_since_previous))),
    Stage(t.SEGMENTS, "prepare", build_segments,
          (of(t.USER_PROFILES, tonights_snapshots), of(t.PEOPLE, people_of(tonights_snapshots)))),
    Stage(t.ITEM_EMBEDDINGS, "encode", build_item_embeddings,
          (of(t.ITEMS, tonight), of(t.ITEM_EMBEDDINGS, earlier), of(t.ENCODER_RUNS, taken_over(earlier)))),
    Stage(t.QUERY_EMBEDDINGS, "encode", build_query_embeddings,
          (of(t.SEARCHES, training_window), of(t.QUERY_EMBEDDINGS, earlier), of(t.ENCODER_RUNS, taken_over(earlier)))),
    Stage(t.PROPENSITIES, "train", build_propensities, (of(t.SEARCHES, propensity_window),)),
    Stage(t.TRAINING_EXAMPLES, "train", build_training_examples,
          (of(t.SEARCHES, training_window), of(t.EVENTS, since_training_snapshot),
           of(t.USER_PROFILES, snapshot_before_training), of(t.ITEM_NEIGHBOURS, snapshot_before_training),
           of(t.QUERY_CLASSES, snapshot_before_training), of(t.ITEMS, tonight), of(t.ITEM_EMBEDDINGS, everything),
           of(t.QUERY_EMBEDDINGS, everything), of(t.PROPENSITIES, tonight),
           of(t.PEOPLE, people_of(before_training_searches)), of(t.PEOPLE, people_of(tonight), "people_tonight"),
           of(t.ENCODER_RUNS, taken_over(earlier)))),
    Stage(t.RANKER_RUNS, "train", build_ranker_runs,
          (of(t.TRAINING_EXAMPLES, tonight), of(t.ITEMS, tonight), of(t.ITEM_EMBEDDINGS, everything),
           of(t.RANKER_RUNS, earlier), of(t.ENCODER_RUNS, taken_over(earlier)),
           of(t.USER_PROFILES, of_sequences(snapshot_before_training)),
           of(t.PEOPLE, of_sequences(people_of(tonight)))),
          published=note_versions),
    Stage(t.ITEM_TOKENS, "rerank", build_item_tokens,
          (of(t.ITEMS, tonight), of(t.ITEM_EMBEDDINGS, everything), of(t.ITEM_NEIGHBOURS, last_nights_snapshot),
           of(t.RANKER_RUNS, everything), of(t.PROMOTIONS, earlier))),
    Stage(t.GATES, "rerank", build_gates,
          (of(t.SEARCHES, held_out), of(t.USER_PROFILES, snapshot_before_held_out),
           of(t.SEGMENTS, snapshot_before_held_out), of(t.ITEM_NEIGHBOURS, snapshot_before_held_out),
           of(t.QUERY_CLASSES, snapshot_before_held_out), of(t.ITEM_TOKENS, tonight), of(t.PROPENSITIES, tonight),
           of(t.RANKER_RUNS, everything), of(t.PROMOTIONS, earlier),
           of(t.PEOPLE, people_of(snapshot_before_held_out)), of(t.PEOPLE, people_of(tonight), "people_tonight"))),
    Stage(t.EVALUATIONS, "rerank", build_evaluations,
          (of(t.SEARCHES, tonight), of(t.USER_PROFILES, last_nights_snapshot), of(t.SEGMENTS, last_nights_snapshot),
           of(t.ITEM_NEIGHBOURS, last_nights_snapshot),
           of(t.QUERY_CLASSES, last_nights_snapshot), of(t.ITEM_TOKENS, tonight), of(t.PROPENSITIES, tonight),
           of(t.GATES, tonight), of(t.RANKER_RUNS, everything), of(t.PROMOTIONS, earlier),
           of(t.RERANK_WEIGHTS, last_nights_snapshot),
           of(t.PEOPLE, people_of(last_nights_snapshot)), of(t.PEOPLE, people_of(tonight), "people_tonight"))),
    Stage(t.PROMOTIONS, "rerank", build_promotions,
          (of(t.EVALUATIONS, pooled_window), of(t.RANKER_RUNS, everything), of(t.PROMOTIONS, earlier)),
          agreed=agree_champion, published=note_figures),
    Stage(t.RERANK_WEIGHTS, "rerank", build_rerank_weights,
          (of(t.USER_PROFILES, tonight), of(t.ITEM_NEIGHBOURS, tonight), of(t.ITEM_TOKENS, tonight),
           of(t.SEGMENTS, tonight), of(t.GATES, tonight), of(t.RANKER_RUNS, everything), of(t.PROMOTIONS, tonight),
           of(t.PEOPLE, people_of(tonight)))),
)  # fmt: skip
JOBS: tuple[str, ...] = ("prepare", "encode", "train", "rerank")
# What is run once a week, after a night's prepare, and is no part of the night.
WEEKLY: tuple[Stage, ...] = (
    Stage(t.ENCODER_RUNS, "encoder", build_encoder_runs,
          (of(t.SEARCHES, tuning_window), of(t.ITEMS, tonight), of(t.PEOPLE, people_of(tonight)),
           of(t.ENCODER_RUNS, taken_over(earlier))),
          published=note_encoder_figures),
    Stage(t.ENRICHMENT_RUNS, "encoder", build_enrichment_runs,
          (of(t.SEARCHES, judged_by_enrichments), of(t.ITEMS, tonight), of(t.ENRICHMENTS, enrichments_before_judged),
           of(t.PEOPLE, people_of(tonight)), of(t.ENCODER_RUNS, taken_over(earlier))),
          wanted=judges_enrichments),
)  # fmt: skip
WEEKLY_JOBS: tuple[str, ...] = ("encoder",)
