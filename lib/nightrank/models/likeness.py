"""How like the shopper's last items an item is: cosines of vectors, as ranker.py has them with a gradient; numpy only.

cosine_last   v_i.v_l              l the item taken last
cosine_mean   v_i.m                m = unit(sum over k of recent_weight_k * v_recent_k); 0 where u itself is m
cosine_best   max over k of v_i.v_k, k among the BEST_OF items taken last

All are 0 for a shopper without recent items. The first two are linear in v_i, so that codes carry them whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nightrank.models.artefact import Ranker, shopper_vector
from nightrank.models.feature_names import PROFILE_FEATURES, Doubles

BEST_OF = 10


def vector_features(ranker: Ranker, vectors: ArrayLike, recents: ArrayLike, weights: ArrayLike) -> Doubles:
    """float64 [items, 3], in the order of VECTOR_FEATURES.

    vectors: [items, dims], unit rows. recents: [L, dims], of the shopper's recent items, newest first; weights: [L].
    """
    items, last_first = np.asarray(vectors, np.float64), np.asarray(recents, np.float64)
    if not len(last_first):
        return np.zeros((len(items), 3))
    best = (items @ last_first[:BEST_OF].T).max(axis=1)
    return np.column_stack([items @ last_first[0], items @ _mean(ranker, last_first, weights), best])


def direction(ranker: Ranker, centred: ArrayLike, recents: ArrayLike, weights: ArrayLike) -> Doubles:
    """float64 [dims]: what g multiplies an item's vector by: a (u - mean u) + c_last v_l + c_mean m.

    centred: u - mean u, [dims]. recents, weights: as above.
    """
    found: Doubles = float(ranker.a) * np.asarray(centred, np.float64)
    last_first = np.asarray(recents, np.float64)
    if len(last_first):
        last, mean, _ = ranker.shopper_coefficients[len(PROFILE_FEATURES) :]
        found = found + last * last_first[0] + mean * _mean(ranker, last_first, weights)
    return found


def _mean(ranker: Ranker, recents: Doubles, weights: ArrayLike) -> Doubles:
    """m; zero for a ranker without towers, whose u it is: two coefficients would share one feature."""
    if not ranker.shopper_tower:
        return np.zeros(recents.shape[1])
    return shopper_vector(recents, np.arange(len(recents)), weights).astype(np.float64)
