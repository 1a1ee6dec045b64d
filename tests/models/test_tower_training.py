"""Towers: what a state may know, the softmax as its formula, equal bits, and planted habits that come back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from nightrank.config import Config
from nightrank.errors import ConfigError, ContractError
from nightrank.models import tower_training
from nightrank.models.batches import Columns, Pass
from nightrank.models.checkpoints import drop_checkpoint
from nightrank.models.feature_names import ENGINE_FEATURES
from nightrank.models.lazy_decay import LazyDecay
from nightrank.models.sampled_softmax import draw_negatives, log_popularity, sampled_softmax
from nightrank.models.sequences import ACTION_INDICES, GAPS, action_index
from nightrank.models.team import Team
from nightrank.models.tower_artefact import Images, Towers, biases_of, image_dims, tower_vectors, towers_content
from nightrank.models.tower_examples import with_towers
from nightrank.models.tower_loss import Fitting, loss_of
from nightrank.models.tower_sequences import action_weights
from nightrank.models.tower_training import CHECKPOINTS, train_towers
from nightrank.models.towers import ItemTower, ShopperTower, last_states
from nightrank.sections import LakeConfig, RankerRunsConfig, SequenceConfig

ITEMS, ENCODER, LONGEST = 30, 12, 8
SIZES = {"layers": 1, "heads": 2, "width": 16, "longest": LONGEST, "dropout": 0.0, "input_dropout": 0.0, "hidden": 0.0}
FAST = {"id_dropout": 0.3, "epochs": 8, "batch": 32, "learning_rate": 3e-2}
SEQUENCE = SequenceConfig.model_validate({**SIZES, **FAST})
SETTINGS = RankerRunsConfig(dims=8, sequence=SEQUENCE)
VIEW, BUY = action_index("view"), action_index("buy")
IDS = np.array([f"i{n:02}" for n in range(ITEMS)])


def embeddings() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(ITEMS, ENCODER)).astype(np.float32)


def habits(rows: int = 300) -> Columns:
    """After item n comes item n + 1; each shopper begins anywhere and takes three to eight."""
    random = np.random.default_rng(2)
    begun = (random.integers(0, ITEMS, rows)[:, None] + np.arange(LONGEST)) % ITEMS
    there = np.arange(LONGEST) < random.integers(3, LONGEST + 1, rows)[:, None]
    zeros = np.zeros((rows, LONGEST), np.int32)
    return {
        "taken_index": np.where(there, begun, -1).astype(np.int32),
        "taken_action": zeros + 2,
        "taken_gap": zeros + 3,
    }


def passes(rows: Columns, parts: int = 1) -> Pass:
    def sequences(_: str) -> Iterator[Columns]:
        for part in range(parts):
            yield {name: np.array_split(column, parts)[part] for name, column in rows.items()}

    return sequences


@pytest.fixture(scope="module")
def towers() -> Towers:
    found, losses = train_towers(passes(habits()), IDS, embeddings(), SETTINGS)
    assert losses[-1] < losses[0]
    return found


def followers(towers: Towers, vectors: np.ndarray) -> np.ndarray:
    """The item that each item's taker is closest to, the item itself aside."""
    read = np.arange(ITEMS)[:, None]
    shoppers = last_states(towers.shopper, vectors.__getitem__, read, np.full_like(read, 2), np.zeros_like(read))
    scores = shoppers @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    return np.asarray(scores.argmax(axis=1))


def test_planted_habits_are_recovered_with_ids_and_from_text_alone(towers: Towers) -> None:
    after = (np.arange(ITEMS) + 1) % ITEMS
    assert (followers(towers, tower_vectors(towers, IDS, embeddings())) == after).mean() > 0.9
    as_if_new = np.char.add("new", IDS)
    assert (followers(towers, tower_vectors(towers, as_if_new, embeddings())) == after).mean() > 0.5


def test_the_same_sequences_give_the_same_bits_however_they_are_cut(towers: Towers) -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()
    other, _ = train_towers(passes(habits(), parts=7), IDS, embeddings(), SETTINGS)
    assert bool((torch.get_rng_state() == before).all()), "training must leave the program's random state alone"
    for name in ("ids", "bias", "takes", "centre", "projection"):
        np.testing.assert_array_equal(getattr(other, name), getattr(towers, name), err_msg=name)
    assert other.shopper.keys() == towers.shopper.keys()
    for name, values in towers.shopper.items():
        np.testing.assert_array_equal(other.shopper[name], values, err_msg=name)
    reseeded = SETTINGS.model_copy(update={"seed": 8, "sequence": SEQUENCE.model_copy(update={"epochs": 1})})
    assert (train_towers(passes(habits()), IDS, embeddings(), reseeded)[0].ids != towers.ids).any()


