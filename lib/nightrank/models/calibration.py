"""Which precision and how many threads encode fastest on this machine, and how near their vectors stay to float32's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from nightrank.errors import ConfigError
from nightrank.models.encoder import Encoder, Vectors, encoder_of
from nightrank.sections import EncoderConfig

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
LEAST_COSINE = 0.999
# Another precision is another encoder version: every text is encoded anew, and rankers are fitted anew. Less than a
# tenth would not pay for that, and may be noise.
LEAST_GAIN = 1.1
RUNS = 3
# Half precision without circuits for it is several times slower: one run tells.
HOPELESS = 2.0


@dataclass(frozen=True)
class Measured:
    """How one way to encode did.

    texts_per_second: of one core, so that ways with more threads, and so fewer tasks, compare. cosine_mean, cosine_min:
    of its vectors to float32's, over the texts.
    """

    precision: str
    threads: int
    texts_per_second: float
    cosine_mean: float
    cosine_min: float


def measured_ways(
    config: EncoderConfig, texts: Sequence[str], threads: Sequence[int], device: str = "cpu"
) -> Iterator[Measured]:
    """Each precision that the device has, with each number of threads; float32 with the first of them comes first."""
    exact = encoder_of(config.model_copy(update={"precision": "fp32"}), device)(texts)
    best = float("inf")
    for precision in PRECISIONS:
        try:
            encoder = encoder_of(config.model_copy(update={"precision": precision}), device)
        except ConfigError:  # a device without it
            continue
        for number in threads:
            seconds, vectors = _timed(encoder, texts, number, HOPELESS * best)
            best = min(best, seconds)
            cosines = np.einsum("nd,nd->n", exact.astype(np.float64), vectors.astype(np.float64))
            rate = len(texts) / seconds / number
            yield Measured(precision, number, rate, float(cosines.mean()), float(cosines.min()))


def fastest(ways: Sequence[Measured]) -> Measured:
    """The way with the most texts a second whose vectors are near enough; the first where none is faster by a tenth.

    Ties go to the one named first.
    """
    near = [way for way in ways if way.cosine_mean >= LEAST_COSINE]
    best = max(near, key=lambda way: way.texts_per_second)
    return best if best.texts_per_second >= LEAST_GAIN * ways[0].texts_per_second else ways[0]


def _timed(encoder: Encoder, texts: Sequence[str], threads: int, hopeless: float) -> tuple[float, Vectors]:
    """The median seconds of some runs after one that warms up, or of that one where it took so long; the vectors."""
    import torch

    torch.set_num_threads(threads)
    seconds: list[float] = []
    while len(seconds) <= RUNS and max(seconds, default=0.0) < hopeless:
        started = time.perf_counter()
        vectors = encoder(texts)
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:] or seconds), vectors
