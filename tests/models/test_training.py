"""Training: planted coefficients come back; same input, same bits; the best epoch is the one that is kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from nightrank.errors import ConfigError, ContractError
from nightrank.models import training
from nightrank.models.artefact import project
from nightrank.models.batches import Columns, Pass
from nightrank.models.feature_names import ENGINE_FEATURES, PROFILE_FEATURES, SHOPPER_FEATURES
from nightrank.models.feature_scales import feature_scales
from nightrank.models.metrics import ndcg_at_k
from nightrank.models.training import first_projection, train_ranker
from nightrank.sections import RankerRunsConfig

ITEMS, SLATE, RECENT, TASTES, ENCODER = 120, 8, 5, 6, 24
BASE, BRAND, AFFINITY = 0.6, 3.0, 2.0
SETTINGS = RankerRunsConfig(dims=8, batch=64, epochs=8, learning_rate=2e-2)


def catalogue() -> tuple[np.ndarray, np.ndarray]:
    """What items are [items, tastes], and embeddings that hide it among noise."""
    random = np.random.default_rng(0)
    nature = random.normal(size=(ITEMS, TASTES))
    nature /= np.linalg.norm(nature, axis=1, keepdims=True)
    mixed = nature @ random.normal(size=(TASTES, ENCODER)) + 0.5 * random.normal(size=(ITEMS, ENCODER))
    return nature, (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)


def planted(rows: int, seed: int) -> Columns:
    """Takes follow BASE * base_score + BRAND * brand + AFFINITY * taste; the other features say nothing."""
    random, (nature, _) = np.random.default_rng(seed), catalogue()
    affinity = random.normal(size=(rows, TASTES)) @ nature.T
    affinity /= np.linalg.norm(affinity, axis=1, keepdims=True) / np.sqrt(ITEMS / TASTES)
    slate = np.stack([random.choice(ITEMS, SLATE, replace=False) for _ in range(rows)])
    mask = np.arange(SLATE) < random.integers(4, SLATE + 1, size=rows)[:, None]
    engine = random.normal(size=(rows, SLATE, len(ENGINE_FEATURES))) * [2.0, 1.0, 0.1, 1.0]
    shopper = random.exponential(size=(rows, SLATE, len(PROFILE_FEATURES))) * 0.3
    wanted = BASE * engine[..., 0] + BRAND * shopper[..., 0] + AFFINITY * np.take_along_axis(affinity, slate, 1)
    noisy = np.where(mask, wanted + random.gumbel(size=slate.shape), -np.inf)
    recent = np.argsort(-affinity, axis=1)[:, :RECENT]
    taken = (np.arange(SLATE) == noisy.argmax(axis=1)[:, None]).astype(np.float32)
    return {
        "example_order": np.arange(rows),
        "class_index": random.integers(0, 3, size=rows).astype(np.int32),
        "item_index": np.where(mask, slate, -1).astype(np.int32),
        "engine_features": engine.reshape(rows, -1).astype(np.float32),
        "shopper_features": shopper.reshape(rows, -1).astype(np.float32),
        "gains": taken,
        "logged_gains": taken,
        "log_propensity": np.zeros((rows, SLATE), np.float32),
        "recent_index": recent.astype(np.int32),
        "recent_weight": np.tile(0.9 ** np.arange(RECENT), (rows, 1)).astype(np.float32),
        "inverse_propensity": np.ones(rows, np.float32),
    }


def passes(train: Columns, valid: Columns | None, parts: int = 1) -> Pass:
    def examples(fold: str) -> Iterator[Columns]:
        rows = train if fold == "train" else valid
        for part in range(parts) if rows is not None else ():
            yield {name: np.array_split(column, parts)[part] for name, column in rows.items()}

    return examples


@pytest.fixture(scope="module")
def folds() -> tuple[Columns, Columns]:
    return planted(3000, seed=1), planted(400, seed=2)


def test_planted_coefficients_come_back_and_nuisance_stays_small(folds: tuple[Columns, Columns]) -> None:
    trained = train_ranker(passes(*folds), catalogue()[1], SETTINGS)
    named = trained.shopper_coefficients
    assert named[0] == pytest.approx(BRAND, rel=0.2)
    assert np.abs(named[1 : len(PROFILE_FEATURES)]).max() < 0.15 * BRAND
    np.testing.assert_allclose(trained.engine_coefficients[:, 0], BASE, rtol=0.2)
    assert np.abs(trained.engine_coefficients[:, 1]).max() < 0.2
    # Taste is seen by the cosine with the shopper and with single recent items: who of them tells it is not planted.
    assert trained.a + named[len(PROFILE_FEATURES) :].sum() > 1
    assert trained.metrics["valid_ndcg"] > trained.metrics["base_ndcg"] + 0.05
    assert np.linalg.norm(trained.mean_shopper) < 0.5


def test_the_learned_tower_sees_the_planted_tastes_better_than_its_start(folds: tuple[Columns, Columns]) -> None:
    nature, embeddings = catalogue()
    trained = train_ranker(passes(*folds), embeddings, SETTINGS)

    def agreement(projection: np.ndarray) -> float:
        vectors = project(embeddings, projection)
        return float(np.corrcoef((vectors @ vectors.T).ravel(), (nature @ nature.T).ravel())[0, 1])

    assert agreement(trained.projection) > agreement(first_projection(embeddings, SETTINGS.dims))


def test_the_same_rows_give_the_same_bits_however_they_are_cut(folds: tuple[Columns, Columns]) -> None:
    embeddings, settings = catalogue()[1], SETTINGS.model_copy(update={"epochs": 2})
    one, two = (train_ranker(passes(*folds, parts=parts), embeddings, settings) for parts in (1, 7))
    for name, value in vars(one).items():
        np.testing.assert_array_equal(getattr(two, name), value, err_msg=name)
    other = train_ranker(passes(*folds), embeddings, settings.model_copy(update={"seed": 8}))
    assert (other.projection != one.projection).any()


def test_a_frozen_tower_is_kept_to_the_bit_and_the_rest_learns(folds: tuple[Columns, Columns]) -> None:
    embeddings = catalogue()[1]
    tower = first_projection(embeddings, SETTINGS.dims)
    trained = train_ranker(passes(*folds), embeddings, SETTINGS, tower)
    np.testing.assert_array_equal(trained.projection, tower)
    assert trained.shopper_coefficients[0] == pytest.approx(BRAND, rel=0.2)


def test_the_best_epoch_is_kept_and_training_stops_after_patience(
    folds: tuple[Columns, Columns], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Four epochs, the refitted ranker, and the one whose projection never learned.
    judged = iter([0.5, 0.7, 0.7, 0.6, 0.9, 0.8])
    monkeypatch.setattr(training, "_validate", lambda *_: {"valid_ndcg": next(judged), "valid_loss": 1.0})
    settings = SETTINGS.model_copy(update={"patience": 2, "epochs": 6})
    stopped = train_ranker(passes(*folds), catalogue()[1], settings)
    assert (stopped.best_epoch, len(stopped.curves), stopped.metrics["valid_ndcg"]) == (2, 4, 0.9)
    monkeypatch.setattr(training, "_validate", lambda *_: {})
    two_epochs = train_ranker(passes(*folds), catalogue()[1], settings.model_copy(update={"epochs": 2}))
    np.testing.assert_array_equal(stopped.projection, two_epochs.projection)
    np.testing.assert_array_equal(stopped.engine_coefficients, two_epochs.engine_coefficients)


def test_a_projection_that_ranks_valid_searches_worse_than_it_began_is_not_kept(
    folds: tuple[Columns, Columns], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1})
    start = first_projection(catalogue()[1], SETTINGS.dims)
    for losses, learned in (([2.0, 1.0, 1.1], True), ([2.0, 1.0, 0.9], False)):
        of_pass = iter(losses)  # after the epoch, refitted, and refitted over the first projection
        monkeypatch.setattr(training, "_validate", lambda *_, told=of_pass: {"valid_loss": next(told)})
        trained = train_ranker(passes(*folds), catalogue()[1], settings)
        assert (trained.projection != start).any() == learned
        assert trained.metrics["projection_learned"] == learned
        assert trained.metrics["valid_loss"] == min(losses)


def test_valid_searches_count_by_the_inverse_propensity_of_what_was_taken(folds: tuple[Columns, Columns]) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1})
    rows = len(folds[1]["gains"])
    base = folds[1]["engine_features"].reshape(rows, SLATE, -1)[..., 0]
    mask = folds[1]["item_index"] >= 0
    each = ndcg_at_k(base, folds[1]["gains"], 10, tie_order=folds[1]["item_index"], mask=mask)
    weights = np.where(each < 0.5, 9.0, 1.0).astype(np.float32)
    trained = train_ranker(passes(folds[0], {**folds[1], "inverse_propensity": weights}), catalogue()[1], settings)
    assert trained.metrics["base_ndcg"] == pytest.approx(np.average(each, weights=weights))
    alike = train_ranker(passes(*folds), catalogue()[1], settings)
    assert alike.metrics["base_ndcg"] == pytest.approx(each.mean())
    # No other ranker is trained, and its losses count alike.
    assert alike.metrics["valid_loss"] == trained.metrics["valid_loss"]


def test_without_valid_examples_the_last_epoch_stands(folds: tuple[Columns, Columns]) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 3, "patience": 1})
    trained = train_ranker(passes(folds[0], None), catalogue()[1], settings)
    assert trained.best_epoch == 3
    assert set(trained.metrics) == {"train_loss"}


def test_a_loss_that_is_no_number_stops_training(folds: tuple[Columns, Columns]) -> None:
    broken = {name: column.copy() for name, column in folds[0].items()}
    broken["logged_gains"][0] = np.nan
    with pytest.raises(ContractError, match="expected a finite loss, found nan in epoch 1"):
        train_ranker(passes(broken, None), catalogue()[1], SETTINGS)


def test_the_mean_of_the_recents_is_weighed_once_unless_towers_say_what_the_shopper_wants(
    folds: tuple[Columns, Columns],
) -> None:
    settings, (nature, _) = SETTINGS.model_copy(update={"epochs": 2, "dims": TASTES}), catalogue()
    of_mean = SHOPPER_FEATURES.index("cosine_mean")
    words = train_ranker(passes(*folds), nature.astype(np.float32), settings, np.eye(TASTES, dtype=np.float32))
    assert words.shopper_coefficients[of_mean] == 0
    # Towers that know nothing: the mean of the recents tells the tastes, and its coefficient finds that.
    random = np.random.default_rng(5)
    silent = [{**fold, "shopper": random.normal(size=(len(fold["gains"]), TASTES)) / 9} for fold in folds]
    towers = train_ranker(passes(*silent), nature.astype(np.float32), settings, np.eye(TASTES, dtype=np.float32))
    assert towers.shopper_coefficients[of_mean] > 0.5
    assert towers.a < words.a


def test_examples_with_other_features_are_refused(folds: tuple[Columns, Columns]) -> None:
    older = {**folds[0], "shopper_features": folds[0]["shopper_features"][:, : SLATE * 7]}
    with pytest.raises(ContractError, match=r"expected \d+ shopper_features an item .* found 7: .* training_examples"):
        train_ranker(passes(older, None), catalogue()[1], SETTINGS)


def test_feature_scales_are_spreads_within_slates() -> None:
    rows = planted(2, seed=3)
    rows["item_index"] = np.array([[0, 1] + [-1] * 6, [2, 3] + [-1] * 6], np.int32)
    engine = np.full((2, SLATE, len(ENGINE_FEATURES)), 50.0, np.float32)
    engine[:, :2, 0] = [[101, 105], [7, 11]]  # 2 about the mean of each slate
    rows["engine_features"] = engine.reshape(2, -1)
    engine_scale, shopper_scale = feature_scales(passes(rows, None), 64)
    np.testing.assert_allclose(engine_scale, [2, 1, 1, 1])
    assert shopper_scale.shape == (len(PROFILE_FEATURES),)


def test_the_first_projection_is_orthonormal_in_the_catalogue_s_main_directions() -> None:
    random = np.random.default_rng(4)
    embeddings = (random.normal(size=(500, 4)) * [1, 5, 2, 0.1] + 7).astype(np.float32)
    found = first_projection(embeddings, 2)
    np.testing.assert_allclose(found.T @ found, np.eye(2), atol=1e-6)
    np.testing.assert_allclose(found, [[0, 0], [1, 0], [0, 1], [0, 0]], atol=0.1)
    with pytest.raises(ConfigError, match=r"ranker_runs.dims: expected 1 to 4, .* found 5"):
        first_projection(embeddings, 5)
