"""The device of a task, with made-up tasks: Spark's local mode grants no GPU."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from nightrank.steps import gpu


def task_with(resources: dict[str, list[str]]) -> SimpleNamespace:
    granted = {name: SimpleNamespace(addresses=addresses) for name, addresses in resources.items()}
    return SimpleNamespace(get=lambda: SimpleNamespace(resources=lambda: granted))


def test_outside_a_task_it_is_the_cpu() -> None:
    assert gpu.task_device() == "cpu"


@pytest.mark.parametrize(
    ("resources", "torch_sees_one", "expected"),
    [
        ({"gpu": ["1"]}, True, "cuda:1"),
        ({"gpu": ["3", "0"]}, True, "cuda:3"),
        ({"gpu": ["1"]}, False, "cpu"),
        ({"gpu": []}, True, "cpu"),
        ({"fpga": ["0"]}, True, "cpu"),
        ({}, True, "cpu"),
    ],
)
def test_the_first_gpu_that_the_task_was_given(
    resources: dict[str, list[str]], torch_sees_one: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "TaskContext", task_with(resources))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: torch_sees_one)
    assert gpu.task_device() == expected
