"""Work on more than one device: the only file that knows Spark's TorchDistributor."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from nightrank.errors import ConfigError, ContractError

Told = TypeVar("Told")


def on_devices(work: Callable[[], Told], devices: int, where: Literal["driver", "tasks"], gpu: bool) -> Told:
    """What `work` tells, run by torchrun in a process a device, beside the driver or in the tasks of a barrier stage.

    It has to tell the same in each: which one's answer comes back is chance. What it is given is pickled, and its
    modules are imported from what PYTHONPATH names on each machine. gpu: each process has a GPU as Spark counts them.
    Raises ConfigError where Spark knows of none that fit, ContractError where a process failed.
    """
    # It draws the driver's GPUs by a seed of its own: what else draws at random is not to notice.
    drawn = random.getstate()
    try:
        return _distributor(devices, where, gpu).run(work)  # type: ignore[no-any-return]  # what `work` tells
    except RuntimeError as failed:
        raise ContractError(
            f"Training on {devices} devices failed: expected all processes to end well, found one that did not. What "
            f"it said is in this program's output, above; mend that and run the stage again. ({failed})"
        ) from failed
    finally:
        random.setstate(drawn)


def _distributor(devices: int, where: Literal["driver", "tasks"], gpu: bool) -> Any:
    from pyspark.ml.torch.distributor import TorchDistributor

    resource = f"spark.{'driver' if where == 'driver' else 'task'}.resource.gpu.amount"
    # It counts in whole GPUs, and of too few it takes what there is.
    try:
        found = TorchDistributor(num_processes=devices, local_mode=where == "driver", use_gpu=gpu)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"Training cannot be shared out among {devices} GPUs: expected {resource} to be a whole number, found "
            f"{error}. Set it (of tasks: spark.gpu_amount_per_task: 1), or set device: cpu."
        ) from error
    if found.num_processes != devices:
        raise ConfigError(
            f"Training cannot be shared out: expected {devices} GPUs, found {found.num_processes} ({resource}). "
            "Set encoder_runs.devices to that."
        )
    return found
