"""The texts of real products, and their vectors by the embedded encoder, which are kept: encoding takes minutes."""

from __future__ import annotations

import csv
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from figures import FOLDER
from numpy.typing import NDArray

from nightrank.models.encoder import encoder_version, load_encoder
from nightrank.sections import EncoderConfig

PRODUCTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "retrotech_products" / "products.tgz"
TEXTS_AT_ONCE = 512
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Products:
    """Products in the order of the file: what is encoded of each, its maker ('' unknown), its unit vector."""

    texts: tuple[str, ...]
    makers: NDArray[np.str_]
    vectors: Floats


def products(most: int) -> Products:
    """So many of the products, evenly taken from the whole file, with vectors."""
    rows = product_rows()
    rows = rows[:: max(1, len(rows) // most)][:most]
    texts = tuple(_text(row) for row in rows)
    makers = np.array([row["manufacturer"].strip() for row in rows], dtype=np.str_)
    return Products(texts, makers, _vectors(texts))


def product_rows(path: Path = PRODUCTS) -> list[dict[str, str]]:
    """Every product, in the order of the file: its columns as texts."""
    with tarfile.open(path) as packed:
        opened = packed.extractfile("products.csv")
        assert opened is not None
        text = io.TextIOWrapper(opened, encoding="utf-8", newline="")
        return list(csv.DictReader(text, skipinitialspace=True))


def _text(row: dict[str, str]) -> str:
    parts = (row[name].strip() for name in ("name", "manufacturer", "short_description"))
    return ". ".join(part for part in parts if part)


def _vectors(texts: tuple[str, ...]) -> Floats:
    """float32 [texts, dims], from build/bench where this encoder has encoded as many before."""
    settings = EncoderConfig()
    kept = FOLDER / f"retrotech_{encoder_version(settings)}_{len(texts)}.npy"
    if not kept.exists():
        encode = load_encoder(settings.model, settings.max_tokens, settings.threads)
        parts = [encode(list(texts[at : at + TEXTS_AT_ONCE])) for at in range(0, len(texts), TEXTS_AT_ONCE)]
        FOLDER.mkdir(parents=True, exist_ok=True)
        np.save(kept, np.concatenate(parts))
    return np.load(kept)
