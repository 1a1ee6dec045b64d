"""Two tasks share a made-up GPU of a real executor: what Spark grants, what a task makes of it, what is encoded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: a session of another master cannot stand beside the tests' one.
SCRIPT = """
import json, sys, time
import pyarrow
from nightrank.models.encoder import encoder_version
from nightrank.sections import EncoderConfig, SparkConfig
from nightrank.session import build_session
from nightrank.steps.encoding import encode_texts

model, script = sys.argv[1:]
found = {"amount": "1", "discoveryScript": script}
granted = {f"spark.{who}.resource.gpu.{key}": value for who in ("worker", "executor") for key, value in found.items()}
spark = build_session(SparkConfig(
    master="local-cluster[1,2,1024]", local_settings=True, gpu_amount_per_task=0.5, shuffle_partitions=2,
    settings=granted,
))

def devices(rows):
    import torch
    from nightrank.steps.gpu import task_device
    seen, asked = task_device(), torch.cuda.is_available
    for _ in rows:
        started = time.time()
        time.sleep(2)
        torch.cuda.is_available = lambda: True
        told = (started, time.time(), task_device(), seen)
        torch.cuda.is_available = asked  # the worker's next task is asked again
        yield pyarrow.RecordBatch.from_arrays([pyarrow.array([n]) for n in told], ["started", "ended", "gpu", "here"])

encoder = EncoderConfig(model=model, max_tokens=32, tasks=4, tokens_per_batch=20, buckets=2)
texts = spark.createDataFrame([(f"k{n}", "red shoe " * (n % 3)) for n in range(12)], "key string, text string")
rows = encode_texts(texts, "key", encoder, encoder_version(encoder)).orderBy("key").collect()
tasks = spark.range(0, 4, numPartitions=4).mapInArrow(devices, "started double, ended double, gpu string, here string")
print(json.dumps({"rows": [[row.key, row.tokens, len(row.vector)] for row in rows],
                  "tasks": [list(row) for row in tasks.collect()]}))
"""


@pytest.mark.long
def test_two_tasks_share_a_gpu_that_spark_was_told_of(tiny_bert: Path, tmp_path: Path) -> None:
    script = tmp_path / "gpus.sh"
    script.write_text("""#!/bin/sh\necho '{"name": "gpu", "addresses": ["7"]}'\n""")
    script.chmod(0o755)
    command = [sys.executable, "-c", SCRIPT, str(tiny_bert), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["rows"] == [[key, 2 + 2 * (n % 3), 16] for n, key in sorted(
        ((n, f"k{n}") for n in range(12)), key=lambda row: row[1])]  # fmt: skip
    started, ended, gpu, here = zip(*found["tasks"], strict=True)
    assert set(gpu) == {"cuda:7"}
    assert set(here) == {"cpu"}  # where torch sees no GPU
    first, second = sorted(zip(started, ended, strict=True))[:2]
    assert second[0] < first[1]
