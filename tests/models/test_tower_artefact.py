"""The towers' file, and a shopper's takes as numbers."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace

import numpy as np
import pytest

from nightrank.errors import ContractError
from nightrank.models.sequences import ACTIONS, GAPS, action_index, gap_buckets, make_taken, padded
from nightrank.models.tower_artefact import Towers, takes_of, tower_vectors, towers_content, towers_from


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
