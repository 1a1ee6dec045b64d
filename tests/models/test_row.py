"""The row compiler: rows say what the ranker says, in the order codes, facets, boosts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import torch

from nightrank.models.artefact import Ranker
from nightrank.models.catalogue import Catalogue, make_catalogue
from nightrank.models.codebook import assign_codes
from nightrank.models.feature_names import ENGINE_FEATURES, SHOPPER_FEATURES
from nightrank.models.features import Shopper, make_shopper, shopper_features
from nightrank.models.habits import make_habits
from nightrank.models.ranker import RankerModule, to_batch
from nightrank.models.row import Row, candidates, code_token, compile_rows, interests, shopper_part
from nightrank.models.scorer import row_sums
from nightrank.models.sequences import make_taken
from nightrank.models.towers import ShopperTower, shopper_tower
from nightrank.sections import RerankWeightsConfig

CONFIG = RerankWeightsConfig(similar=3, item_block=4, boosts=5, random_items=12)
DIMS = 4
COEFFICIENTS = {
    "brand": 1.0, "category": 0.5, "price": 0.2, "keyword": 0.3, "neighbours": 4.0, "own_item": 1.5,
    "cosine_last": 0.7, "cosine_mean": 0.9, "cosine_best": 0.6, "category_due": 2.0,
}  # fmt: skip


@pytest.fixture
def ranker() -> Ranker:
    random = np.random.default_rng(3)
    return Ranker(
        code_version="c1",
        encoder_version="e",
        tower_night=date(2026, 1, 1),
        projection=np.eye(DIMS, dtype=np.float32),
        codebook=random.normal(size=(2, 3, DIMS)).astype(np.float32) / 2,
        a=2.0,
        shopper_coefficients=np.array([COEFFICIENTS.get(name, 0.1) for name in SHOPPER_FEATURES]),
        engine_coefficients=np.ones((3, len(ENGINE_FEATURES))),
        mean_shopper=np.full(DIMS, 0.1, dtype=np.float32),
        recent=20,
        recent_decay=0.9,
    )


@pytest.fixture
def catalogue(ranker: Ranker) -> Catalogue:
    random = np.random.default_rng(4)
    vectors = random.normal(size=(12, DIMS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes = assign_codes(vectors, ranker.codebook)
    ids = [f"i{n:02d}" for n in range(12)]
    named = [[f"brand:{n % 3}", f"category:{n % 2}", f"price:{n % 4}"] for n in range(12)]
    coded = [[code_token("c1", level, int(code)) for level, code in enumerate(own)] for own in codes]
    return make_catalogue(
        np.array(ids), [c + n for c, n in zip(coded, named, strict=True)],
        [["i01", "i02"], *[[] for _ in range(11)]], [[0.5, 0.25], *[[] for _ in range(11)]],
        np.arange(12.0), vectors, popular_per_token=2,
    )  # fmt: skip


@pytest.fixture
def shopper(catalogue: Catalogue) -> Shopper:
    habits = make_habits(
        catalogue,
        item_cycles=(["i05"], [2, 3, 9, 3]),
        category_cycles=(["category:0", "category:1"], [2, 3, 9, 3, 2, 3, 9, 6]),
        prices=(["category:1"], [5.0, 10.0]),
        seen=(["i03"], [1.0]),
    )
    return make_shopper(
        catalogue, ["brand:1", "category:0"], [6.0, 4.0], ["i05"], [2.0], ["i00", "i05"], 0.9, habits=habits
    )


def full(catalogue: Catalogue, ranker: Ranker, shopper: Shopper) -> np.ndarray:
    centred = interests(catalogue, ranker, [shopper])[0].astype(np.float64) - ranker.mean_shopper
    return shopper_part(catalogue, ranker, shopper, centred, np.arange(12))


def tokens(catalogue: Catalogue) -> list[list[str]]:
    spans = zip(catalogue.token_offsets, catalogue.token_offsets[1:], strict=False)
    return [[str(catalogue.vocabulary[t]) for t in catalogue.token_ids[a:b]] for a, b in spans]


def test_interest_is_the_normalised_decayed_sum_of_recent_vectors(
    catalogue: Catalogue, ranker: Ranker, shopper: Shopper
) -> None:
    total = catalogue.vectors[0] + 0.9 * catalogue.vectors[5]
    np.testing.assert_allclose(interests(catalogue, ranker, [shopper])[0], total / np.linalg.norm(total), rtol=1e-5)


def test_boosted_items_get_the_full_rankers_score_up_to_one_constant(
    catalogue: Catalogue, ranker: Ranker, shopper: Shopper
) -> None:
    row = compile_rows(catalogue, ranker, [shopper], CONFIG)[0]
    ids = catalogue.item_ids.tolist()
    sums = row_sums(ids, tokens(catalogue), row.facet_weights, row.item_boosts)
    boosted = [ids.index(item) for item in row.item_boosts]
    assert len(boosted) == 5
    missed = (full(catalogue, ranker, shopper) - sums)[boosted]
    # beta_u is the same for every item, so the order among boosted items is the full ranker's.
    np.testing.assert_allclose(missed, row.beta, atol=1e-5)


def test_company_and_blocks_change_no_row(catalogue: Catalogue, ranker: Ranker, shopper: Shopper) -> None:
    nobody = make_shopper(catalogue, [], [], [], [], [], 0.9)
    other = make_shopper(catalogue, ["brand:2"], [3.0], ["i08"], [1.0], ["i08"], 0.9)
    for diversity in (0.0, 0.5):
        settings = CONFIG.model_copy(update={"diversity": diversity})
        together = compile_rows(catalogue, ranker, [nobody, shopper, other], settings)[1]
        alone = compile_rows(catalogue, ranker, [shopper], settings.model_copy(update={"item_block": 100}))[0]
        assert together.facet_weights == alone.facet_weights
        assert together.item_boosts == alone.item_boosts
        assert (together.beta, together.interest.tolist()) == (alone.beta, alone.interest.tolist())


def test_named_facets_are_the_coefficient_times_the_share(
    catalogue: Catalogue, ranker: Ranker, shopper: Shopper
) -> None:
    weights = compile_rows(catalogue, ranker, [shopper], CONFIG)[0].facet_weights
    # Of 66 takes 22 are of brand:1 and 30 of category:0.
    assert weights["brand:1"] == pytest.approx(1.0 * 6 * (1 - 22 / 66) / (6 + 5), abs=1e-6)
    # One gap of three days, three days ago; of category:1, of which nothing else is known, twice that.
    due = 2.0 * 3 / (3 + np.sqrt(4.5))
    assert weights["category:0"] == pytest.approx(0.5 * 4 * (1 - 30 / 66) / (4 + 5) + due, abs=1e-6)
    # The one item looked at, i03, is of category:1, of which 36 takes are, and of brand:0, of which 18 are.
    assert weights["category:1"] == pytest.approx(due / 2 + 0.1 * (1 - 36 / 66) / (1 + 5), abs=1e-6)
    assert weights["brand:0"] == pytest.approx(0.1 * (1 - 18 / 66) / (1 + 5), abs=1e-6)


def test_code_weights_are_centred_per_level(catalogue: Catalogue, ranker: Ranker, shopper: Shopper) -> None:
    weights = compile_rows(catalogue, ranker, [shopper], CONFIG)[0].facet_weights
    centred = interests(catalogue, ranker, [shopper])[0] - ranker.mean_shopper
    raw = ranker.codebook @ (2.0 * centred + 0.7 * catalogue.vectors[0])  # i00 was taken last
    for level in range(2):
        expected = raw[level] - raw[level].mean()
        found = [weights.get(code_token("c1", level, code), 0.0) for code in range(3)]
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_an_unknown_shopper_has_an_empty_row_but_for_constants(catalogue: Catalogue, ranker: Ranker) -> None:
    nobody = make_shopper(catalogue, [], [], [], [], [], 0.9)
    row = compile_rows(catalogue, ranker, [nobody], CONFIG)[0]
    assert row.facet_weights == {}
    assert row.item_boosts == {}
    assert not row.interest.any()


def test_limits_hold_and_the_heaviest_stay(catalogue: Catalogue, ranker: Ranker, shopper: Shopper) -> None:
    small = CONFIG.model_copy(update={"codes": 2, "facets": 1, "boosts": 2})
    row = compile_rows(catalogue, ranker, [shopper], small)[0]
    named = [token for token in row.facet_weights if not token.startswith("code:")]
    assert named == ["category:0"]
    assert len(row.facet_weights) - len(named) == 2
    assert len(row.item_boosts) == 2


def test_candidates_are_taken_near_popular_and_similar_items(catalogue: Catalogue, shopper: Shopper) -> None:
    found = candidates(catalogue, shopper, np.array([9]), CONFIG)
    # own i05, recent i00 i05, seen i03, near i01 i02, popular in brand:1 (i10, i07) and category:0 (i10, i08),
    # similar i09
    assert found.tolist() == [0, 1, 2, 3, 5, 7, 8, 9, 10]


def in_training(catalogue: Catalogue, ranker: Ranker, shopper: Shopper, state: np.ndarray | None = None) -> np.ndarray:
    """What the module that is trained makes of every item, of an engine that says nothing: g, of u and not u - mean."""
    module = RankerModule(np.eye(DIMS), np.ones(len(ENGINE_FEATURES)), np.ones(len(SHOPPER_FEATURES) - 3))
    with torch.no_grad():
        module.shopper.copy_(torch.from_numpy(ranker.shopper_coefficients) * module.shopper_scale)
        module.raw_a.fill_(np.log(np.expm1(ranker.a / 5)))  # a is 5 softplus(raw a)
        pad = 5 - len(shopper.recent)
        columns = {
            "item_index": np.arange(12)[None], "engine_features": np.zeros((1, 12 * len(ENGINE_FEATURES))),
            "recent_index": np.pad(shopper.recent, (0, pad), constant_values=-1)[None],
            "recent_weight": np.pad(shopper.recent_weights, (0, pad))[None],
            "shopper_features": shopper_features(catalogue, shopper, np.arange(12)).reshape(1, -1),
            "logged_gains": np.zeros((1, 12)), "log_propensity": np.zeros((1, 12)), "class_index": np.zeros(1),
        }  # fmt: skip
        told = {} if state is None else {"shopper": state[None]}
        return np.asarray(module(to_batch({**columns, **told}, catalogue.vectors.astype(np.float64))))[0]


def test_the_compiler_scores_as_training_does(catalogue: Catalogue, ranker: Ranker, shopper: Shopper) -> None:
    u = interests(catalogue, ranker, [shopper])[0].astype(np.float64)
    found = shopper_part(catalogue, ranker, shopper, u, np.arange(12))
    np.testing.assert_allclose(found, in_training(catalogue, ranker, shopper), atol=1e-5)
    assert np.ptp(found) > 1
    with_towers = replace(ranker, tower_id="t", shopper_tower={"log_scale": np.float32(1)})
    state = catalogue.vectors[7].astype(np.float64)
    found = shopper_part(catalogue, with_towers, shopper, state, np.arange(12))
    np.testing.assert_allclose(found, in_training(catalogue, ranker, shopper, state), atol=1e-5)
    # Of someone of whom nothing is known, nothing is said.
    nobody = make_shopper(catalogue, [], [], [], [], [], 0.9)
    assert not shopper_part(catalogue, ranker, nobody, np.zeros(DIMS), np.arange(12)).any()
    assert not in_training(catalogue, ranker, nobody).any()


def test_with_towers_the_interest_is_the_state_after_the_last_take(catalogue: Catalogue, ranker: Ranker) -> None:
    torch.manual_seed(1)
    weights = {name: w.numpy() for name, w in ShopperTower(DIMS, 1, 2, 8, longest=3).state_dict().items()}
    towers = replace(ranker, tower_id="t", shopper_tower=weights)
    ids, actions, hours = ["i03", "i00", "i07", "i05"], [4, 2, 2, 4], [1, 2, 30, 31]
    taken = make_taken(catalogue.item_ids, ids, actions, hours)
    told = make_shopper(catalogue, [], [], [], [], [], 0.9, taken)
    silent = make_shopper(catalogue, [], [], [], [], ["i00"], 0.9)
    found = interests(catalogue, towers, [told, silent])
    state = shopper_tower(weights)(
        torch.from_numpy(catalogue.vectors[[0, 7, 5]].astype(np.float64))[None],
        torch.tensor([[2, 2, 4]]), torch.tensor([[1, 5, 1]]),
    )  # fmt: skip
    np.testing.assert_allclose(found[0], state[0, -1].detach().numpy(), atol=1e-6)
    assert not found[1].any()
    row = compile_rows(catalogue, towers, [told], CONFIG)[0]
    wanted = 2.0 * (found[0].astype(np.float64) - ranker.mean_shopper)
    assert code_weights(row, ranker) == pytest.approx(centred_codes(ranker, wanted), abs=1e-5)
    # With recents the codes carry their likeness too: .7 of the last one's vector, .9 of the direction of their mean.
    told = make_shopper(catalogue, [], [], [], [], ["i05", "i07"], 0.9, taken)
    last, before = catalogue.vectors[[5, 7]].astype(np.float64)
    mean = (last + 0.9 * before) / np.linalg.norm(last + 0.9 * before)
    row = compile_rows(catalogue, towers, [told], CONFIG)[0]
    assert code_weights(row, ranker) == pytest.approx(centred_codes(ranker, wanted + 0.7 * last + 0.9 * mean), abs=1e-5)


def code_weights(row: Row, ranker: Ranker) -> np.ndarray:
    at = np.ndindex(*ranker.codebook.shape[:2])
    return np.array([row.facet_weights[code_token("c1", level, code)] for level, code in at])


def centred_codes(ranker: Ranker, wanted: np.ndarray) -> np.ndarray:
    codes = ranker.codebook.astype(np.float64) @ wanted
    return np.asarray(codes - codes.mean(axis=1, keepdims=True)).ravel()
