"""The only file that asks Spark for the task's GPU."""

from __future__ import annotations

from pyspark import TaskContext


def task_device() -> str:
    """Where this task's torch code runs: `cuda:<address>` of the GPU that Spark gave the task, else `cpu`.

    Outside a task, without a GPU resource, and where torch sees no GPU, it is the CPU.
    """
    context = TaskContext.get()
    gpu = context.resources().get("gpu") if context is not None else None
    if gpu is None or not gpu.addresses:
        return "cpu"
    import torch

    return f"cuda:{gpu.addresses[0]}" if torch.cuda.is_available() else "cpu"
