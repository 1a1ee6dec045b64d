"""make bench-codes: what codes and int8 lose of real products' vectors, and how fast exact neighbours are found.

Vectors are those of the embedded encoder as they are (`raw`, 384 dims) and of a tower of the catalogue's 64 main
directions (`tower`). Codebooks are fitted to three quarters of the items; the others are new to them. TEXTS=n: so many
products.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from figures import say_figures
from numpy.typing import NDArray
from retrotech_products import Products, products

from nightrank.models.artefact import project
from nightrank.models.codebook import assign_codes, decode, fit_codebook
from nightrank.models.coding import coding, drift
from nightrank.models.int8 import from_int8, to_int8
from nightrank.models.nearest import nearest
from nightrank.models.training import first_projection

TEXTS = int(os.environ.get("TEXTS", "5000"))
SHAPES = ((1, 64), (2, 32), (4, 16), (3, 256))
TOWER_DIMS, SEED, TOP = 64, 7, 10
USERS, OWN_ITEMS, SLATE = 500, 5, 24
NEAR_ITEMS, NEAR_QUERIES, BLOCK, RUNS = 200_000, 512, 8192, 3
Floats = NDArray[np.float32]


def every_fourth(count: int) -> NDArray[np.bool_]:
    """Which items no codebook is fitted to."""
    return np.arange(count) % 4 == 3


def made_users(vectors: Floats) -> Floats:
    """Unit vectors of shoppers: each the mean of an item and of those of its 50 nearest that were drawn."""
    random = np.random.default_rng(SEED)
    firsts = random.choice(len(vectors), USERS, replace=False)
    near = nearest(vectors[firsts], vectors, k=50).rows
    own = np.stack([random.permutation(row)[:OWN_ITEMS] for row in near])
    means = vectors[own].mean(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def top_overlap(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """The mean share of one's rows that are among the other's."""
    return float(np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in zip(one, other, strict=True)]))


def kendall(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Kendall's tau-b of two scorings [slates, K], mean over slates."""
    signs = [np.sign(scores[:, :, None] - scores[:, None, :]) for scores in (one, other)]
    both = (signs[0] * signs[1]).sum(axis=(1, 2))
    return float((both / np.sqrt(np.abs(signs[0]).sum(axis=(1, 2)) * np.abs(signs[1]).sum(axis=(1, 2)))).mean())


def code_losses(name: str, vectors: Floats) -> Iterator[tuple[str, float]]:
    """Of each shape: the share of variance lost, on fitted and new items; how far rankings by codes are the same."""
    new = every_fourth(len(vectors))
    users = made_users(vectors)
    slates = np.random.default_rng(SEED).integers(0, len(vectors), (USERS, SLATE))
    exact = nearest(users, vectors, TOP).rows
    for levels, codes in SHAPES:
        started = time.process_time()
        book = fit_codebook(vectors[~new], None, levels, codes, SEED)
        shape = f"{name}_{levels}x{codes}"
        yield f"fit_cpu_seconds_{shape}", time.process_time() - started
        yield f"lost_{shape}", 1 - coding(vectors[~new], book).explained
        yield f"lost_new_{shape}", 1 - coding(vectors[new], book).explained
        coded = decode(assign_codes(vectors, book), book).astype(np.float32)
        yield f"top10_{shape}", top_overlap(exact, nearest(users, coded, TOP).rows)
        of_slates = (np.einsum("ud,ukd->uk", users, kind[slates]) for kind in (vectors, coded))
        yield f"tau_{shape}", kendall(*(scores.astype(np.float64).round(6) for scores in of_slates))


def int8_top(vectors: Floats) -> float:
    """top-10 agreement of int8 vectors with float32 ones, each of 1,000 items asking for its neighbours."""
    asking = vectors[:: max(1, len(vectors) // 1000)]
    small = [from_int8(to_int8(part)) for part in (asking, vectors)]
    return top_overlap(nearest(asking, vectors, TOP).rows, nearest(*small, TOP).rows)


def drift_of_new_makers(found: Products, vectors: Floats) -> float:
    """By which share the error of items is larger where no item of their maker was there when codes were fitted."""
    named = sorted(set(found.makers) - {""})
    new = np.isin(found.makers, named[::5])
    book = fit_codebook(vectors[~new], None, 2, 32, SEED)
    return drift(coding(vectors[new], book).error, coding(vectors[~new], book).error)


def cpu_seconds(act: Callable[[], object]) -> float:
    """CPU seconds of all threads: what other programs take meanwhile does not count."""
    started = time.process_time()
    act()
    return time.process_time() - started


def gemm_share(vectors: Floats) -> Iterator[tuple[str, float]]:
    """nearest's rate as a share of what the same products alone reach, on 200,000 items like the real ones."""
    random = np.random.default_rng(SEED)
    items = vectors[random.integers(0, len(vectors), NEAR_ITEMS)]
    items += random.standard_normal(items.shape, np.float32) * np.float32(0.3 / np.sqrt(items.shape[1]))
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    queries = items[:NEAR_QUERIES]
    one, other = torch.from_numpy(queries), torch.from_numpy(items[:BLOCK])
    flop = 2 * items.shape[1] * NEAR_QUERIES
    alone, whole = [], []
    for _ in range(RUNS):  # in turns, so that both meet the same neighbours on the machine; the best of each
        alone.append(cpu_seconds(lambda: torch.mm(one, other.T)))
        whole.append(cpu_seconds(lambda: nearest(queries, items, TOP, BLOCK)))
    yield "gemm_gflops", flop * BLOCK / min(alone) / 1e9
    yield "nearest_gflops", flop * NEAR_ITEMS / min(whole) / 1e9
    yield "gemm_share", NEAR_ITEMS / BLOCK * min(alone) / min(whole)


def main() -> None:
    """The figures of TEXTS products."""
    found = products(TEXTS)
    tower = project(found.vectors, first_projection(found.vectors, TOWER_DIMS))
    figures: dict[str, float | int] = {"texts": len(found.texts)}
    for name, vectors in (("raw", found.vectors), ("tower", tower)):
        figures |= dict(code_losses(name, vectors))
        figures[f"int8_top10_{name}"] = int8_top(vectors)
        figures[f"drift_new_makers_{name}"] = drift_of_new_makers(found, vectors)
    for name, vectors in (("raw", found.vectors), ("tower", tower)):
        figures |= {f"{key}_{name}": value for key, value in gemm_share(vectors)}
    say_figures("codes", figures)


if __name__ == "__main__":
    main()