def test_a_warm_start_begins_where_the_last_fit_ended(towers: Towers) -> None:
    short = SETTINGS.model_copy(update={"sequence": SEQUENCE.model_copy(update={"epochs": 1})})
    _, cold = train_towers(passes(habits()), IDS, embeddings(), short)
    _, warm = train_towers(passes(habits()), IDS, embeddings(), short, towers)
    assert warm[0] < 0.5 * cold[0]
    other_size = short.model_copy(update={"dims": 4})
    assert train_towers(passes(habits()), IDS, embeddings(), other_size, towers)[0].ids.shape == (ITEMS, 4)


def test_a_shopper_s_vector_leans_to_what_is_done_next_by_the_actions_that_are_worth_most() -> None:
    """After a view of item n comes the view of n + 1, or the buy of n + 2, as often."""
    random = np.random.default_rng(3)
    begun, bought = random.integers(0, ITEMS, 600), random.integers(0, 2, 600)
    pairs = np.stack([begun, (begun + 1 + bought) % ITEMS], axis=1).astype(np.int32)
    actions = np.stack([np.full(600, VIEW), np.where(bought, BUY, VIEW)], axis=1).astype(np.int32)
    told = {"taken_index": pairs, "taken_action": actions, "taken_gap": np.zeros_like(pairs)}
    read = np.arange(ITEMS)[:, None]
    for utilities, step in (({"view": 0.0}, 2), ({"buy": 0.0}, 1), ({"view": 1.0, "buy": 50.0}, 2)):
        sizes = SEQUENCE.model_copy(update={"utilities": utilities, "max_utility": 20.0, "epochs": 20})
        settings = SETTINGS.model_copy(update={"sequence": sizes})
        found, _ = train_towers(passes(told), IDS, embeddings(), settings)
        vectors = tower_vectors(found, IDS, embeddings())
        states = last_states(found.shopper, vectors.__getitem__, read, np.full_like(read, VIEW), np.zeros_like(read))
        scores = states @ vectors.T
        np.fill_diagonal(scores, -np.inf)
        assert (scores.argmax(axis=1) == (np.arange(ITEMS) + step) % ITEMS).mean() > 0.8, utilities


def test_actions_weigh_by_how_often_they_come_next_and_their_capped_utility() -> None:
    settings = SEQUENCE.model_copy(update={"utilities": {"buy": 9.0, "hide": 0.0}, "max_utility": 4.0})
    seen = np.zeros(ACTION_INDICES, np.int64)
    seen[[VIEW, BUY, action_index("hide")]] = 10, 5, 85
    weights = action_weights(seen, settings)
    assert (weights[VIEW], weights[BUY]) == pytest.approx((10 / 30, 4 * 5 / 30))
    assert np.count_nonzero(weights) == 2
    seen[[VIEW, BUY]] = 0
    with pytest.raises(ConfigError, match="utilities: expected a worth above 0 for an action that shoppers do"):
        action_weights(seen, settings)
    with pytest.raises(ValueError, match="wish"):
        SequenceConfig.model_validate({"utilities": {"wish": 1.0}})


