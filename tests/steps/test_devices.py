"""Work on several devices: two processes by TorchDistributor, on CPUs, with gloo between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pyspark.sql import SparkSession

import encoder_shop
from nightrank.config import Config
from nightrank.errors import ConfigError, ContractError
from nightrank.models.encoder_lessons import Lessons
from nightrank.models.encoder_training import tune_encoder, tuned_in_team
from nightrank.models.sequences import TAKEN
from nightrank.models.tower_training import train_towers
from nightrank.sections import LakeConfig, RankerRunsConfig, SequenceConfig
from nightrank.steps.devices import on_devices
from nightrank.steps.encoder_runs import COLUMNS, _tuned
from nightrank.steps.petastorm_feed import petastorm_feed
from nightrank.steps.ranker_runs import _trained_towers
from nightrank.steps.tower import Known

SETTINGS = encoder_shop.SETTINGS.model_copy(update={"epochs": 3, "devices": 2})


@contextmanager
def fed_lessons(spark: SparkSession, folder: Path) -> Iterator[Lessons]:
    """The shop's lessons as a night has them: by petastorm."""
    shop = encoder_shop.lessons(encoder_shop.item_texts())
    (columns,) = shop.examples()
    rows = [
        ("train", f"q{n}", int(query), [int(item) for item in items], n)
        for n, (query, items) in enumerate(zip(columns["query_index"], columns["item_index"], strict=True))
    ]
    schema = "fold string, query_id string, query_index int, item_index array<int>, example_order bigint"
    frame = spark.createDataFrame(rows, schema)
    with petastorm_feed(frame, str(folder), ("train",), COLUMNS) as feed:
        yield replace(shop, examples=partial(feed.examples, "train"))


def test_gpus_that_spark_does_not_count_are_a_config_error(spark: SparkSession) -> None:
    with pytest.raises(ConfigError, match=r"spark\.driver\.resource\.gpu\.amount to be a whole number"):
        on_devices(lambda: None, 2, "driver", gpu=True)
    with pytest.raises(ConfigError, match=r"spark\.task\.resource\.gpu\.amount to be a whole number"):
        on_devices(lambda: None, 2, "tasks", gpu=True)


@pytest.mark.long
def test_two_processes_tune_one_encoder_alike_and_go_on_after_an_interruption(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bert = encoder_shop.save_word_bert(tmp_path / "bert")
    cut, whole = (encoder_shop.config_of(tmp_path / name, bert, SETTINGS) for name in ("cut", "whole"))
    encoder = cut.item_embeddings
    told = tmp_path / "told"
    told.mkdir()

    with fed_lessons(spark, tmp_path / "feed") as shop:

        def interrupted() -> None:
            from nightrank.models import encoder_training

            trained = encoder_training._train_epoch

            def first_only(*arguments: object) -> float | None:
                if arguments[-1] == 2:
                    raise RuntimeError("the power is cut")
                return trained(*arguments)  # type: ignore[arg-type]  # passed on as they came

            encoder_training._train_epoch = first_only
            encoder_training.tune_in_team(encoder, shop, cut)

        def watched() -> None:
            import hashlib

            from nightrank.models.encoder_training import tune_encoder
            from nightrank.models.team import team_of

            with team_of(2, "cpu") as team:
                model = tune_encoder(encoder, shop, whole, team).model
            weights = b"".join(values.numpy().tobytes() for values in model.state_dict().values())
            (told / str(team.rank)).write_text(hashlib.sha256(weights).hexdigest())

        with pytest.raises(ContractError, match="Training on 2 devices failed"):
            on_devices(interrupted, 2, "driver", gpu=False)
        assert "the power is cut" in capsys.readouterr().out
        (checkpoint,) = (tmp_path / "cut" / "checkpoints").glob("*.json")
        assert '"epoch": 1' in checkpoint.read_text()
        again = _tuned(shop, cut)
        on_devices(watched, 2, "driver", gpu=False)
        at_once = tuned_in_team(encoder, shop, whole, None)
        alone = tune_encoder(encoder, shop, alone_in(tmp_path / "alone", whole))

    assert len({(told / rank).read_text() for rank in "01"}) == 1
    assert (again.best_epoch, again.curves, again.stopped) == (at_once.best_epoch, at_once.curves, None)
    for name, values in at_once.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], values, rtol=0, atol=0)
    assert len(again.curves) == len(alone.curves) == 4
    for ours, theirs in zip(again.curves[1:], alone.curves[1:], strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.01)
    assert again.curves[3]["train_loss"] < 0.8 * again.curves[1]["train_loss"]
    assert again.curves[3]["valid_ndcg"] > again.curves[0]["valid_ndcg"] + 0.1


def alone_in(lake: Path, config: Config) -> Config:
    """The same settings for one device, in a lake of its own."""
    one = config.encoder_runs.model_copy(update={"devices": 1})
    return config.model_copy(update={"encoder_runs": one, "lake": config.lake.model_copy(update={"path": str(lake)})})


@pytest.mark.long
def test_two_processes_train_the_towers_of_one(spark: SparkSession, tmp_path: Path) -> None:
    """Shoppers go through the items in order; without dropout two processes take the steps of one."""
    random, ids = np.random.default_rng(1), np.array([f"i{n:02}" for n in range(20)])
    text = random.normal(size=(20, 6)).astype(np.float32)
    begun = random.integers(0, 20, 100)
    rows = [("train", f"u{n}", n, *([int(x) for x in one] for one in taken(first))) for n, first in enumerate(begun)]
    arrays = ", ".join(f"{name} array<int>" for name in TAKEN)
    frame = spark.createDataFrame(rows, f"fold string, query_id string, example_order bigint, {arrays}")
    still = {"dropout": 0.0, "input_dropout": 0.0, "hidden": 0.0, "id_dropout": 0.0}
    sizes = {"longest": 5, "layers": 1, "width": 8, "epochs": 3, "batch": 15, "learning_rate": 2e-2}
    settings = RankerRunsConfig(dims=4, devices=2, sequence=SequenceConfig.model_validate({**still, **sizes}))
    config = Config(lake=LakeConfig(path=str(tmp_path)), ranker_runs=settings)
    with petastorm_feed(frame, str(tmp_path / "feed"), ("train",), ("example_order", *TAKEN)) as feed:
        together, losses = _trained_towers(feed, Known(ids, text), None, config)
        alone, expected = train_towers(feed.examples, ids, text, settings)
    assert losses == pytest.approx(expected, rel=1e-3)
    assert losses[-1] < 0.9 * losses[0]
    np.testing.assert_allclose(together.projection, alone.projection, atol=0.01)


def taken(first: int) -> tuple[np.ndarray, ...]:
    """taken_index, taken_action and taken_gap of one who takes five items from `first` on."""
    return (first + np.arange(5)) % 20, np.full(5, 2), np.full(5, 3)


@pytest.mark.long
def test_tasks_of_spark_are_devices_too(spark: SparkSession) -> None:
    def work() -> list[float]:
        import torch

        from nightrank.models.team import team_of

        with team_of(2, "cpu") as team:
            return [float(told.item()) for told in team.gathered(torch.tensor([10.0 + team.rank]))]

    assert on_devices(work, 2, "tasks", gpu=False) == [10.0, 11.0]
