"""The ranker's file and its shared maths."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from nightrank.errors import ContractError
from nightrank.models import artefact
from nightrank.models.artefact import Ranker, load_ranker, save_ranker
from nightrank.models.feature_names import ENGINE_FEATURES, SHOPPER_FEATURES, in_order


def ranker() -> Ranker:
    random = np.random.default_rng(3)
    projection = random.normal(size=(6, 4)).astype(np.float32)
    codebook = random.normal(size=(2, 3, 4)).astype(np.float32)
    return Ranker(
        code_version=artefact.code_version(projection, codebook),
        encoder_version="e1",
        tower_night=date(2026, 2, 1),
        projection=projection,
        codebook=codebook,
        a=1.5,
        shopper_coefficients=np.arange(len(SHOPPER_FEATURES)) / 10,
        engine_coefficients=np.full((3, len(ENGINE_FEATURES)), 0.5),
        mean_shopper=np.zeros(4, np.float32),
        recent=20,
        recent_decay=0.9,
    )


def test_a_ranker_comes_back_equal_and_equal_rankers_have_one_id(tmp_path: Path) -> None:
    ids = {save_ranker(ranker(), tmp_path / name) for name in ("one", "two")}
    back = load_ranker(tmp_path / "one", *ids)
    assert len(ids) == 1
    for name, value in vars(ranker()).items():
        np.testing.assert_array_equal(getattr(back, name), value)
        assert isinstance(getattr(back, name), type(value)), name
    assert save_ranker(replace(ranker(), a=1.6), tmp_path / "other") not in ids


def test_a_ranker_with_towers_names_them_and_carries_the_shopper_s(tmp_path: Path) -> None:
    weights = {"gap.weight": np.ones((2, 4), np.float32), "log_scale": np.float32(2.0)}
    with_towers = replace(ranker(), tower_id="t1", shopper_tower=weights)
    back = load_ranker(tmp_path / "one", save_ranker(with_towers, tmp_path / "one"))
    assert back.tower_id == "t1"
    assert {name: (w.shape, w.tolist()) for name, w in back.shopper_tower.items()} == {
        "gap.weight": ((2, 4), [[1.0] * 4] * 2),
        "log_scale": ((), 2.0),
    }
    for half in ({"tower_id": None}, {"shopper_tower": {}}):
        with pytest.raises(ContractError, match="expected tower_id and shopper_tower both or neither"):
            save_ranker(replace(with_towers, **half), tmp_path / "half")  # type: ignore[arg-type]  # wrong on purpose
    broken = {"gap.weight": np.full((2, 4), np.nan, np.float32)}
    with pytest.raises(ContractError, match=r"shopper_tower\.gap\.weight: not finite"):
        save_ranker(replace(with_towers, shopper_tower=broken), tmp_path / "broken")


def test_a_file_that_was_altered_cut_or_lost_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ranker"
    ranker_id = save_ranker(ranker(), path)
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        path.write_bytes(content)
        with pytest.raises(ContractError, match=f"expected sha256 {ranker_id}, found"):
            load_ranker(path, ranker_id)
    with pytest.raises(ContractError, match="No such file"):
        load_ranker(tmp_path / "nowhere", ranker_id)


@pytest.mark.parametrize("content", [b"", b"\x02\0\0\0\0\0\0\0{}", b"\x80\x04N.", json.dumps({"a": 1}).encode()])
def test_bytes_that_are_no_ranker_are_refused_even_with_their_own_sha256(content: bytes) -> None:
    import hashlib

    with pytest.raises(ContractError, match="is not a ranker"):
        artefact.ranker_from(content, hashlib.sha256(content).hexdigest(), "file")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"projection": np.full((6, 4), np.nan, np.float32)}, "projection: not finite"),
        ({"a": float("inf")}, "a: not finite"),
        ({"mean_shopper": np.zeros(5, np.float32)}, r"mean_shopper: expected shape \[4\], found \[5\]"),
        ({"codebook": np.zeros((2, 3, 5), np.float32)}, r"codebook: expected shape \[2, 3, 4\]"),
        ({"shopper_coefficients": np.zeros(6)}, "shopper_coefficients"),
        ({"engine_coefficients": np.zeros((3, len(ENGINE_FEATURES)))}, "coefficients of base_score > 0"),
        ({"a": -0.1}, "expected a >= 0"),
    ],
)
def test_an_unusable_ranker_is_neither_written_nor_read(changed: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=says):
        save_ranker(replace(ranker(), **changed), tmp_path / "ranker")  # type: ignore[arg-type]  # wrong on purpose
    assert not (tmp_path / "ranker").exists()


def test_an_older_ranker_weighs_what_it_knew_and_nothing_else(tmp_path: Path) -> None:
    """A file of the program before: seven features, in their own order."""
    names = ("own_item", "brand", "category", "price", "seller", "keyword", "neighbours")
    older = replace(ranker(), shopper_features=names, shopper_coefficients=np.arange(1.0, 8))
    back = load_ranker(tmp_path / "one", save_ranker(older, tmp_path / "one"))
    assert back.shopper_features == SHOPPER_FEATURES
    assert {n: c for n, c in zip(SHOPPER_FEATURES, back.shopper_coefficients.tolist(), strict=True) if c} == {
        "own_item": 1, "brand": 2, "category": 3, "price": 4, "seller": 5, "keyword": 6, "neighbours": 7,
    }  # fmt: skip
    np.testing.assert_array_equal(
        in_order(np.array([[1.0, 2], [3, 4]]), ["y", "x"], ["x", "y", "z"]), [[2, 1, 0], [4, 3, 0]]
    )


def test_a_ranker_that_weighs_what_is_not_known_here_is_refused(tmp_path: Path) -> None:
    newer = replace(ranker(), engine_features=(*ENGINE_FEATURES[:-1], "weather"))
    with pytest.raises(ContractError, match="features that this program does not make: weather"):
        load_ranker(tmp_path / "one", save_ranker(newer, tmp_path / "one"))


def test_item_vectors_are_unit_rows_and_zero_stays_zero() -> None:
    one = replace(ranker(), projection=np.eye(6, 4, dtype=np.float32))
    vectors = artefact.item_vectors(one, [[3, 4, 0, 0, 0, 0], [0] * 6, [0, 0, 0, 0, 1, 1]])
    np.testing.assert_array_equal(vectors, np.array([[0.6, 0.8, 0, 0], [0] * 4, [0] * 4], np.float32))
    assert vectors.dtype == np.float32


def test_an_items_vector_does_not_depend_on_its_batch() -> None:
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(257, 384)).astype(np.float32)
    projection = random.normal(size=(384, 64)).astype(np.float32)
    alone = np.concatenate([artefact.project(row[None], projection) for row in embeddings])
    np.testing.assert_array_equal(artefact.project(embeddings, projection), alone)


def test_a_shopper_is_the_weighted_mean_direction_of_the_recents() -> None:
    vectors = np.eye(3, dtype=np.float32)
    found = artefact.shopper_vector(vectors, [[0, 1, -1], [-1, -1, -1]], [[0.8, 0.6, 5.0], [1, 1, 1]])
    np.testing.assert_array_equal(found, np.array([[0.8, 0.6, 0], [0, 0, 0]], np.float32))
    np.testing.assert_array_equal(artefact.shopper_vector(vectors, [0, 1, -1], [0.8, 0.6, 5.0]), found[0])


def test_scores_are_the_formulas() -> None:
    one = replace(ranker(), a=2.0, shopper_coefficients=np.array([1.0, 0, 3.0]))
    shopper = np.array([[0.6, 0.8]])
    vectors = np.array([[[1.0, 0.0], [0.0, 1.0]]])
    features = np.array([[[0.0, 0, 0], [0.5, 9, 1.0]]])
    np.testing.assert_allclose(
        artefact.shopper_scores(one, shopper, vectors, features), [[2 * 0.6, 2 * 0.8 + 1 * 0.5 + 3 * 1.0]]
    )
    one = replace(one, engine_coefficients=np.array([[1.0, 0, 0, 0], [2, 10, 100, 1000], [1, 1, 1, 1]]))
    np.testing.assert_allclose(
        artefact.engine_scores(one, [[[1, 2, 3, 4], [4, 0, 0, 0]]], [1]), [[2 + 20 + 300 + 4000, 8]]
    )


def test_the_code_version_names_the_content() -> None:
    projection, codebook = ranker().projection, ranker().codebook
    assert artefact.code_version(projection, codebook) == ranker().code_version
    assert len(ranker().code_version) == 11
    assert artefact.code_version(projection, codebook + 1) != ranker().code_version
