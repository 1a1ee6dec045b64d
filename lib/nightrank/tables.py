"""The contract of every table: its name, columns, key, and what a night of it is.

`run_date` (the night) is the first column of every table as it is stored. A `build_<table>` function returns the
columns without it and `storage.replace_night` stamps it; where a bulk load writes several nights at once, the builder
returns it too.
"""

from __future__ import annotations

from pyspark.sql import types as T

from nightrank.contract import (
    BYTES,
    DATE,
    DOUBLE,
    FLAG,
    FLOAT,
    FLOATS,
    INT,
    INTS,
    LONG,
    STRING,
    STRINGS,
    TIME,
    WEIGHTS,
    Holds,
    Table,
    columns,
    rows,
)  # fmt: skip

QUARANTINE = {"reasons": STRINGS, "accepted": FLAG}

# What a source hands over: canonical columns, plus the night of arrival and what went wrong while parsing.
PARSED = {"arrived": DATE, "problems": STRINGS}

EVENT = {
    "event_id": STRING, "ts": TIME, "user_id": STRING, "action": STRING, "item_id": STRING, "session_id": STRING,
    "query_id": STRING, "quantity": DOUBLE, "price": DOUBLE, "rating": DOUBLE, "device": STRING,
}  # fmt: skip
SHOWN = {"item_id": STRING, "position": INT, "base_score": DOUBLE, "sponsored": FLAG, "propensity": DOUBLE}
SEARCH = {
    "query_id": STRING, "ts": TIME, "user_id": STRING, "query": STRING, "slate": rows(**SHOWN), "session_id": STRING,
    "device": STRING, "policy_id": STRING, "derived": FLAG,
}  # fmt: skip
CATALOGUE = {
    "item_id": STRING, "title": STRING, "description": STRING, "brand": STRING, "category": STRING, "price": DOUBLE,
    "seller": STRING, "in_stock": FLAG, "attributes": T.MapType(STRING, STRING), "rating_mean": DOUBLE,
    "rating_count": LONG, "review_summary": STRING, "image_embedding": FLOATS, "enrichment": STRING,
    "updated_at": TIME,
}  # fmt: skip
# What an id says of itself: `link` and `unlink` (whose it is, other_id), `opt_out` and `opt_in`.
WORD = {"ts": TIME, "user_id": STRING, "action": STRING, "other_id": STRING}
RAW_EVENTS = columns(**EVENT, **PARSED, source_file=STRING)
# source_file: null where a row is no line's own: made of many, joined or derived.
RAW_SEARCHES = columns(**SEARCH, **PARSED, source_file=STRING)
RAW_ITEMS = columns(**CATALOGUE, **PARSED, source_file=STRING)
RAW_PEOPLE = columns(**WORD, **PARSED)
# What a language model wrote of an item, and which one, asked how and when. plain_hash: that of items.
ENRICHMENT = {"plain_hash": STRING, "text": STRING, "model": STRING, "prompt_version": STRING, "made_at": TIME}
RAW_ENRICHMENTS = columns(**ENRICHMENT, **PARSED)
# A line of a log's files: how many rows of RAW_EVENTS, RAW_SEARCHES or RAW_ITEMS it became, none where it is something
# else, as an impression is. A file that cannot be read has one such row with null.
RAW_EVENT_LINES = columns(source_file=STRING, arrived=DATE, event_rows=INT)
RAW_SEARCH_LINES = columns(source_file=STRING, arrived=DATE, ts=TIME, search_rows=INT)
RAW_ITEM_LINES = columns(source_file=STRING, arrived=DATE, item_rows=INT)
TOUCHED = {"value": DOUBLE, "touched": DATE}
CYCLE = {"buys": LONG, "days": LONG, "squared_days": LONG, "last": DATE, "touched": DATE}
FIGURE = {
    "method": STRING, "versus": STRING, "slice": STRING, "metric": STRING, "value": DOUBLE, "lower": DOUBLE,
    "upper": DOUBLE, "user_value": DOUBLE, "searches": LONG, "users": LONG,
}  # fmt: skip

