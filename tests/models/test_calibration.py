"""The choice of a precision: what is measured, and that near vectors come before speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightrank.models.calibration import Measured, fastest, measured_ways
from nightrank.sections import EncoderConfig

EXACT = Measured("fp32", 1, 100.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([], 0),
        ([Measured("bf16", 1, 109.0, 0.9999, 0.999)], 0),  # not faster by a tenth
        ([Measured("bf16", 1, 111.0, 0.9999, 0.999)], 1),
        ([Measured("bf16", 1, 200.0, 0.999, 0.9), Measured("int8", 1, 300.0, 0.9989, 0.99)], 1),
        ([Measured("bf16", 1, 200.0, 0.9999, 0.999), Measured("bf16", 2, 200.0, 0.9999, 0.999)], 1),
        ([Measured("fp32", 2, 120.0, 1.0, 1.0), Measured("fp16", 1, 0.5, 1.0, 1.0)], 1),
    ],
)
def test_the_fastest_that_is_near_enough_and_pays(others: list[Measured], chosen: int) -> None:
    ways = [EXACT, *others]
    assert fastest(ways) == ways[chosen]


def test_each_way_is_measured_against_float32(tiny_bert: Path) -> None:
    config = EncoderConfig(model=str(tiny_bert), max_tokens=32, precision="bf16")
    ways = list(measured_ways(config, ["red shoe", "a warm lamp", ""], (1, 2)))
    assert [(way.precision, way.threads) for way in ways] == [
        (precision, threads) for precision in ("fp32", "bf16", "fp16", "int8") for threads in (1, 2)
    ]
    assert ways[0].cosine_min == pytest.approx(1.0, abs=1e-6)
    assert all(0.98 < way.cosine_min <= way.cosine_mean < 1 + 1e-6 and way.texts_per_second > 0 for way in ways)
    assert ways[2].cosine_min < ways[0].cosine_min - 1e-9
