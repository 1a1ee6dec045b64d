"""The torch module: the formulas of artefact.py, gradients included."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import torch

from nightrank.models.artefact import Ranker, engine_scores, project, shopper_scores, shopper_vector
from nightrank.models.feature_names import ENGINE_FEATURES, PROFILE_FEATURES, SHOPPER_FEATURES
from nightrank.models.likeness import vector_features
from nightrank.models.ranker import RankerModule, RowScores, to_batch, unit

ENGINE, PROFILE, ALL = len(ENGINE_FEATURES), len(PROFILE_FEATURES), len(SHOPPER_FEATURES)


def columns(kind: type = np.float32) -> dict[str, np.ndarray]:
    """Two examples: three candidates and two recents; two candidates, one padded, and no recents."""
    random = np.random.default_rng(1)
    return {
        "item_index": np.array([[4, 0, 2], [1, 3, -1]], np.int32),
        "recent_index": np.array([[2, 4], [-1, -1]], np.int32),
        "recent_weight": np.array([[1.0, 0.9], [7.0, 7.0]], kind),
        "engine_features": random.normal(size=(2, 3 * ENGINE)).astype(kind),
        "shopper_features": random.normal(size=(2, 3 * PROFILE)).astype(kind),
        "logged_gains": np.array([[0, 1, 0], [0, 2, 0]], kind),
        "log_propensity": np.zeros((2, 3), kind),
        "class_index": np.array([2, 0], np.int32),
    }


def module(kind: type = np.float64) -> RankerModule:
    random = np.random.default_rng(2)
    made = RankerModule(random.normal(size=(6, 4)).astype(kind), np.array([2.0, 1, 1, 1]), np.full(PROFILE, 0.5))
    with torch.no_grad():
        for parameter in (made.raw_a, made.shopper, made.shared, made.offset):
            parameter.add_(torch.from_numpy(np.asarray(random.normal(size=parameter.shape)).astype(kind)))
    return made


def embeddings(kind: type = np.float64) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(5, 6)).astype(kind)


def as_ranker(made: RankerModule) -> Ranker:
    with torch.no_grad():
        return Ranker(
            code_version="c",
            encoder_version="e",
            tower_night=date(2026, 1, 1),
            projection=made.projection.numpy().astype(np.float32),
            codebook=np.zeros((1, 1, 4), np.float32),
            a=float(made.a()),
            shopper_coefficients=(made.shopper / made.shopper_scale).double().numpy(),
            engine_coefficients=made.engine_coefficients().double().numpy(),
            mean_shopper=np.zeros(4, np.float32),
            recent=2,
            recent_decay=0.9,
        )


def test_the_module_scores_as_the_ranker_that_is_made_of_it() -> None:
    made, rows = module(), columns()
    ranker = as_ranker(made)
    vectors = project(embeddings(), ranker.projection)
    shoppers = shopper_vector(vectors, rows["recent_index"], rows["recent_weight"])
    chosen = vectors[rows["item_index"].clip(0)]
    expected = engine_scores(ranker, rows["engine_features"].reshape(2, 3, ENGINE), rows["class_index"])
    recents = zip(vectors[rows["recent_index"].clip(0)], rows["recent_weight"], strict=True)
    # The second shopper has no recents: what stands in their places is padding.
    alike = [vector_features(ranker, v, *told) for v, told in zip(chosen, recents, strict=True)]
    alike[1][:] = 0
    features = np.concatenate([rows["shopper_features"].reshape(2, 3, PROFILE), alike], axis=-1)
    expected = expected + shopper_scores(ranker, shoppers, chosen, features)
    batch = to_batch(rows, embeddings())
    with torch.no_grad():
        np.testing.assert_allclose(made(batch).numpy()[batch.mask], expected[batch.mask], atol=1e-5)
    assert not shoppers[1].any()


def test_what_stands_in_the_padding_changes_no_score() -> None:
    made, rows = module(), columns()
    other = columns()
    other["engine_features"][1, 2 * ENGINE :] = 99
    other["recent_weight"][1] = 99
    with torch.no_grad():
        one, two = (made(to_batch(each, embeddings())).numpy() for each in (rows, other))
    np.testing.assert_array_equal(one[:, :2], two[:, :2])


def test_the_base_score_always_counts_and_the_cosine_never_against() -> None:
    made = module()
    with torch.no_grad():
        made.shared.fill_(-30.0)
        made.raw_a.fill_(-30.0)
    assert (made.engine_coefficients()[:, 0] > 0).all()
    assert float(made.a().detach()) >= 0
    fresh = RankerModule(np.eye(6, 4), np.array([2.0, 1, 1, 1]), np.ones(PROFILE))
    np.testing.assert_allclose(fresh.engine_coefficients().detach(), [[0.5, 0, 0, 0]] * 3, atol=1e-12)


def test_gradients_agree_with_finite_differences_in_float64() -> None:
    made, batch = module(), to_batch(columns(np.float64), embeddings())
    names = [name for name, _ in made.named_parameters()]

    def scores(*values: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.func.functional_call(made, dict(zip(names, values, strict=True)), (batch,))
        return found * batch.mask

    inputs = tuple(parameter.detach().clone().requires_grad_() for parameter in made.parameters())
    assert torch.autograd.gradcheck(scores, inputs)


def test_a_zero_row_has_no_direction_and_no_gradient() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    found = unit(rows)
    found.sum().backward()
    torch.testing.assert_close(found.detach(), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    assert rows.grad is not None
    assert torch.isfinite(rows.grad).all()
    assert not rows.grad[1].any()


@pytest.mark.parametrize("query_class", [0, 1, 2])
def test_the_registered_module_gives_the_ranker_s_score(query_class: int) -> None:
    random = np.random.default_rng(query_class)
    ranker = replace(as_ranker(module()), a=1.25)
    engine, shopper, interest, item = (random.normal(size=size) for size in (ENGINE, ALL, 4, 6))
    row = np.concatenate([[query_class], engine, shopper, interest, item]).astype(np.float32)
    expected = engine_scores(ranker, engine[None], query_class) + shopper_scores(
        ranker, interest, project(item[None], ranker.projection), shopper[None]
    )
    with torch.no_grad():
        np.testing.assert_allclose(RowScores(ranker)(torch.from_numpy(row[None])).numpy(), expected, rtol=1e-4)


def test_a_given_shopper_takes_the_place_of_the_mean_of_the_recents() -> None:
    made, given = module(), np.array([[0.6, 0.8, 0, 0], [0.0] * 4])
    with torch.no_grad():
        usual = made(to_batch(columns(np.float64), embeddings()))
        found = made(to_batch({**columns(np.float64), "shopper": given}, embeddings()))
        vectors = unit(torch.from_numpy(embeddings()) @ made.projection).numpy()
    rows = columns(np.float64)
    mean = shopper_vector(vectors, rows["recent_index"], rows["recent_weight"])
    chosen, ranker = vectors[rows["item_index"]], as_ranker(made)
    cosines, of_mean = (np.einsum("bd,bkd->bk", u, chosen) for u in (given - mean, mean))
    # With towers the mean of the recents is a feature of its own.
    weighed = ranker.shopper_coefficients[SHOPPER_FEATURES.index("cosine_mean")] * of_mean
    np.testing.assert_allclose(found - usual, ranker.a * cosines + weighed, atol=1e-5)


def test_the_registered_graph_of_a_ranker_with_towers_takes_item_vectors() -> None:
    ranker = replace(as_ranker(module()), tower_id="t", shopper_tower={"log_scale": np.float32(1)})
    scorer, item = RowScores(ranker), np.array([0.6, 0.8, 0, 0], np.float32)
    assert scorer.widths == [1, ENGINE, ALL, 4, 4]
    row = np.concatenate([[1], np.zeros(ENGINE + ALL), [1, 0, 0, 0], item]).astype(np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(scorer(torch.from_numpy(row[None])), [0.6 * ranker.a], rtol=1e-6)
