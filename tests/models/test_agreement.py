"""Agreement: where the ranker puts takes that it was not told of, among rivals of their category."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from nightrank.models.agreement import agreements, rivals, share_below
from nightrank.models.artefact import SHOPPER_FEATURES, Ranker
from nightrank.models.catalogue import Catalogue, make_catalogue
from nightrank.models.feature_names import ENGINE_FEATURES
from nightrank.models.features import make_shopper

ITEMS = ["a", "b", "c", "d", "e", "f"]
# a and e are of brand x, the others of y; f has no category.
TOKENS = [["brand:x" if i in "ae" else "brand:y", "category:t", "category:t > s"] for i in "abcde"]


@pytest.fixture
def catalogue() -> Catalogue:
    return make_catalogue(
        item_ids=np.array(ITEMS),
        tokens=[*TOKENS, ["brand:y", "code:c1:0:3", "code:c1:1:0"]],
        neighbours=[[] for _ in ITEMS],
        neighbour_weights=[[] for _ in ITEMS],
        popularity=np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0]),
        vectors=np.eye(6, 4, dtype=np.float32),
        popular_per_token=4,
    )


@pytest.fixture
def ranker() -> Ranker:
    """Loves brands and nothing else."""
    return Ranker(
        code_version="c1",
        encoder_version="e",
        tower_night=date(2026, 1, 1),
        projection=np.eye(4, dtype=np.float32),
        codebook=np.zeros((2, 2, 4), dtype=np.float32),
        a=0.0,
        shopper_coefficients=np.array([1.0 if name == "brand" else 0.0 for name in SHOPPER_FEATURES]),
        engine_coefficients=np.ones((3, len(ENGINE_FEATURES))),
        mean_shopper=np.zeros(4, dtype=np.float32),
        recent=20,
        recent_decay=0.9,
    )


def lover_of(catalogue: Catalogue, brand: str, own: tuple[str, ...] = ()):
    return make_shopper(catalogue, [f"brand:{brand}"], [6.0], list(own), [1.0] * len(own), list(own), recent_decay=0.9)


def test_the_share_below_counts_ties_by_half() -> None:
    assert share_below(0.5, np.array([0.1, 0.5, 0.5, 0.9])) == pytest.approx((1 + 0.5 * 2) / 4)


def test_rivals_are_the_best_sellers_of_the_narrowest_category_or_of_the_coarse_code(catalogue: Catalogue) -> None:
    assert rivals(catalogue, ITEMS.index("e")).tolist() == [0, 1, 2, 3]
    assert rivals(catalogue, ITEMS.index("f")).tolist() == [5]


def test_a_take_of_the_loved_brand_beats_the_others_and_one_of_another_does_not(
    catalogue: Catalogue, ranker: Ranker
) -> None:
    lover = lover_of(catalogue, "x")
    takes = [np.array([4]), np.array([1]), np.array([4, 1])]
    # e of x: a of x ties, b, c and d of y are below: 3.5 of 4. b of y: a is above, c and d tie: 1 of 3. Both together:
    # b is no rival of e, which is left with 2.5 of 3.
    found = agreements(catalogue, ranker, [lover] * 3, takes)
    np.testing.assert_allclose(found, [0.875, 1 / 3, (2.5 / 3 + 1 / 3) / 2], atol=1e-6)
    # Taken before, a is no rival: all others are below e.
    np.testing.assert_allclose(agreements(catalogue, ranker, [lover_of(catalogue, "x", ("a",))], [takes[0]]), [1.0])


def test_nothing_is_known_without_a_rival(catalogue: Catalogue, ranker: Ranker) -> None:
    gone, alone = np.array([-1]), np.array([5])
    assert np.isnan(agreements(catalogue, ranker, [lover_of(catalogue, "x")] * 2, [gone, alone])).all()


def test_whoever_has_no_taste_is_at_a_half(catalogue: Catalogue, ranker: Ranker) -> None:
    indifferent = replace(ranker, shopper_coefficients=np.zeros(len(SHOPPER_FEATURES)))
    assert agreements(catalogue, indifferent, [lover_of(catalogue, "x")], [np.array([4, 0])])[0] == 0.5