def test_a_fit_that_was_cut_off_goes_on_after_its_last_epoch_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Config(lake=LakeConfig(path=str(tmp_path)))
    lively = SEQUENCE.model_copy(update={"epochs": 3, "dropout": 0.2, "hidden": 0.2})
    settings = SETTINGS.model_copy(update={"sequence": lively})
    given = passes(habits()), IDS, embeddings(), settings
    whole, losses = train_towers(*given, images=IMAGES)
    told = tower_training._train_epoch

    def cut_off(*arguments: object) -> float:
        if arguments[-1] == 3:
            raise KeyboardInterrupt
        return told(*arguments)  # type: ignore[arg-type]  # passed on as they came

    with monkeypatch.context() as patch:
        patch.setattr(tower_training, "_train_epoch", cut_off)
        with pytest.raises(KeyboardInterrupt):
            train_towers(*given, images=IMAGES, lake=lake)
    epochs: list[object] = []
    monkeypatch.setattr(tower_training, "_train_epoch", lambda *a: epochs.append(a[-1]) or told(*a))
    again, same_losses = train_towers(*given, images=IMAGES, lake=lake)
    assert epochs == [3]
    assert same_losses == losses
    assert towers_content(again) == towers_content(whole)
    train_towers(passes(habits(299)), *given[1:], images=IMAGES, lake=lake)
    assert epochs == [3, 1, 2, 3], "other sequences begin anew"
    drop_checkpoint(lake, CHECKPOINTS)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_what_cannot_be_learned_from_is_refused() -> None:
    once = {name: column[:, :1] for name, column in habits().items()}
    with pytest.raises(ContractError, match="expected shoppers with two takes or more, found none"):
        train_towers(passes(once), IDS, embeddings(), SETTINGS)
    broken = embeddings()
    broken[3, 0] = np.nan
    with pytest.raises(ContractError, match="expected a finite loss, found nan in epoch 1"):
        train_towers(passes(habits()), IDS, broken, SETTINGS)


