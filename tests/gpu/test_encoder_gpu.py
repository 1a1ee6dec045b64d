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


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_near_and_lists_read_ahead_are_the_same(device: str, precision: str) -> None:
    texts = [" ".join(["blue trail shoe with a light mesh"] * (1 + n % 40)) for n in range(200)]
    half = load_encoder(None, 256, 1, device, "mean", precision)
    vectors = half(texts)
    assert (vectors * load_encoder(None, 256, 1)(texts)).sum(axis=1).mean() > 0.999
    lists = [texts[:50], texts[50:]]
    for part, encoded in zip(lists, half.each(lists), strict=True):
        assert encoded.vectors.tobytes() == half(part).tobytes()


def test_a_pass_that_does_not_fit_is_halved(device: str) -> None:
    """All but a tenth of a GB of the device's memory is taken: a pass of 65,536 tokens does not fit into that."""
    torch = pytest.importorskip("torch")
    encoder = load_encoder(None, 256, 1, device)
    texts = [" ".join(["blue trail shoe with a light mesh"] * 30) for _ in range(512)]
    whole = encoder(texts)
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info(device)[1]
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + 1e8) / total, device)
    try:
        np.testing.assert_allclose(encoder(texts), whole, atol=1e-4)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
