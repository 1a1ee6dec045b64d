"""Devices that train together: by hand, and against one device that has the whole batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from encoder_shop import ASKED, SETTINGS, item_texts, lessons, save_word_bert
from nightrank.models.batches import Columns
from nightrank.models.encoder_lessons import Overview, Texts, loss_of, overview
from nightrank.models.encoder_module import TextEncoder, text_encoder
from nightrank.models.team import ALONE, Team
from nightrank.sections import EncoderConfig


def test_rows_are_as_many_for_each_and_the_last_stands_in_for_what_is_missing() -> None:
    assert [Team(rank, 2).rows(3).tolist() for rank in (0, 1)] == [[0, 1], [2, 2]]
    assert [Team(rank, 3).rows(1).tolist() for rank in range(3)] == [[0], [0], [0]]
    assert ALONE.rows(3).tolist() == [0, 1, 2]
    assert [Team(rank, 2).stands_in(3).tolist() for rank in (0, 1)] == [[False, False], [False, True]]
    assert [Team(rank, 3).stands_in(1).tolist() for rank in range(3)] == [[False], [True], [True]]


def test_joined_rows_have_the_values_of_all_and_the_gradient_of_their_own() -> None:
    own = torch.tensor([[1.0], [2.0]], requires_grad=True)
    team = Team(1, 2, gathered=lambda told: [torch.tensor([[5.0], [6.0]]), told])
    found = team.joined(own, 3)
    np.testing.assert_array_equal(found.detach(), [[5], [6], [1]])
    (torch.tensor([[1.0], [10.0], [100.0]]) * found).sum().backward()
    assert own.grad is not None
    np.testing.assert_array_equal(own.grad, [[200], [0]])  # two devices: the mean halves it again


def test_gradients_become_their_mean_and_a_weight_without_one_stays_so() -> None:
    weights = [torch.zeros(2), torch.zeros(1, 1), torch.zeros(1)]
    weights[0].grad, weights[1].grad = torch.tensor([1.0, 2.0]), torch.tensor([[4.0]])
    Team(0, 2, gathered=lambda told: [told, 3 * told]).average(weights)
    np.testing.assert_array_equal(weights[0].grad, [2, 4])
    np.testing.assert_array_equal(weights[1].grad, [[8]])
    assert weights[2].grad is None


def test_sparse_gradients_of_the_same_rows_stay_sparse() -> None:
    table = torch.nn.Embedding(4, 1, sparse=True)
    (torch.tensor([[2.0], [4.0], [4.0]]) * table(torch.tensor([3, 0, 0]))).sum().backward()
    Team(0, 2, gathered=lambda told: [told, 3 * told]).average([table.weight])
    assert table.weight.grad.is_sparse
    np.testing.assert_array_equal(table.weight.grad.to_dense(), [[16], [0], [0], [4]])


def test_the_first_device_decides() -> None:
    first = torch.tensor([7.0], dtype=torch.float64)
    team = Team(1, 2, gathered=lambda told: [first, told])
    assert (team.agreed(3.0), team.mean(3.0)) == (7.0, 5.0)
    assert (ALONE.agreed(3.0), ALONE.mean(3.0)) == (3.0, 3.0)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_word_bert(tmp_path_factory.mktemp("bert"))


def gradient(model: TextEncoder, texts: Texts, batch: Columns, known: Overview, team: Team) -> tuple[float, Tensor]:
    """The loss of the batch and the gradient of all weights in one row."""
    model.zero_grad()
    loss = loss_of(model, texts, batch, known, SETTINGS, np.random.default_rng(3), team)
    loss.backward()
    return loss.item(), torch.cat([own.grad.reshape(-1).clone() for own in model.trained().values()])


@pytest.mark.parametrize("size", [2, 3])
def test_the_mean_gradient_of_devices_is_that_of_the_whole_batch(bert: Path, size: int) -> None:
    """Seven rows: two and three devices have not as many each. In float64, so that only the maths can differ."""
    shop = lessons(item_texts())
    model = text_encoder(EncoderConfig(model=str(bert), max_tokens=16), SETTINGS).double()
    texts, known = Texts(ASKED, model.tokens(shop.item_texts)), overview(shop)
    batch = {name: values[:7] for name, values in next(shop.examples()).items()}
    assert (batch["item_index"] < 0).any()
    told: list[list[Tensor]] = []
    for rank in range(size):  # what each would send, in order
        sent: list[Tensor] = []
        gradient(
            model, texts, batch, known, Team(rank, size, gathered=lambda own, s=sent: s.append(own) or [own] * size)
        )
        told.append(sent)
    alone_loss, alone = gradient(model, texts, batch, known, ALONE)
    found = []
    for rank in range(size):
        answers = iter([list(parts) for parts in zip(*told, strict=True)])
        team = Team(rank, size, gathered=lambda _, a=answers: next(a))
        loss, own = gradient(model, texts, batch, known, team)
        assert loss == pytest.approx(alone_loss, abs=1e-12)
        assert (own - alone).abs().max() > 1e-3, "one device alone has another gradient"
        found.append(own)
    torch.testing.assert_close(torch.stack(found).mean(dim=0), alone, rtol=1e-9, atol=1e-9)
