"""The pure parts of `make bench-encode`: which texts, how much arithmetic they are, ratios over turns."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from bench_encode import flops_of, product_texts, ratio

from nightrank.models.encoder import load_encoder

CSV = """"upc","name","manufacturer","short_description","long_description"
"1","Lamp","Maker", ,"Warm light"
"2","Shoe", , ,
"3","Shoe", , ,
"4","Apple CD","Label","Short","Long"
"""


def test_texts_are_distinct_sorted_and_spread(tmp_path: Path) -> None:
    path = tmp_path / "products.tgz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("products.csv")
        entry.size = len(CSV)
        archive.addfile(entry, io.BytesIO(CSV.encode()))
    texts = ["Apple CD. Label. Short. Long", "Lamp. Maker. Warm light", "Shoe"]
    assert product_texts(path, 0) == texts
    assert product_texts(path, 2) == texts[:2]
    assert product_texts(path, 9) == texts


def test_arithmetic_is_that_of_linear_layers_and_attention(tiny_bert: Path) -> None:
    """Two layers of 16 dims and 32 inside, 4 × 16² + 2 × 16 × 32 weights each; attention is 4 × 16 a pair of tokens."""
    weights = 2 * (4 * 16**2 + 2 * 16 * 32)
    found = flops_of(load_encoder(str(tiny_bert), 32, 1), [3, 5])
    assert found == pytest.approx(2 * weights * 8 + 2 * 4 * 16 * (3**2 + 5**2))


def test_a_ratio_is_the_median_of_turns() -> None:
    assert ratio([2.0, 9.0, 4.0], [1.0, 1.0, 1.0]) == 4.0