def test_the_item_tower_is_the_sum_of_id_and_projected_text_at_length_one(towers: Towers) -> None:
    given = embeddings()
    module = ItemTower(towers.centre, towers.bias, 8).eval()
    with torch.no_grad():
        module.ids.weight.copy_(torch.from_numpy(towers.ids))
        module.projection.weight.copy_(torch.from_numpy(towers.projection.T.copy()))
        rows = torch.arange(ITEMS)
        found = module(rows, torch.from_numpy(given)).numpy()
        of_new = module(torch.full((ITEMS,), -1), torch.from_numpy(given)).numpy()
    text = (given - towers.centre) @ towers.projection
    for vectors, raw in ((found, text + towers.ids), (of_new, text)):
        np.testing.assert_allclose(vectors, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(tower_vectors(towers, IDS, given), found, atol=1e-5)
    np.testing.assert_allclose(tower_vectors(towers, np.char.add("new", IDS), given), of_new, atol=1e-5)
    alone = [tower_vectors(towers, IDS[n : n + 1], given[n : n + 1]) for n in range(ITEMS)]
    np.testing.assert_array_equal(np.concatenate(alone), tower_vectors(towers, IDS, given))


@pytest.mark.parametrize("size", [2, 3])
def test_the_mean_gradient_of_devices_is_that_of_the_whole_batch(size: int) -> None:
    """Seven shoppers: two and three devices have not as many each. In float64, so that only the maths can differ."""
    torch.manual_seed(2)
    items = ItemTower(embeddings().mean(axis=0), np.zeros(ITEMS), 8, IMAGES.vectors.mean(axis=0)).double()
    items.open_gate(torch.tensor([0.5]))
    shoppers, text = ShopperTower(8, 1, 2, 16, LONGEST).double(), torch.from_numpy(embeddings()).double()
    images = Images(IMAGES.rows[::2], IMAGES.vectors[::2].astype(np.float64))
    still = SEQUENCE.model_copy(update={"id_dropout": 0.0, "draws": 10})
    batch = {name: values[:7] for name, values in habits().items()}
    decay = LazyDecay(items.ids.weight, 0.0)
    alone = Fitting(items, shoppers, text, images, np.arange(1.0, ITEMS + 1), still, 7, 1, decay)

    def gradient(fitting: Fitting) -> tuple[float, torch.Tensor]:
        items.zero_grad()
        shoppers.zero_grad()
        loss = loss_of(fitting, batch, np.random.default_rng(5))
        loss.backward()
        grads = [own.grad for module in (items, shoppers) for own in module.parameters() if own.grad is not None]
        return loss.item(), torch.cat([grad.to_dense().reshape(-1).clone() for grad in grads])

    losses, gradients = zip(*(gradient(replace(alone, team=Team(rank, size))) for rank in range(size)), strict=True)
    loss, whole = gradient(alone)
    assert np.mean(losses) == pytest.approx(loss, abs=1e-12)
    torch.testing.assert_close(torch.stack(gradients).mean(dim=0), whole, rtol=1e-9, atol=1e-9)
    assert (gradients[0] - whole).abs().max() > 1e-3, "one device alone has another gradient"


def test_decayed_ids_leave_more_to_the_text() -> None:
    def share_of_ids(id_decay: float) -> float:
        sizes = SEQUENCE.model_copy(update={"epochs": 3, "id_decay": id_decay})
        towers, _ = train_towers(passes(habits()), IDS, embeddings(), SETTINGS.model_copy(update={"sequence": sizes}))
        text = (embeddings() - towers.centre) @ towers.projection
        return float(np.linalg.norm(towers.ids) / np.linalg.norm(text))

    free, decayed, strongly = map(share_of_ids, (0.0, 2.0, 10.0))
    assert strongly < decayed < free


IMAGES = Images(np.arange(ITEMS), np.random.default_rng(4).normal(size=(ITEMS, ENCODER)).astype(np.float32))
WORDLESS = np.zeros((ITEMS, ENCODER), np.float32)


def test_images_say_of_new_items_what_words_do_not() -> None:
    found, cold = train_towers(passes(habits()), IDS, WORDLESS, SETTINGS, images=IMAGES)
    as_if_new, after = np.char.add("new", IDS), (np.arange(ITEMS) + 1) % ITEMS
    # Ten times what chance would find.
    assert (followers(found, tower_vectors(found, as_if_new, WORDLESS, IMAGES)) == after).mean() > 10 / ITEMS
    assert not tower_vectors(found, as_if_new, WORDLESS).any()
    short = SETTINGS.model_copy(update={"sequence": SEQUENCE.model_copy(update={"epochs": 1})})
    _, warm = train_towers(passes(habits()), IDS, WORDLESS, short, found, IMAGES)
    assert warm[0] < 0.5 * cold[0]
    blind, _ = train_towers(passes(habits()), IDS, WORDLESS, short, found)
    assert (image_dims(blind), image_dims(found)) == (0, ENCODER)


def test_the_item_tower_adds_an_image_where_there_is_one_and_has_no_weights_where_there_is_none() -> None:
    torch.manual_seed(1)
    seen, given = IMAGES.vectors[[3, 8]], embeddings()
    centre, image_centre = given.mean(axis=0), seen.mean(axis=0)
    module = ItemTower(centre, np.zeros(ITEMS), 8, image_centre).eval()
    module.open_gate(torch.tensor([0.25]))
    rows = torch.arange(ITEMS)
    with torch.no_grad():
        found = module(rows, torch.from_numpy(given), images=(torch.tensor([3, 8]), torch.from_numpy(seen))).numpy()
        without = module(rows, torch.from_numpy(given)).numpy()
        raw = module.projection(torch.from_numpy(given - centre)) + module.ids.weight
        raw[[3, 8]] += 0.25 * module.image_projection(torch.from_numpy(seen - image_centre))
    np.testing.assert_allclose(found, functional.normalize(raw, dim=1).numpy(), atol=1e-6)
    others = np.delete(np.arange(ITEMS), [3, 8])
    np.testing.assert_array_equal(found[others], without[others])
    assert np.abs(found[[3, 8]] - without[[3, 8]]).max() > 0.01
    plain = ItemTower(centre, np.zeros(ITEMS), 8)
    assert set(plain.state_dict()) == {"ids.weight", "bias.weight", "projection.weight", "centre"}
    weights = {"image_projection.weight", "image_gate", "image_centre"}
    assert set(module.state_dict()) - set(plain.state_dict()) == weights


def test_a_state_knows_nothing_of_later_takes() -> None:
    torch.manual_seed(0)
    tower = ShopperTower(8, 2, 2, 16, LONGEST).double().eval()
    vectors = torch.randn(2, LONGEST, 8, dtype=torch.float64)
    action, gap = torch.randint(0, 9, (2, 2, LONGEST)).unbind()
    changed = vectors.clone(), action.clone(), gap.clone()
    changed[0][:, 5:], changed[1][:, 5:], changed[2][:, 5:] = 7.0, 9, GAPS - 1
    with torch.no_grad():
        one, other = tower(vectors, action, gap), tower(*changed)
    np.testing.assert_allclose(one[:, :5], other[:, :5], atol=1e-12)
    assert np.abs((one[:, 5:] - other[:, 5:]).numpy()).min() > 0
    np.testing.assert_allclose(one.norm(dim=-1), 1.0, atol=1e-12)


def test_a_shopper_s_vector_depends_on_no_padding_nor_batch_and_is_zero_without_takes(towers: Towers) -> None:
    index = habits(20)["taken_index"].astype(np.int64)
    index[4] = -1
    vectors = tower_vectors(towers, IDS, embeddings()).__getitem__
    rest = (np.full_like(index, 2), np.full_like(index, 3))
    together = last_states(towers.shopper, vectors, index, *rest)
    one_by_one = [
        last_states(towers.shopper, vectors, *(part[row : row + 1, :length] for part in (index, *rest)))
        for row, length in enumerate((index >= 0).sum(axis=1))
    ]
    np.testing.assert_array_equal(np.concatenate(one_by_one), together)
    assert not together[4].any()
    np.testing.assert_allclose(np.linalg.norm(np.delete(together, 4, axis=0), axis=1), 1.0, atol=1e-5)


def test_the_sampled_softmax_is_its_formula_and_its_gradient_fits() -> None:
    taken = torch.tensor([1.0, 0.5], dtype=torch.float64, requires_grad=True)
    drawn = torch.tensor([[0.0, 2.0, 9.0], [1.0, -1.0, 0.5]], dtype=torch.float64, requires_grad=True)
    log_chance = torch.log(torch.tensor([0.5, 0.25, 1.0], dtype=torch.float64))
    out = torch.tensor([[False, False, True], [False, True, False]])
    found = sampled_softmax(taken, drawn, log_chance, out)
    first = -np.log(np.e / (np.e + 1 / 0.5 + np.exp(2) / 0.25))
    second = -np.log(np.exp(0.5) / (np.exp(0.5) + np.e / 0.5 + np.exp(0.5) / 1))
    np.testing.assert_allclose(found.detach(), [first, second], rtol=1e-12)
    assert torch.autograd.gradcheck(lambda t, d: sampled_softmax(t, d, log_chance, out), (taken, drawn))
    found.sum().backward()
    assert drawn.grad is not None
    np.testing.assert_array_equal(drawn.grad[out], [0.0, 0.0])


def test_negatives_are_drawn_with_the_chance_that_they_are_told_to_have() -> None:
    takes = np.array([0.0, 1, 16, 81])
    whole = draw_negatives(takes, 4, np.random.default_rng(0))
    assert (whole.rows.tolist(), whole.log_chance.tolist()) == ([0, 1, 2, 3], [0.0] * 4)
    found = [draw_negatives(takes, 2, np.random.default_rng(seed)) for seed in range(2000)]
    seen = np.bincount(np.concatenate([one.rows for one in found]), minlength=4) / len(found)
    share = 0.5 / 4 + 0.5 * np.array([0, 1, 8, 27]) / 36
    np.testing.assert_allclose(seen, 1 - (1 - share) ** 2, atol=0.03)
    for one in found[:20]:
        np.testing.assert_allclose(one.log_chance, np.log(1 - (1 - share[one.rows]) ** 2), rtol=1e-6)


def test_biases_start_at_log_popularity() -> None:
    np.testing.assert_allclose(log_popularity(np.array([0.0, 3.0])), np.log([1 / 5, 4 / 5]))


def test_examples_get_the_state_after_the_takes_that_they_name_and_the_biases_of_their_items(towers: Towers) -> None:
    vectors, rows = tower_vectors(towers, IDS, embeddings()), habits(50)
    expected = last_states(towers.shopper, vectors.__getitem__, *rows.values())
    engine = np.arange(50 * 3 * len(ENGINE_FEATURES), dtype=np.float32).reshape(50, -1)
    items = np.tile([4, 0, -1], (50, 1))
    told = {**rows, "example_order": np.arange(50), "item_index": items, "engine_features": engine}
    examples = with_towers(passes(told, parts=3), towers, IDS, vectors, threads=1)
    for _ in range(2):
        (found,) = examples("train")
        assert set(found) == {"example_order", "item_index", "engine_features", "shopper"}
        np.testing.assert_array_equal(found["shopper"], expected)
        by_item = found["engine_features"].reshape(50, 3, len(ENGINE_FEATURES))
        np.testing.assert_array_equal(by_item[..., -1], np.tile([*towers.bias[[4, 0]], 0], (50, 1)))
        np.testing.assert_array_equal(by_item[..., :-1], engine.reshape(by_item.shape)[..., :-1])


def test_an_item_that_the_fit_did_not_know_has_the_bias_of_one_without_takes(towers: Towers) -> None:
    found = biases_of(towers, np.array(["i03", "new"]))
    np.testing.assert_allclose(found, [towers.bias[3], np.log(1 / (towers.takes.sum() + ITEMS))])
