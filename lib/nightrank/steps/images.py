"""Image vectors of items, for towers that read them: late, beside words and ids, and only where there are some."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column
from pyspark.sql import functions as F

from nightrank.models.tower_artefact import Images


def image_of(dims: int) -> Column:
    """An item's image vector; NULL where it has none of that length, as from before items.image_dims was set."""
    return F.when(F.size("image_embedding") == dims, F.col("image_embedding"))


def images_in(vectors: Iterable[NDArray[np.float32] | None]) -> Images | None:
    """The images among the vectors of items in order: an item has none where its vector is None or empty.

    None where no item has one.
    """
    seen = {row: np.asarray(one, np.float32) for row, one in enumerate(vectors) if one is not None and len(one)}
    return Images(np.array(list(seen), np.int64), np.stack(list(seen.values()))) if seen else None
