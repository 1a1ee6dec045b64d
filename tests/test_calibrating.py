"""`nightrank calibrate` writes an overlay that runs nights with what it found."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from nightrank import calibrating
from nightrank.cli import main
from nightrank.config import load_config
from nightrank.models.calibration import Measured
from nightrank.models.encoder_files import weights_sha256


@pytest.fixture
def shop(tiny_bert: Path, tmp_path: Path) -> Path:
    """A shop's config and a file of texts."""
    encoder = {"model": str(tiny_bert), "max_tokens": 32}
    settings = {"item_embeddings": encoder, "query_embeddings": dict(encoder)}
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf" / "shop.yaml"
    path.write_text(yaml.safe_dump(settings))
    (tmp_path / "texts").write_text("red shoe\n\nblue lamp\nwarm light\n")
    return path


def test_what_is_chosen_is_written_beside_what_was_measured(
    shop: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[str]] = []

    def ways(config: object, texts: list[str], threads: object, device: str) -> list[Measured]:
        seen.append(texts)
        return [Measured("fp32", 1, 10.0, 1.0, 1.0), Measured("bf16", 2, 20.0, 0.9999, 0.999)]

    monkeypatch.setattr(calibrating, "measured_ways", ways)
    written = shop.parent.parent / "found.yaml"
    texts = shop.parent.parent / "texts"
    command = ["calibrate", "--config", str(shop), "--write", str(written), "--texts", str(texts), "--sample", "2"]
    assert main(command) == 0
    assert seen == [["red shoe", "blue lamp"]]
    said = capsys.readouterr().out
    assert "bf16             2            20.0      0.99990  0.99900  <- chosen" in said
    assert "# bf16             2" in written.read_text()
    found = load_config(written)
    for encoder in (found.item_embeddings, found.query_embeddings):
        chosen = (encoder.model, encoder.precision, encoder.threads, encoder.sha256)
        assert chosen == (str(tiny_bert), "bf16", 2, weights_sha256(tiny_bert))
    assert found.spark.settings == {"spark.task.cpus": "2"}
    assert main(command) == 64  # it is not overwritten


def test_without_texts_there_is_nothing_to_measure(shop: Path) -> None:
    blank, written = shop.with_name("blank"), shop.with_name("found.yaml")
    blank.write_text(" \n")
    for texts in (shop.with_name("nowhere"), blank):
        assert main(["calibrate", "--config", str(shop), "--write", str(written), "--texts", str(texts)]) == 66
    assert not written.exists()
