"""Tuning an encoder: same lessons, same bits, interrupted or not; what it learned of words is told from memory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import MPNetConfig, MPNetModel

from encoder_shop import ASKED, ITEMS, SETTINGS, config_of, item_texts, lessons, save_word_bert, takes
from nightrank.config import Config
from nightrank.errors import ConfigError, ContractError, InputMissingError
from nightrank.models import encoder_training
from nightrank.models.checkpoints import drop_checkpoint
from nightrank.models.encoder import encoder_folder, encoder_version, load_encoder
from nightrank.models.encoder_artefact import write_encoder
from nightrank.models.encoder_files import encoder_files, files_sha256
from nightrank.models.encoder_judging import Verdict, decide, judge
from nightrank.models.encoder_lessons import Texts, loss_of, overview
from nightrank.models.encoder_module import text_encoder
from nightrank.models.encoder_store import keep_files, kept_encoder
from nightrank.models.encoder_training import Tuned, tune_encoder, vectors_of
from nightrank.models.losses import binary_cross_entropy, listwise_softmax
from nightrank.sections import EncoderConfig, LakeConfig

SHORT = SETTINGS.model_copy(update={"epochs": 2})


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_word_bert(tmp_path_factory.mktemp("bert"))


def tuned_on(config: Config, wordless: bool = False) -> Tuned:
    return tune_encoder(config.item_embeddings, lessons(item_texts(wordless)), config)


def encoder_in(folder: Path) -> EncoderConfig:
    return EncoderConfig(model=str(folder), max_tokens=16)


def written(tuned: Tuned, folder: Path, base: Path) -> Path:
    folder.mkdir()
    write_encoder(tuned.model.network, base, folder)
    return folder


def verdict_on(tuned: Tuned, config: Config, folder: Path, wordless: bool = False) -> Verdict:
    base = config.item_embeddings
    encoder = base.model_copy(update={"model": str(written(tuned, folder, encoder_folder(base.model)))})
    return judge(base, encoder, lessons(item_texts(wordless)), takes(200, seed=5), config.encoder_runs)


def test_words_that_tell_what_is_taken_promote_and_words_that_say_nothing_are_refused(
    bert: Path, tmp_path: Path
) -> None:
    config = config_of(tmp_path, bert)
    verdict = verdict_on(tuned_on(config), config, tmp_path / "tuned")
    assert (verdict.promoted, verdict.metrics["ndcg_gain_lower"] > 0.05) == (True, True)
    assert verdict.metrics["unseen_auc_tuned"] > verdict.metrics["unseen_auc_standing"] + 0.2
    # Which text is wanted for which query can be learned by heart; of an item never seen that says nothing.
    memory = verdict_on(tuned_on(config, wordless=True), config, tmp_path / "memory", wordless=True)
    assert memory.metrics["ndcg_gain_lower"] > 0
    assert not memory.promoted
    assert memory.reason.startswith("AUC of items kept from training: the lower bound of the difference is -0.")


@pytest.mark.parametrize("method", ["layers", "lora"])
def test_a_run_that_goes_on_after_an_interruption_gives_the_same_bits(
    bert: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SHORT.model_copy(update={"method": method})
    whole = tuned_on(config_of(tmp_path / "whole", bert, settings))
    config = config_of(tmp_path / "cut", bert, settings)
    trained = encoder_training._train_epoch

    def cut_off(*arguments: object) -> float | None:
        if arguments[-1] == 2:
            raise KeyboardInterrupt
        return trained(*arguments)  # type: ignore[arg-type]  # passed on as they came

    with monkeypatch.context() as patch:
        patch.setattr(encoder_training, "_train_epoch", cut_off)
        with pytest.raises(KeyboardInterrupt):
            tuned_on(config)
    epochs: list[object] = []
    monkeypatch.setattr(encoder_training, "_train_epoch", lambda *a: epochs.append(a[-1]) or trained(*a))
    again = tuned_on(config)
    assert epochs == [2]
    assert (again.best_epoch, again.curves) == (whole.best_epoch, whole.curves)
    for name, values in whole.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], values, rtol=0, atol=0)
    ids = [files_sha256(encoder_files(written(one, tmp_path / f"{n}", bert))) for n, one in enumerate((whole, again))]
    assert ids[0] == ids[1]


def test_a_checkpoint_that_was_altered_or_is_of_other_lessons_counts_for_nothing(bert: Path, tmp_path: Path) -> None:
    config = config_of(tmp_path, bert, SHORT.model_copy(update={"epochs": 1}))
    first = tuned_on(config)
    folder = tmp_path / "checkpoints"
    (weights,) = folder.glob("*.safetensors")
    assert json.loads((folder / f"{first.checkpoint}.json").read_text())["file"] == weights.name
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert tuned_on(config).curves == first.curves
    assert tuned_on(config_of(tmp_path, bert, SHORT)).checkpoint != first.checkpoint
    assert tuned_on(config, wordless=True).checkpoint != first.checkpoint
    drop_checkpoint(config, first.checkpoint)
    assert not list(folder.glob(f"{first.checkpoint}*"))


def test_a_loss_that_is_no_number_ends_training_and_the_best_epoch_stands(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tuned_on(config_of(tmp_path / "one", bert, SHORT.model_copy(update={"epochs": 2, "patience": 9})))
    assert one.best_epoch == 2
    lost = encoder_training.loss_of
    batches = -(-lessons(item_texts()).rows // SHORT.batch)
    calls: list[int] = []

    def spoilt(*arguments: object) -> torch.Tensor:
        calls.append(1)
        loss = lost(*arguments)  # type: ignore[arg-type]  # passed on as they came
        return loss * float("nan") if len(calls) == 2 * batches + 3 else loss

    monkeypatch.setattr(encoder_training, "loss_of", spoilt)
    # Steps fall to 0 with the last epoch, which is another one here.
    stopped = tuned_on(config_of(tmp_path / "two", bert, SHORT.model_copy(update={"epochs": 4, "patience": 9})))
    assert stopped.stopped == "the loss was no number in epoch 3"
    assert len(stopped.curves) == 3
    assert 0 < stopped.best_epoch <= 2
    assert all(torch.isfinite(values).all() for values in stopped.model.state_dict().values())


def test_no_epoch_that_is_better_leaves_the_encoder_as_it_was(bert: Path, tmp_path: Path) -> None:
    config = config_of(tmp_path, bert, SHORT.model_copy(update={"learning_rate": 1e-12}))
    tuned = tuned_on(config)
    assert tuned.best_epoch == 0
    verdict = verdict_on(tuned, config, tmp_path / "same")
    assert (verdict.promoted, verdict.metrics["ndcg_gain"]) == (False, 0.0)


def test_vectors_while_learning_are_those_of_the_night(bert: Path, tmp_path: Path) -> None:
    config = config_of(tmp_path, bert, SHORT)
    tuned, texts = tuned_on(config), ["red kettle", "", "kettle " * 40, "unknown words", *ASKED]
    folder = written(tuned, tmp_path / "tuned", bert)
    np.testing.assert_allclose(load_encoder(str(folder), 16, 1)(texts), vectors_of(tuned.model, texts), atol=1e-6)
    assert encoder_version(config.item_embeddings) != encoder_version(
        config.item_embeddings.model_copy(update={"model": str(folder)})
    )


def test_the_loss_is_the_sum_of_its_heads(bert: Path) -> None:
    shop, settings = lessons(item_texts()), SETTINGS.model_copy(update={"augmented_share": 0.0})
    model = text_encoder(encoder_in(bert), settings)
    texts, known, columns = Texts(ASKED, model.tokens(shop.item_texts)), overview(shop), next(shop.examples())
    batch = {name: values[:3] for name, values in columns.items()}

    def loss(pointwise: float, listwise: float) -> float:
        weights = settings.model_copy(update={"pointwise_weight": pointwise, "listwise_weight": listwise})
        return loss_of(model, texts, batch, known, weights, np.random.default_rng(0)).item()

    query, item = (batch[name].astype(int) for name in ("query_index", "item_index"))
    vectors = torch.from_numpy(vectors_of(model, list(shop.item_texts)))[np.maximum(item, 0)]
    cosines = (torch.from_numpy(vectors_of(model, list(ASKED)))[query].unsqueeze(1) * vectors).sum(dim=-1)
    mask, first = torch.from_numpy(item >= 0), torch.tensor([[1.0, 0.0]] * 3)
    pointwise = binary_cross_entropy((cosines[mask] - 0.5) / settings.temperature, first[mask])
    listwise = listwise_softmax(cosines / settings.temperature, first, mask, torch.ones(3))
    assert loss(0.3, 0.0) - loss(0.0, 0.0) == pytest.approx(0.3 * pointwise.item(), abs=1e-4)
    assert loss(0.0, 0.5) - loss(0.0, 0.0) == pytest.approx(0.5 * listwise.item(), abs=1e-4)


def test_the_overview_counts_takes_and_knows_the_pairs() -> None:
    shop = lessons(item_texts())
    known, columns = overview(shop), next(shop.examples())
    taken = columns["item_index"][:, 0]
    assert known.share[taken[0]] == pytest.approx((taken == taken[0]).mean())
    assert known.share[shop.unseen].sum() == 0
    expected = [[(columns["query_index"][taken == i] == q).any() for i in range(ITEMS)] for q in range(len(ASKED))]
    np.testing.assert_array_equal(known.took(np.arange(len(ASKED)), np.arange(ITEMS)), expected)


def test_a_verdict_needs_both_lower_bounds_and_no_loss_of_recall() -> None:
    good, bad, zero = (0.1, 0.02, 0.2), (0.1, -0.02, 0.2), (0.0, 0.0, 0.0)
    assert decide({"ndcg": good, "unseen_auc": good, "recall": zero})[0]
    for figures, said in (
        ((zero, good, good), "over the catalogue: the lower bound of the difference is +0.0000, needed above 0"),
        ((good, bad, good), "AUC of items kept from training: the lower bound of the difference is -0.0200"),
        ((good, good, (-0.1, -0.2, -0.05)), "recall@100: the upper bound of the difference is -0.0500"),
    ):
        promoted, reason = decide(dict(zip(("ndcg", "unseen_auc", "recall"), figures, strict=True)))
        assert not promoted
        assert said in reason


def test_a_kept_encoder_is_named_by_its_bytes_and_refused_when_they_change(bert: Path, tmp_path: Path) -> None:
    config = config_of(tmp_path / "lake", bert)
    encoder_id = keep_files(config, encoder_files(bert))
    folder = Path(kept_encoder(config, encoder_id))
    assert encoder_version(config.item_embeddings.model_copy(update={"model": str(folder)})) == encoder_version(
        config.item_embeddings
    )
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(ContractError, match=f"Encoder {encoder_id} cannot be used: expected files of that sha256"):
        kept_encoder(config, encoder_id)
    with pytest.raises(ContractError, match="found none"):
        kept_encoder(config, "0" * 64)


def test_an_encoder_of_a_remote_lake_is_copied_to_the_machine_once(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    config = config_of(tmp_path, bert)
    remote = config.model_copy(update={"lake": LakeConfig(path="memory://shop/lake")})
    address = kept_encoder(remote, keep_files(remote, encoder_files(bert)))
    assert address.startswith("memory://shop/lake/artefacts/encoders/")
    encoder = config.item_embeddings.model_copy(update={"model": address})
    assert encoder_version(encoder) == encoder_version(config.item_embeddings)
    assert encoder_folder(address) == encoder_folder(address)
    assert encoder_folder(address).is_relative_to(tmp_path)
    np.testing.assert_array_equal(
        load_encoder(address, 16, 1)(["red kettle"]), load_encoder(str(bert), 16, 1)(["red kettle"])
    )
    with pytest.raises(InputMissingError, match="expected files whose sha256"):
        encoder_folder("memory://shop/lake/artefacts/encoders/none")


def test_a_network_of_another_layout_is_refused(bert: Path, tmp_path: Path) -> None:
    """MPNet's layers take a bias that the network works out from positions."""
    folder = Path(shutil.copytree(bert, tmp_path / "mpnet"))
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    MPNetModel(MPNetConfig(vocab_size=40, **sizes)).save_pretrained(folder)
    with pytest.raises(ConfigError, match="found those of a MPNetModel"):
        text_encoder(encoder_in(folder), SETTINGS)


def test_more_layers_than_there_are_is_a_config_error(bert: Path) -> None:
    with pytest.raises(ConfigError, match="expected at most 2"):
        text_encoder(encoder_in(bert), SETTINGS.model_copy(update={"top_layers": 3}))
