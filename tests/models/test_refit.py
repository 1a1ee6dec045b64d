"""The refit: its maths against torch's own, and what becomes of features that say nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nightrank.models.feature_names import ENGINE_FEATURES, PROFILE_FEATURES, SHOPPER_FEATURES
from nightrank.models.losses import listwise_softmax
from nightrank.models.ranker import Batch, RankerModule
from nightrank.models.refit import _columns, _Slates, _surface, coefficients_of, put_coefficients, refit

DIMS, SLATE, RECENT = 4, 6, 3
BASE, BRAND, SEEN = 0.5, 2.0, 1.0
CLASSES = 3
OF_ROWS = (
    "candidates", "recents", "recent_weight", "mask", "engine_features", "shopper_features", "class_index", "gains",
    "log_propensity",
)  # fmt: skip


def module() -> RankerModule:
    return RankerModule(np.eye(DIMS), np.array([2.0, 1.0, 0.5, 1.0]), np.full(len(PROFILE_FEATURES), 0.3))


def planted(rows: int, seed: int = 0, base: float = BASE, steepness: float = 0.0) -> Batch:
    """Takes follow base, brand and seen; the other features, and vectors, say nothing.

    steepness: of the propensity of the k-th candidate, 1 / k ** steepness; candidates come by falling base score.
    """
    random = np.random.default_rng(seed)
    engine = random.normal(size=(rows, SLATE, len(ENGINE_FEATURES)))
    engine[..., 0] = -np.sort(-engine[..., 0], axis=1) if steepness else engine[..., 0]
    looked_at = -steepness * np.log(np.arange(1.0, SLATE + 1))
    profile = 0.3 * random.normal(size=(rows, SLATE, len(PROFILE_FEATURES)))
    seen = PROFILE_FEATURES.index("brand_seen")
    wanted = base * engine[..., 0] + BRAND * profile[..., 0] + SEEN * profile[..., seen]
    mask = np.arange(SLATE) < random.integers(3, SLATE + 1, size=rows)[:, None]
    taken = np.where(mask, wanted + looked_at + random.gumbel(size=mask.shape), -np.inf).argmax(axis=1)
    gains = (np.arange(SLATE) == taken[:, None]) * random.choice([1.0, 1.0, 5.0], size=(rows, 1))
    items = rows * (SLATE + RECENT)
    at = torch.arange(items).reshape(rows, SLATE + RECENT)
    return Batch(
        embeddings=torch.from_numpy(random.normal(size=(items, DIMS))),
        candidates=at[:, :SLATE],
        recents=at[:, SLATE:],
        recent_weight=torch.full((rows, RECENT), 0.5, dtype=torch.float64),
        mask=torch.from_numpy(mask),
        engine_features=torch.from_numpy(engine),
        shopper_features=torch.from_numpy(profile),
        class_index=torch.from_numpy(random.integers(0, CLASSES, size=rows)),
        gains=torch.from_numpy(gains),
        log_propensity=torch.from_numpy(np.tile(looked_at, (rows, 1))),
    )


def test_coefficients_are_put_back_as_they_were_told() -> None:
    one, other = module(), module()
    with torch.no_grad():
        for number, weights in enumerate((one.shopper, one.shared, one.offset, one.raw_a)):
            weights.copy_(torch.from_numpy(np.random.default_rng(number).normal(size=tuple(weights.shape))))
        put_coefficients(other, coefficients_of(one))
        batch = planted(5)
        np.testing.assert_allclose(other(batch), one(batch), rtol=1e-9)
        np.testing.assert_allclose(coefficients_of(other), coefficients_of(one), rtol=1e-9)


def test_loss_gradient_and_curvature_are_those_of_the_rankers_own_loss() -> None:
    batch, ranker = planted(20, steepness=1.0), module()
    with torch.no_grad():
        ranker.shopper.normal_(generator=torch.Generator().manual_seed(1))
        weights = coefficients_of(ranker)
    with torch.no_grad():
        columns = _columns(ranker, batch)
    offsets = batch.log_propensity
    found = _surface([_Slates(columns, batch.gains * batch.mask, offsets, batch.mask)], weights)

    def loss(some: torch.Tensor) -> torch.Tensor:
        each = torch.ones(20, dtype=torch.float64)
        return 20 * listwise_softmax(columns @ some + offsets, batch.gains, batch.mask, each)

    with torch.no_grad():
        # The columns times the coefficients are the ranker's own scores.
        np.testing.assert_allclose((columns @ weights)[batch.mask], ranker(batch)[batch.mask], rtol=1e-9)
    assert found.loss == pytest.approx(float(loss(weights)))
    np.testing.assert_allclose(found.gradient, torch.func.grad(loss)(weights), atol=1e-9)
    np.testing.assert_allclose(found.curvature, torch.func.hessian(loss)(weights), atol=1e-9)
    each_slate = torch.stack(
        [
            torch.func.grad(
                lambda some, n=n: listwise_softmax(
                    (columns @ some + offsets)[n : n + 1], batch.gains[n : n + 1], batch.mask[n : n + 1], torch.ones(1)
                )
            )(weights)
            for n in range(20)
        ]
    )
    np.testing.assert_allclose(found.spread, each_slate.T @ each_slate, atol=1e-9)


def test_what_was_looked_at_first_is_not_taken_for_what_was_wanted() -> None:
    # The shop's order says nothing of what is wanted; it is looked at from the top.
    batch, told, untold = planted(8000, base=0.0, steepness=1.0), module(), module()
    refit(told, [batch], l2=1e-3)
    refit(untold, [replace(batch, log_propensity=torch.zeros_like(batch.log_propensity))], l2=1e-3)
    assert float(told.engine_coefficients()[:, 0].max()) < 0.1
    assert float(untold.engine_coefficients()[:, 0].min()) > 0.3


def test_what_takes_bear_out_stays_and_what_they_do_not_is_drawn_to_nothing() -> None:
    batch, ranker = planted(8000), module()
    refit(ranker, [batch], l2=1e-3)
    told = dict(zip(SHOPPER_FEATURES, (ranker.shopper / ranker.shopper_scale).tolist(), strict=True))
    assert told.pop("brand") == pytest.approx(BRAND, rel=0.1)
    assert told.pop("brand_seen") == pytest.approx(SEEN, rel=0.15)
    np.testing.assert_allclose(ranker.engine_coefficients()[:, 0].detach(), BASE, rtol=0.2)
    # Drawn to nothing: their own errors are some .06.
    nothing = np.abs([*told.values()])
    assert np.median(nothing) < 0.02
    assert nothing.max() < 0.2


def test_the_engines_order_is_never_turned_round() -> None:
    ranker = module()
    refit(ranker, [planted(2000, base=-1.0)], l2=1e-3)
    assert (ranker.engine_coefficients()[:, 0] > 0).all()
    assert float(ranker.a().detach()) >= 0
    assert all(np.isfinite(weights.detach()).all() for weights in ranker.parameters())


def test_how_slates_are_cut_into_batches_changes_nothing() -> None:
    whole = planted(300)
    cuts = slice(0, 100), slice(100, 300)
    parts = [replace(whole, **{name: getattr(whole, name)[rows] for name in OF_ROWS}) for rows in cuts]
    one, other = module(), module()
    refit(one, [whole], l2=1e-3)
    refit(other, parts, l2=1e-3)
    np.testing.assert_allclose(coefficients_of(one).detach(), coefficients_of(other).detach(), atol=1e-6)
