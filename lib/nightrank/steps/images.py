"""Image vectors of items, for towers that read them: late, beside words and ids, and only where there are some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column
from pyspark.sql import functions as F

from nightrank.models.tower_artefact import Images


def image_of(dims: int) -> Column:
    """An item's image vector; NULL where it has none of that length, as from before items.image_dims was set."""
    return F.when(F.size("image_embedding") == dims, F.col("image_embedding"))


def images_in(vectors: Sequence[NDArray[np.float32] | None]) -> Images | None:
    """The images among the vectors of items in order: an item has none where its vector is None or empty.

    None where no item has one.
    """
    lengths = np.array([0 if vector is None else len(vector) for vector in vectors], np.int64)
    rows = np.flatnonzero(lengths)
    if not len(rows):
        return None
    return Images(rows, np.stack([np.asarray(vectors[row], np.float32) for row in rows]))
