"""What a config file may say, and that one that says anything else does nothing."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightrank.cli import main
from nightrank.config import Config, load_config
from nightrank.errors import ConfigError

NAMES = (
    "source.object_id_field", "lake.schema_name", "spark.app_name", "spark.driver_memory", "mlflow.experiment",
    "mlflow.model_name", "rerank_weights.policy_id", "item_tokens.indexed_code_version",
)  # fmt: skip
HOSTILE = (
    "x'; DROP TABLE events; --", "` OR 1=1", "../../etc/passwd", "a/../../b", "$(touch pwned)", "`touch pwned`",
    "{0.__class__}", "a\nb", "a\x00b", "\u202egpj", "", " ", "%s%n", "${spark.driver.memory}", "<script>", "名前;",
)  # fmt: skip
GENERATED = 1000


def written(folder: Path, values: Any) -> Path:
    path = folder / "config.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_name_that_is_more_than_a_name_is_78(tmp_path: Path, name: str, hostile: str) -> None:
    section, _, key = name.partition(".")
    with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
        load_config(written(tmp_path, {section: {key: hostile}}))


@pytest.mark.parametrize(
    "text",
    [
        "lake: !!python/object/apply:os.system ['touch pwned']",
        "lake: !!python/name:os.system",
        "lake: {path: !!python/object/new:pathlib.Path [x]}",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
        "lake: &lake {path: x}\nshop: *lake",
        "lake: {<<: *x}",
        "? [a, b]\n: c",
        "lake: {path: x}\n---\nlake: {path: y}",
        "lake: {path: \x07}",
        "extends: ../../../../etc/passwd",
        "extends: .",
        "extends: config.yaml",
        "calendar: {bulk_until: 2026-02-30}",
        "events: {longest_id: .nan}",
        "gates: {bootstrap: 1e999}",
        "spark: {settings: {spark.sql.shuffle.partitions: {a: b}}}",
        "spark: {settings: {'x; rm': '1'}}",
    ],
)
def test_yaml_that_is_more_than_plain_settings_is_78_in_one_line(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["tables", "--config", str(written(tmp_path, text))]) == 78
    assert len(caplog.records) == 1
    assert "\n" not in caplog.messages[0]
    assert sorted(os.listdir(tmp_path)) == ["config.yaml"]


def leaves(values: dict[str, Any], *above: str) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, *above, key)
        else:
            yield (*above, key)


def test_a_thousand_generated_strings_are_settings_or_78(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    keys = sorted(leaves(Config().model_dump(mode="json")))
    at = random.Random(11)
    alphabet = "ab0_./-:;'\"`$(){}[]*?|&<>\\%#@! \t\n\x00\x1b\u202e\ud7ff名🙂=,"
    refused = 0
    for _ in range(GENERATED):
        section, *rest = at.choice(keys)
        value: Any = "".join(at.choices(alphabet, k=at.randrange(0, 30)))
        for key in reversed(rest):
            value = {key: value}
        try:
            load_config(written(tmp_path, {section: value}))
        except ConfigError:
            refused += 1
    # Most settings are numbers or choices: few strings are any.
    assert refused > GENERATED * 0.8
    assert sorted(os.listdir(tmp_path)) == ["config.yaml"]


def test_a_decay_that_leaves_nothing_of_an_id_is_refused(tmp_path: Path) -> None:
    sequence = {"learning_rate": 0.01, "id_decay": 100.0}
    with pytest.raises(ConfigError, match=r"id_decay: expected less than 1 / learning_rate = 100, .* found 100"):
        load_config(written(tmp_path, {"ranker_runs": {"sequence": sequence}}))
    assert load_config(written(tmp_path, {"ranker_runs": {"sequence": {**sequence, "id_decay": 99.0}}}))


def test_a_window_without_a_night_to_train_on_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {"training_examples": {"window_nights": 4, "held_out_nights": 3}})
    with pytest.raises(ConfigError, match=r"window_nights: expected 5 or more .*, found 4"):
        load_config(path)
