"""The encoder on a real GPU."""

from __future__ import annotations

import numpy as np
import pytest

from nightrank.models.encoder import load_encoder

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def device() -> str:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("NOT RUN: torch sees no GPU on this machine, so nothing was shown about encoding on one")
    return "cuda:0"


def test_a_gpu_gives_the_vectors_of_the_cpu_and_the_same_bits_each_time(device: str) -> None:
    texts = [" ".join(["blue trail shoe with a light mesh"] * (1 + n % 40)) for n in range(200)] + [""]
    on_cpu, on_gpu = load_encoder(None, 256, 1), load_encoder(None, 256, 1, device)
    vectors = on_gpu(texts)
    np.testing.assert_allclose(vectors, on_cpu(texts), atol=1e-4)
    assert vectors.tobytes() == on_gpu(texts).tobytes()