EVENTS = Table(
    "events",
    "canonical behaviour events, with the facets that their items had on arrival",
    columns(**EVENT, facets=STRINGS, source_file=STRING, **QUARANTINE),
    key=("event_id",),
    holds=Holds.CHANGE,
    partitions=("accepted",),
    unhashed=("source_file",),
)
MANIFEST = Table(
    "manifest",
    "each file of events, searches and items as it was delivered: its lines, and what became of each row",
    columns(
        input=STRING,
        source_file=STRING,
        readable=FLAG,
        lines=LONG,
        other_lines=LONG,
        rows=LONG,
        good=LONG,
        quarantined=LONG,
        duplicates=LONG,
        query_ids=LONG,
        without_search=LONG,
    ),
    key=("input", "source_file"),
    holds=Holds.CHANGE,
    may_be_empty=True,
    unhashed=("source_file",),
)
ENRICHMENTS = Table(
    "enrichments",
    "what a language model wrote of items, by the hash of the plain text that it speaks of, and where it comes from",
    columns(**ENRICHMENT, **QUARANTINE),
    key=("plain_hash",),
    holds=Holds.CHANGE,
    partitions=("accepted",),
    may_be_empty=True,
)
ITEMS = Table(
    "items",
    "the catalogue as of the night: clean text, facets, content hash",
    columns(
        **CATALOGUE,
        rating_shrunk=DOUBLE,
        text=STRING,
        facets=STRINGS,
        content_hash=STRING,
        plain_hash=STRING,
        source_file=STRING,
        delivered_in=STRINGS,
        **QUARANTINE,
    ),
    key=("item_id",),
    holds=Holds.SNAPSHOT,
    partitions=("accepted",),
    keep_nights=35,
    unhashed=("source_file", "delivered_in"),
)
SEARCHES = Table(
    "searches",
    "searches whose attribution window has closed: query, slate, graded gains",
    columns(
        **{**SEARCH, "slate": rows(**SHOWN, gain=DOUBLE)}, normalised_query=STRING, source_file=STRING, **QUARANTINE
    ),
    key=("query_id",),
    holds=Holds.CHANGE,
    partitions=("accepted",),
    may_be_empty=True,
    unhashed=("source_file",),
)
QUERY_CLASSES = Table(
    "query_classes",
    "class of each normalised query, from how specific its takes are",
    columns(
        normalised_query=STRING,
        query_class=STRING,
        searches=LONG,
        takes=LONG,
        shoppers=LONG,
        item_entropy=DOUBLE,
        category_entropy=DOUBLE,
        top_item_share=DOUBLE,
        top_category_share=DOUBLE,
    ),
    key=("normalised_query",),
    holds=Holds.SNAPSHOT,
    keep_nights=35,
    may_be_empty=True,
)
PEOPLE = Table(
    "people",
    "which ids are one person and who has opted out: the ids that ever had a link or an opt-out",
    columns(
        user_id=STRING,
        person_id=STRING,
        opted_out=FLAG,
        forgotten_until=DATE,
        linked_to=STRING,
        linked_ts=TIME,
        refuses=FLAG,
        refused_ts=TIME,
        action=STRING,
        **QUARANTINE,
    ),
    key=("user_id",),
    holds=Holds.SNAPSHOT,
    partitions=("accepted",),
    keep_nights=35,
    may_be_empty=True,
)
USER_PROFILES = Table(
    "user_profiles",
    "what each shopper likes and dislikes, took last, buys again, and how much is known: last night's plus tonight's",
    columns(
        user_id=STRING,
        affinities=rows(token=STRING, value=DOUBLE, value_short=DOUBLE, value_season=DOUBLE, touched=DATE),
        own_items=rows(item_id=STRING, **TOUCHED),
        dislikes=rows(token=STRING, **TOUCHED),
        seen_items=rows(item_id=STRING, **TOUCHED),
        price_positions=rows(
            token=STRING, seen=DOUBLE, seen_bands=DOUBLE, taken=DOUBLE, taken_bands=DOUBLE, touched=DATE
        ),
        item_cycles=rows(item_id=STRING, **CYCLE),
        category_cycles=rows(token=STRING, **CYCLE),
        recent=rows(ts=TIME, item_id=STRING, action=STRING),
        last_session=columns(started=TIME, ended=TIME, events=LONG, tokens=rows(token=STRING, events=LONG)),
        effective_events=columns(**TOUCHED),
        events=LONG,
        takes=LONG,
        nights=LONG,
        first_ts=TIME,
        last_ts=TIME,
        segment=STRING,
    ),
    key=("user_id",),
    holds=Holds.SNAPSHOT,
    keep_nights=35,
)
ITEM_NEIGHBOURS = Table(
    "item_neighbours",
    "items that the same people take, in sequence; the diagonal is popularity",
    columns(item_id=STRING, neighbour_id=STRING, **TOUCHED, weight=DOUBLE, rank=INT),
    key=("item_id", "neighbour_id"),
    holds=Holds.SNAPSHOT,
    keep_nights=35,
)
SEGMENTS = Table(
    "segments",
    "the mean shopper of each segment and of all, and the rule that puts a shopper without a row into one",
    columns(
        segment=STRING,
        token=STRING,
        shoppers=LONG,
        affinity_tokens=STRINGS,
        affinity_values=T.ArrayType(DOUBLE),
        recent_item_ids=STRINGS,
    ),
    key=("segment",),
    holds=Holds.SNAPSHOT,
    keep_nights=35,
    may_be_empty=True,
)
ITEM_EMBEDDINGS = Table(
    "item_embeddings",
    "the BERT vector of each item text, an encoder version each",
    columns(content_hash=STRING, encoder_version=STRING, vector=FLOATS, tokens=INT, unknown_tokens=INT),
    key=("content_hash", "encoder_version"),
    holds=Holds.CHANGE,
    may_be_empty=True,
)
QUERY_EMBEDDINGS = Table(
    "query_embeddings",
    "the BERT vector of each distinct normalised query, an encoder version each",
    columns(normalised_query=STRING, encoder_version=STRING, vector=FLOATS, tokens=INT, unknown_tokens=INT),
    key=("normalised_query", "encoder_version"),
    holds=Holds.CHANGE,
    may_be_empty=True,
)
ENCODER_RUNS = Table(
    "encoder_runs",
    "one row a tuned encoder: from which it was tuned, how it was judged, and whether it is taken over",
    columns(
        encoder_id=STRING,
        status=STRING,
        reason=STRING,
        base_version=STRING,
        standing_version=STRING,
        train_examples=LONG,
        epochs=INT,
        metrics=WEIGHTS,
        mlflow_run_id=STRING,
        model_version=STRING,
    ),
    key=("encoder_id",),
    holds=Holds.CHANGE,
    unhashed=("mlflow_run_id", "model_version"),
)
ENRICHMENT_RUNS = Table(
    "enrichment_runs",
    "one row a week: how well what searches took is found by the items' plain texts and by enriched ones",
    columns(
        encoder_version=STRING,
        status=STRING,
        reason=STRING,
        items=LONG,
        enriched_items=LONG,
        searches=LONG,
        metrics=WEIGHTS,
    ),
    key=("encoder_version",),
    holds=Holds.CHANGE,
)
PROPENSITIES = Table(
    "propensities",
    "how likely each position is looked at, a device each",
    columns(device=STRING, position=INT, propensity=DOUBLE, clicks=LONG, pairs=LONG, method=STRING),
    key=("device", "position"),
    holds=Holds.SNAPSHOT,
    keep_nights=35,
)
TRAINING_EXAMPLES = Table(
    "training_examples",
    "slates with features as they stood the night before; padded arrays, no NULLs",
    columns(
        query_id=STRING,
        user_id=STRING,
        searched_on=DATE,
        fold=STRING,
        class_index=INT,
        example_order=LONG,
        item_index=INTS,
        engine_features=FLOATS,
        shopper_features=FLOATS,
        gains=FLOATS,
        logged_gains=FLOATS,
        log_propensity=FLOATS,
        recent_index=INTS,
        recent_weight=FLOATS,
        taken_index=INTS,
        taken_action=INTS,
        taken_gap=INTS,
        inverse_propensity=FLOAT,
    ),
    key=("query_id",),
    holds=Holds.SNAPSHOT,
    keep_nights=2,
    may_be_empty=True,
)
RANKER_RUNS = Table(
    "ranker_runs",
    "one row a trained ranker: what it learned from, how well, and its sha256",
    columns(
        ranker_id=STRING,
        status=STRING,
        reason=STRING,
        code_version=STRING,
        encoder_version=STRING,
        tower_night=DATE,
        train_examples=LONG,
        valid_examples=LONG,
        epochs=INT,
        coefficients=WEIGHTS,
        metrics=WEIGHTS,
        artefact_uri=STRING,
        mlflow_run_id=STRING,
        model_version=STRING,
    ),
    key=("ranker_id",),
    holds=Holds.CHANGE,
    unhashed=("artefact_uri", "mlflow_run_id", "model_version"),
)
ITEM_TOKENS = Table(
    "item_tokens",
    "tokens, prior and int8 tower vector of each item, a code version each",
    columns(item_id=STRING, code_version=STRING, tokens=STRINGS, prior=DOUBLE, vector=BYTES),
    key=("item_id", "code_version"),
    holds=Holds.SNAPSHOT,
    keep_nights=35,
    may_be_empty=True,
)
GATES = Table(
    "gates",
    "gain of personalising by class, evidence and agreement, on searches that the ranker has not seen",
    columns(
        ranker_id=STRING,
        query_class=STRING,
        min_evidence=LONG,
        min_agreement=DOUBLE,
        alpha=DOUBLE,
        bound=DOUBLE,
        gain=DOUBLE,
        gain_lower=DOUBLE,
        gain_upper=DOUBLE,
        searches=LONG,
        users=LONG,
        own_gain=DOUBLE,
    ),
    key=("ranker_id", "query_class", "min_evidence", "min_agreement"),
    holds=Holds.SNAPSHOT,
    may_be_empty=True,
)
EVALUATIONS = Table(
    "evaluations",
    "every method's figures for each judged search: nothing behind the rows has seen it",
    columns(
        query_id=STRING,
        user_id=STRING,
        method=STRING,
        part=STRING,
        ranker_id=STRING,
        query_class=STRING,
        returning=FLAG,
        head=FLAG,
        derived=FLAG,
        segment=STRING,
        ndcg=DOUBLE,
        mrr=DOUBLE,
        recall=DOUBLE,
        diversity=DOUBLE,
        weight=DOUBLE,
        alpha=DOUBLE,
        expected_gain=DOUBLE,
    ),
    key=("query_id", "method", "part"),
    holds=Holds.CHANGE,
    may_be_empty=True,
)
PROMOTIONS = Table(
    "promotions",
    "the ledger: which ranker makes tonight's rows, on which evidence, or why the champion was kept",
    columns(
        challenger_id=STRING,
        champion_id=STRING,
        live_id=STRING,
        live_code_version=STRING,
        promoted=FLAG,
        reason=STRING,
        judged_nights=INT,
        figures=rows(**FIGURE),
    ),
    key=("live_id",),
    holds=Holds.CHANGE,
)
RERANK_WEIGHTS = Table(
    "rerank_weights",
    "the product: one row of rerank weights a shopper, a segment, and anonymous",
    columns(
        user_id=STRING,
        alpha=WEIGHTS,
        bound=WEIGHTS,
        facet_weights=WEIGHTS,
        item_boosts=WEIGHTS,
        interest=BYTES,
        evidence=LONG,
        agreement=DOUBLE,
        code_version=STRING,
        ranker_id=STRING,
        policy_id=STRING,
        valid_until=TIME,
    ),
    key=("user_id",),
    holds=Holds.SNAPSHOT,
    keep_nights=35,
)

TABLES: tuple[Table, ...] = (
    EVENTS, MANIFEST, ENRICHMENTS, ITEMS, SEARCHES, QUERY_CLASSES, PEOPLE, USER_PROFILES, ITEM_NEIGHBOURS, SEGMENTS,
    ITEM_EMBEDDINGS, QUERY_EMBEDDINGS, PROPENSITIES, TRAINING_EXAMPLES, RANKER_RUNS, ITEM_TOKENS, GATES, EVALUATIONS,
    PROMOTIONS, RERANK_WEIGHTS, ENCODER_RUNS, ENRICHMENT_RUNS,
)  # fmt: skip
CLASSES = ("navigational", "category", "exploratory")
ANONYMOUS = "anonymous"
