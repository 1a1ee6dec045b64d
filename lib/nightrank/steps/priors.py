"""What an engine ranks by that adds each item's prior to its base scores: nobody's taste, and in no row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from nightrank.models.catalogue import Catalogue, positions
from nightrank.steps.catalogue import Loader


def with_priors(index: Catalogue, base: NDArray[np.float64], item_ids: NDArray[np.str_]) -> NDArray[np.float64]:
    """base + prior of each item: float64 [items]; base alone for one that the index does not hold."""
    at = positions(index.item_ids, item_ids)
    return base + np.where(at >= 0, index.priors[at], 0.0)


def slates_with_priors(slates: DataFrame, index: Loader) -> DataFrame:
    """The slates as an engine ranks them that adds the index's priors: slate_base of each item with its prior."""
    return slates.mapInPandas(_with_priors(index), schema=slates.schema)


def _with_priors(index: Loader) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    def with_priors_in(batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        items = index()
        for batch in batches:
            slates = zip(batch["slate_base"], batch["slate_item_ids"], strict=True)
            added = [with_priors(items, np.asarray(base), np.asarray(ids, dtype=np.str_)) for base, ids in slates]
            yield batch.assign(slate_base=pandas.Series(added, index=batch.index))

    return with_priors_in
