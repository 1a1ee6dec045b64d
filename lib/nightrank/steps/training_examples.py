"""training_examples: slates with features as they stood the night before each search was made.

Profiles are folded to the night before the day of the search; neighbours, popularity and classes are those of the
snapshot before the training window: so nothing of a search's own day, least of all its own take, is in its features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.catalogue import Catalogue, positions
from nightrank.models.feature_names import ENGINE_FEATURES, PROFILE_FEATURES
from nightrank.models.features import shopper_features
from nightrank.nights import Night, night_before_held_out
from nightrank.sections import TrainingExamplesConfig
from nightrank.steps.catalogue import Loader, share_catalogue
from nightrank.steps.consent import not_forgotten
from nightrank.steps.encoders import with_encoder_in_force
from nightrank.steps.persons import profiles_by_id, with_relatives
from nightrank.steps.sequences import longest_read, taken_arrays
from nightrank.steps.shoppers import COLUMNS as SHOPPER_COLUMNS
from nightrank.steps.shoppers import FLATTENED, flat_shoppers, read_shopper, without_takes
from nightrank.steps.slates import class_index, flat_slates, is_drawn
from nightrank.steps.user_profiles import profiles_as_of
from nightrank.tables import TRAINING_EXAMPLES

TRAIN, VALID = "train", "valid"
SLATE_NUMBERS = ("slate_base", "slate_gains", "slate_logged_gains", "slate_propensities")
LEAST_PROPENSITY = 1e-6  # a logged one of 0 has no logarithm


def build_training_examples(
    searches: DataFrame,
    events: DataFrame,
    user_profiles: DataFrame,
    item_neighbours: DataFrame,
    query_classes: DataFrame,
    items: DataFrame,
    item_embeddings: DataFrame,
    query_embeddings: DataFrame,
    propensities: DataFrame,
    people: DataFrame,
    people_tonight: DataFrame,
    encoder_runs: DataFrame,
    night: Night,
    config: Config,
) -> DataFrame:
    """One row a search with something taken, of the window's nights before tonight's or a share of them: padded arrays.

    fold: `valid` for the held-out nights, the last before tonight, `train` for those before them. Tonight's searches
    are left for judging.
    people: the nights before the searches, whose links count; people_tonight: of whom nothing is learned.
    """
    from nightrank.models.encoder import encoder_version

    config = with_encoder_in_force(encoder_runs, config)
    drawn = searches.where(is_drawn(config.training_examples.share_of_searches))
    counted = not_forgotten(drawn.where(F.col("run_date") < F.lit(night.run_date)), people_tonight, F.to_date("ts"))
    slates = flat_slates(counted, propensities, query_classes, config).withColumn(
        "as_of", F.date_sub(F.to_date("ts"), 1)
    )
    user_profiles, events = (not_forgotten(frame, people_tonight) for frame in (user_profiles, events))
    version = encoder_version(config.item_embeddings)
    queries = query_embeddings.where(F.col("encoder_version") == encoder_version(config.query_embeddings))
    catalogue = share_catalogue(_tokens_and_vectors(items, item_embeddings, version), item_neighbours, config)
    examples = (
        slates.join(_shoppers_as_of(slates, user_profiles, events, people, config), on=["user_id", "as_of"], how="left")
        .join(
            queries.select("normalised_query", F.col("vector").alias("query_vector")), on="normalised_query", how="left"
        )
        .withColumn("class_index", class_index(F.col("query_class")))
    )
    padded = examples.select(*_needed()).mapInPandas(
        _padded_examples(catalogue, config.training_examples, longest_read(config)), schema=TRAINING_EXAMPLES.columns
    )
    return padded.withColumn("fold", _fold(night, config)).withColumn("example_order", F.xxhash64("query_id"))


def _fold(night: Night, config: Config) -> Column:
    last_trained_on = night_before_held_out(night.run_date, config.training_examples.held_out_nights)
    return F.when(F.col("searched_on") > F.lit(last_trained_on), F.lit(VALID)).otherwise(F.lit(TRAIN))


def _tokens_and_vectors(items: DataFrame, item_embeddings: DataFrame, encoder_version: str) -> DataFrame:
    vectors = item_embeddings.where(F.col("encoder_version") == encoder_version).select("content_hash", "vector")
    return items.select("item_id", F.col("facets").alias("tokens"), "content_hash").join(
        vectors, on="content_hash", how="inner"
    )


def _shoppers_as_of(
    slates: DataFrame, user_profiles: DataFrame, events: DataFrame, people: DataFrame, config: Config
) -> DataFrame:
    asked = with_relatives(slates.select("user_id", "as_of").distinct(), people)
    profiles = profiles_as_of(user_profiles, events, asked, config, FLATTENED)
    shoppers = flat_shoppers(profiles_by_id(profiles, people, config), config)
    return shoppers if longest_read(config) else without_takes(shoppers)


def _needed() -> list[str]:
    slate = ["slate_item_ids", *SLATE_NUMBERS, "slate_sponsored"]
    shopper = [name for name in SHOPPER_COLUMNS if name not in {"user_id", "as_of"}]
    return ["query_id", "user_id", "run_date", "class_index", "query_vector", *slate, *shopper]


def _padded_examples(
    catalogue: Loader, config: TrainingExamplesConfig, longest: int
) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    columns = TRAINING_EXAMPLES.columns.names

    def padded_examples(batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        items = catalogue()
        for batch in batches:
            rows = [_padded_example(items, row, config, longest) for row in batch.itertuples(index=False)]
            yield pandas.DataFrame([row for row in rows if row is not None], columns=columns)

    return padded_examples


def _padded_example(items: Catalogue, row: Any, config: TrainingExamplesConfig, longest: int) -> dict[str, Any] | None:
    """One example, or None where no organic item of the slate that the catalogue knows was taken.

    longest: how many takes a tower reads; 0: none does.
    """
    index, (base, gains, logged, propensity) = _chosen(items, row, config.slate)
    if not (gains > 0).any():
        return None
    shopper = read_shopper(items, row, config.recent_decay)
    told = base, np.log1p(items.popularity[index]), _cosine(items, index, row.query_vector)
    engine = np.column_stack([*told, np.zeros(len(index))])  # tower_examples.py gives the bias: no tower is known yet
    pad = config.slate - len(index)
    return {
        "query_id": row.query_id,
        "user_id": row.user_id,
        "searched_on": row.run_date,
        "fold": TRAIN,
        "class_index": row.class_index,
        "example_order": 0,
        "item_index": np.pad(index, (0, pad), constant_values=-1).astype(np.int32),
        "engine_features": _flattened(engine, pad, len(ENGINE_FEATURES)),
        "shopper_features": _flattened(shopper_features(items, shopper, index), pad, len(PROFILE_FEATURES)),
        "gains": np.pad(gains, (0, pad)).astype(np.float32),
        "logged_gains": np.pad(logged, (0, pad)).astype(np.float32),
        "log_propensity": np.pad(np.log(np.maximum(propensity, LEAST_PROPENSITY)), (0, pad)).astype(np.float32),
        "recent_index": _first(shopper.recent, config.recent, -1).astype(np.int32),
        "recent_weight": _first(shopper.recent_weights, config.recent, 0).astype(np.float32),
        **taken_arrays(shopper.taken, longest),
        "inverse_propensity": np.float32(gains.sum() / logged.sum()),
    }


def _chosen(items: Catalogue, row: Any, most: int) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
    """Index and SLATE_NUMBERS of up to `most` organic known items.

    Taken ones are kept first, then those shown first.
    """
    index = positions(items.item_ids, np.asarray(row.slate_item_ids, dtype=np.str_))
    usable = np.flatnonzero((index >= 0) & ~np.asarray(row.slate_sponsored, dtype=bool))
    gains = np.asarray(row.slate_gains, dtype=np.float64)
    kept = np.sort(usable[np.argsort(gains[usable] <= 0, kind="stable")][:most])
    return index[kept], [np.asarray(getattr(row, name), dtype=np.float64)[kept] for name in SLATE_NUMBERS]


def _cosine(items: Catalogue, index: NDArray[np.int64], query: NDArray[np.float32] | None) -> NDArray[np.float64]:
    if query is None:
        return np.zeros(len(index))
    return (items.vectors[index].astype(np.float32) @ np.asarray(query, dtype=np.float32)).astype(np.float64)


def _flattened(features: NDArray[np.float64], pad: int, width: int) -> NDArray[np.float32]:
    return np.pad(features.reshape(-1), (0, pad * width)).astype(np.float32)


def _first(values: NDArray[Any], length: int, filler: int) -> NDArray[Any]:
    kept = values[:length]
    return np.pad(kept, (0, length - len(kept)), constant_values=filler)
