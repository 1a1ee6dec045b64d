"""The towers' file, and a shopper's takes as numbers."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace

import numpy as np
import pytest
from safetensors.numpy import load

from nightrank.errors import ContractError
from nightrank.models.sequences import ACTIONS, GAPS, action_index, gap_buckets, make_taken, padded
from nightrank.models.tower_artefact import (
    Images,
    Towers,
    row_vectors,
    takes_of,
    tower_vectors,
    towers_content,
    towers_from,
)


def towers() -> Towers:
    random = np.random.default_rng(3)

    def made(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    return Towers(
        item_ids=np.array(["B", "a", "é"]),
        ids=made(3, 2),
        bias=made(3),
        takes=np.array([4.0, 0.0, 1.0], np.float32),
        centre=made(5),
        projection=made(5, 2),
        shopper={"position.weight": made(4, 2), "log_scale": np.float32(2.0)},
    )


def test_towers_come_back_equal_and_equal_towers_have_one_id() -> None:
    tower_id, content = towers_content(towers())
    assert towers_content(towers()) == (tower_id, content)
    back = towers_from(content, tower_id, "file")
    for name in (f.name for f in fields(Towers) if f.name != "shopper"):
        np.testing.assert_array_equal(getattr(back, name), getattr(towers(), name), err_msg=name)
    assert back.shopper.keys() == towers().shopper.keys()
    for name, values in towers().shopper.items():
        np.testing.assert_array_equal(back.shopper[name], values, err_msg=name)
        assert np.shape(back.shopper[name]) == np.shape(values), name


def test_a_file_that_was_altered_or_holds_no_towers_is_refused() -> None:
    tower_id, whole = towers_content(towers())
    for content in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        with pytest.raises(ContractError, match=f"expected sha256 {tower_id}, found"):
            towers_from(content, tower_id, "file")
    for content in (b"", b"\x80\x04N.", b"\x02\0\0\0\0\0\0\0{}"):
        with pytest.raises(ContractError, match="holds no towers"):
            towers_from(content, hashlib.sha256(content).hexdigest(), "file")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"ids": np.zeros((2, 2), np.float32)}, r"ids: expected shape \[3, 2\], found \[2, 2\]"),
        ({"bias": np.full(3, np.nan, np.float32)}, "bias: not finite"),
        ({"shopper": {"gap.weight": np.full(3, np.inf, np.float32)}}, "shopper.gap.weight: not finite"),
        ({"item_ids": np.array(["a", "B", "é"])}, "item_ids: expected sorted and distinct"),
    ],
)
def test_unusable_towers_are_not_written(changed: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(ContractError, match=says):
        towers_content(replace(towers(), **changed))  # type: ignore[arg-type]  # wrong on purpose


def test_an_item_that_the_fit_did_not_know_has_its_text_alone() -> None:
    made = replace(towers(), centre=np.zeros(5, np.float32), projection=np.eye(5, 2, dtype=np.float32))
    made = replace(made, ids=np.array([[0, 4], [0, 0], [-3, 0]], np.float32))
    text = np.array([[3, 0, 9, 9, 9]] * 4)
    found = tower_vectors(made, np.array(["new", "é", "B", "a"]), text)
    np.testing.assert_array_equal(found, np.array([[1, 0], [0, 0], [0.6, 0.8], [1, 0]], np.float32))
    assert tower_vectors(made, np.zeros(0, np.str_), np.zeros((0, 5))).shape == (0, 2)
    np.testing.assert_array_equal(takes_of(made, np.array(["é", "new", "B"])), [1.0, 0.0, 4.0])


def with_images() -> Towers:
    """Towers that read images of two numbers, the first of which is what they look at."""
    plain = replace(towers(), centre=np.zeros(5, np.float32), projection=np.eye(5, 2, dtype=np.float32))
    plain = replace(plain, ids=np.array([[0, 4], [0, 0], [-3, 0]], np.float32))
    return replace(
        plain,
        image_centre=np.array([1, 0], np.float32),
        image_projection=np.array([[0, 8], [0, 0]], np.float32),
        image_gate=np.array([0.5], np.float32),
    )


def test_an_image_is_added_behind_its_gate_and_an_item_without_one_has_its_vector_to_the_bit() -> None:
    ids, text = np.array(["new", "a", "B", "é"]), np.array([[3.0, 0, 9, 9, 9]] * 4)
    images = Images(np.array([0, 3]), np.array([[2, 7], [1, 7]], np.float32))
    found = tower_vectors(with_images(), ids, text, images)
    # new: text (3, 0) + 0.5 x ((2 - 1) x 8); é: the mean image adds nothing to (3 - 3, 0).
    np.testing.assert_array_equal(found, np.array([[0.6, 0.8], [1, 0], [0.6, 0.8], [0, 0]], np.float32))
    without = tower_vectors(with_images(), ids, text)
    no_parts = {"image_centre": np.zeros(0, np.float32), "image_projection": np.zeros(0, np.float32)}
    plain = replace(with_images(), **no_parts, image_gate=np.zeros(0, np.float32))
    np.testing.assert_array_equal(found[1:3], without[1:3])
    np.testing.assert_array_equal(without, tower_vectors(plain, ids, text))
    np.testing.assert_array_equal(without, tower_vectors(plain, ids, text, images))
    alone = row_vectors(with_images(), np.array([-1]), text[:1], Images(np.array([0]), images.vectors[:1]))
    np.testing.assert_array_equal(alone, found[:1])


def test_images_of_a_part_are_numbered_within_it() -> None:
    images = Images(np.array([1, 4, 5, 9]), np.array([[1], [4], [5], [9]], np.float32))
    part = images.within(slice(4, 9))
    assert (part.rows.tolist(), part.vectors[:, 0].tolist()) == ([0, 1], [4.0, 5.0])


def test_the_file_of_towers_without_images_holds_nothing_of_them() -> None:
    _, content = towers_content(towers())
    assert set(load(content)) == {
        "item_id_bytes", "item_id_ends", "ids", "bias", "takes", "centre", "projection", "shopper.position.weight",
        "shopper.log_scale",
    }  # fmt: skip
    tower_id, seeing = towers_content(with_images())
    back = towers_from(seeing, tower_id, "file")
    for name in ("image_centre", "image_projection", "image_gate"):
        np.testing.assert_array_equal(getattr(back, name), getattr(with_images(), name), err_msg=name)
    with pytest.raises(ContractError, match=r"image_projection: expected shape \[2, 2\], found \[2, 3\]"):
        towers_content(replace(with_images(), image_projection=np.zeros((2, 3), np.float32)))
    with pytest.raises(ContractError, match="image_centre: not finite"):
        towers_content(replace(with_images(), image_centre=np.array([np.nan, 0], np.float32)))


def test_takes_are_the_last_known_ones_and_one_item_in_a_row_is_one_take() -> None:
    catalogue = np.array(["a", "b", "c"])
    bought = ["c", "a", "gone", "a", "b", "a"]
    actions = [action_index(action) for action in ("view", "cart", "buy", "buy", "rent", "like")]
    found = make_taken(catalogue, bought, actions, [100, 100, 101, 102, 110, 110 + 24])
    buy, like = ACTIONS.index("buy") + 1, ACTIONS.index("like") + 1
    assert found.items.tolist() == [2, 0, 1, 0]
    assert found.actions.tolist() == [ACTIONS.index("view") + 1, buy, 0, like]
    assert found.gaps.tolist() == [0, 2, 4, 5]  # 2 hours: 2 ** 1; 8: 2 ** 3; 24: beyond 2 ** 4
    nobody = make_taken(catalogue, [], [], [])
    items, actions, gaps = padded([found, nobody], longest=3)
    assert items.tolist() == [[0, 1, 0], [-1, -1, -1]]
    assert (actions.tolist(), gaps.tolist()) == ([[buy, 0, like], [0] * 3], [[2, 4, 5], [0] * 3])
    assert padded([found], longest=5)[0].tolist() == [[2, 0, 1, 0, -1]]


def test_gaps_are_in_powers_of_two_hours() -> None:
    hours = np.cumsum([7, 0, 1, 2, 3, 4, 2**20])
    assert gap_buckets(hours).tolist() == [0, 0, 1, 2, 2, 3, GAPS - 1]
