"""Nights in MLflow: one run a job and night, told once, and never at the night's expense."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nightrank.config import Config, config_hash
from nightrank.models.outbox import Input, Note, keep_note, waiting_notes
from nightrank.models.tracking import night_run, night_tags, send_notes
from nightrank.sections import LakeConfig, MlflowConfig

NOTE = Note(
    "2026-02-02",
    "prepare",
    "run",
    "FINISHED",
    7.5,
    {"stage": "items"},
    {"rows/items": 120.0, "seconds/items": 7.5},
    (Input("items", "/lake/items", 3), Input("raw_items", "s3://shop/items.jsonl")),
    {"status": "ok", "rows": {"items": 120}},
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


def settings(lake: Path, uri: str, seconds: int = 30) -> Config:
    return Config(lake=LakeConfig(path=str(lake)), mlflow=MlflowConfig(tracking_uri=uri, timeout_seconds=seconds))


def runs(config: Config, job: str):  # type: ignore[no-untyped-def]  # MLflow is not type-checked
    import mlflow

    client = mlflow.MlflowClient(config.mlflow.tracking_uri)
    experiment = client.get_experiment_by_name(f"nightrank/{job}")
    found = client.search_runs([experiment.experiment_id])
    return client, [run for run in found if run.data.tags["lake"] == config.lake.path]


def test_a_night_s_run_has_tags_inputs_figures_and_the_summary(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTRANK_GIT_COMMIT", "abc123")
    config = settings(tmp_path, store)
    keep_note(config, replace(NOTE, tags=night_tags(config)))
    assert send_notes(config)
    assert waiting_notes(config) == []
    client, (run,) = runs(config, "prepare")
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 7500
    assert run.data.metrics == {"rows/items": 120.0, "seconds/items": 7.5}
    told = {name: run.data.tags[name] for name in ("night", "job", "git_commit", "mlflow.source.git.commit")}
    assert told == {
        "night": "2026-02-02", "job": "prepare", "git_commit": "abc123", "mlflow.source.git.commit": "abc123",
    }  # fmt: skip
    assert run.data.tags["config_hash"] == config_hash(config)
    inputs = {i.dataset.name: (i.dataset.source_type, i.dataset.source) for i in run.inputs.dataset_inputs}
    assert inputs == {
        "items": ("delta_table", '{"path": "/lake/items", "delta_table_version": 3}'),
        "raw_items": ("s3", '{"uri": "s3://shop/items.jsonl"}'),
    }
    summary = client.download_artifacts(run.info.run_id, "run_summary.json", str(tmp_path))
    assert json.loads(Path(summary).read_text()) == NOTE.summary


def test_told_twice_a_night_is_one_run_with_the_last_figures(tmp_path: Path, store: str) -> None:
    config = settings(tmp_path, store)
    for rows in (5.0, 4.0, 4.0):
        keep_note(config, replace(NOTE, figures={"rows/items": rows}))
        assert send_notes(config)
        time.sleep(0.01)
    other = settings(tmp_path / "another lake", store)
    keep_note(other, NOTE)
    assert send_notes(other)
    _, (run,) = runs(config, "prepare")
    assert run.data.metrics == {"rows/items": 4.0}
    assert len(run.inputs.dataset_inputs) == 2


def test_the_same_note_sent_twice_changes_nothing(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a run that was killed between telling and forgetting."""
    config = settings(tmp_path, store)
    keep_note(config, NOTE)
    with monkeypatch.context() as patched:
        patched.setattr("nightrank.models.tracking.drop_note", lambda *_: None)
        assert send_notes(config)
    assert len(waiting_notes(config)) == 1
    client, (before,) = runs(config, "prepare")
    assert send_notes(config)
    _, (after,) = runs(config, "prepare")
    assert (before.data.to_dictionary(), before.info.end_time) == (after.data.to_dictionary(), after.info.end_time)
    assert len(client.get_metric_history(after.info.run_id, "rows/items")) == 1


class _Hanging(BaseHTTPRequestHandler):
    """Answers some bytes a second, for ever: no time-out between two bytes ever ends it."""

    def handle_one_request(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            time.sleep(0.2)
            self.wfile.write(b" ")
            self.wfile.flush()


@contextmanager
def hanging() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hanging)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def silent() -> Iterator[str]:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def refusing() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("server", [refusing, silent, hanging])
def test_a_server_that_is_down_or_slow_costs_its_time_out_and_figures_follow_later(
    server, tmp_path: Path, store: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a program of its own: a thread that was left behind keeps the lock.
    monkeypatch.setattr("nightrank.models.tracking._SENDING", threading.Lock())
    pytest.importorskip("mlflow")  # importing it takes longer than what is measured here

    later = replace(NOTE, night="2026-02-03")
    with server() as uri:
        config = settings(tmp_path, uri, seconds=3)
        keep_note(config, later)
        keep_note(config, NOTE)
        started = time.monotonic()
        assert not send_notes(config)
        # None of them ever answers.
        assert time.monotonic() - started < 30
    assert "mlflow=later" in caplog.text
    assert [waiting.note.night for waiting in waiting_notes(config)] == ["2026-02-02", "2026-02-03"]
    monkeypatch.setattr("nightrank.models.tracking._SENDING", threading.Lock())
    back = settings(tmp_path, store)
    assert send_notes(back)
    _, found = runs(back, "prepare")
    assert sorted(run.data.tags["night"] for run in found) == ["2026-02-02", "2026-02-03"]
    assert waiting_notes(back) == []


def test_a_note_that_mlflow_will_never_take_lets_the_others_pass(tmp_path: Path, store: str) -> None:
    config = settings(tmp_path, store)
    keep_note(config, replace(NOTE, night="2026-02-01", figures={"a name: that is refused?": 1.0}))
    (tmp_path / "mlflow_outbox" / "2026-01-31-prepare-run.json").write_text('{"night": ')
    keep_note(config, NOTE)
    assert send_notes(config)
    aside = sorted(path.name for path in (tmp_path / "mlflow_outbox" / "refused").iterdir())
    assert aside == ["2026-01-31-prepare-run.json", "2026-02-01-prepare-run.json"]
    _, found = runs(config, "prepare")
    assert "2026-02-02" in {run.data.tags["night"] for run in found}


def test_a_note_kept_anew_while_the_old_one_was_sent_still_waits(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tmp_path, store)
    keep_note(config, NOTE)

    def kept_meanwhile(client, *arguments: object, **named: object) -> str:
        time.sleep(0.01)
        keep_note(config, replace(NOTE, status="FAILED"))
        return night_run(client, *arguments, **named)

    monkeypatch.setattr("nightrank.models.tracking.night_run", kept_meanwhile)
    assert send_notes(config)
    assert [waiting.note.status for waiting in waiting_notes(config)] == ["FAILED"]


def test_the_config_hash_knows_settings_not_their_layout() -> None:
    assert config_hash(Config()) == config_hash(Config.model_validate({"lake": {"path": "lake"}}))
    assert config_hash(Config()) != config_hash(Config(lake=LakeConfig(path="elsewhere")))
