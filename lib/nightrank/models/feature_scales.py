"""What a unit of each feature is: its spread within the slates that a ranker learns from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightrank.errors import ContractError
from nightrank.models.batches import Columns, Pass, recut
from nightrank.models.feature_names import ENGINE_FEATURES, PROFILE_FEATURES, Doubles


def feature_scales(examples: Pass, rows: int) -> tuple[Doubles, Doubles]:
    """The spread of each engine and profile feature within the training slates; 1 where it does not vary.

    Root mean square about the slate's mean; summed in parts of `rows` rows. Raises ContractError for examples with
    other features.
    """
    candidates, squares = 0, np.zeros(len(ENGINE_FEATURES) + len(PROFILE_FEATURES))
    for columns in recut(examples("train"), rows):
        _refuse_other_features(columns)
        mask = columns["item_index"] >= 0
        candidates += int(mask.sum())
        squares += _squares_within_slates(columns, mask)
    spread = np.sqrt(squares / max(candidates, 1))
    scale = np.where(spread > 0, spread, 1.0)
    return scale[: len(ENGINE_FEATURES)], scale[len(ENGINE_FEATURES) :]


def _refuse_other_features(columns: Columns) -> None:
    slate = columns["item_index"].shape[1]
    for name, features in (("engine_features", ENGINE_FEATURES), ("shopper_features", PROFILE_FEATURES)):
        if columns[name].shape[1] != slate * len(features):
            raise ContractError(
                f"The ranker cannot be trained: expected {len(features)} {name} an item in table training_examples, "
                f"found {columns[name].shape[1] / slate:g}: another version of nightrank made them. Run the stage "
                "training_examples of this night again."
            )


def _squares_within_slates(columns: Columns, mask: NDArray[np.bool_]) -> Doubles:
    """Each feature's squared differences from its slate's mean, summed over candidates."""
    shape = (*mask.shape, -1)
    both = [columns[name].reshape(shape).astype(np.float64) for name in ("engine_features", "shopper_features")]
    features = np.where(mask[..., None], np.concatenate(both, axis=-1), 0.0)
    means = features.sum(axis=1, keepdims=True) / np.maximum(mask.sum(axis=1), 1)[:, None, None]
    return np.asarray((np.where(mask[..., None], features - means, 0.0) ** 2).sum(axis=(0, 1)))
