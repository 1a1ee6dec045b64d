"""A trained ranker as a value, its file, and the linear maths that every user of it shares; numpy only.

v_i    = normalised (P' e_i), e_i the encoder's vector of the item
u      = normalised (sum over k of recent_weight_k * v_recent_k), 0 without recents
         (both of tower: words; with tower: sequence they are those of towers.py, 0 without takes)
g(u,i) = a * u.v_i + sum over f of c_f * shopper_features[i, f]        (features.py, and of vectors likeness.py)
f(q,i) = sum over f of b[class, f] * engine_features[i, f]
score  = f + g
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nightrank.errors import ContractError
from nightrank.models.feature_names import ENGINE_FEATURES, SHOPPER_FEATURES, Doubles, in_order

Floats = NDArray[np.float32]

CLASSES = 3  # navigational, category, exploratory: class_index 0, 1, 2
# Sums in a matrix product depend on the shape of the batch in their last bits. Vectors are computed in float64 and
# rounded to this many decimals, so that an item has the same vector in whatever batch it is computed.
DECIMALS = 6
# A whole catalogue in float64 would be twice as large as the embeddings themselves.
_ROWS_AT_ONCE = 65_536
_METADATA = "nightrank"
_SHOPPER = "shopper_tower."


@dataclass(frozen=True)
class Ranker:
    """Everything that is needed to score with one trained ranker.

    code_version: name of tower and codebook, as `code_version` gives it.
    encoder_version: whose item vectors `projection` takes.
    tower_night: the night that tower and codebook were fitted in.
    projection: float32 [encoder dims, dims].
    codebook: float32 [levels, codes, dims].
    a: coefficient of the cosine of shopper and item, >= 0.
    shopper_coefficients: c, float64 [len(shopper_features)].
    engine_coefficients: b, float64 [3 classes, len(engine_features)]; b[:, 0], of base_score, is > 0.
    mean_shopper: mean of u over the training examples whose shopper has recents, float32 [dims].
    recent, recent_decay: how many recent items u is made of, and the weight of one against the item after it.
    tower_id: of the towers (tower_artefact.py) that items' vectors are of; None: they are projected words.
    shopper_tower: the weights of those towers that make u, by name; they are small and go with the ranker.
    """

    code_version: str
    encoder_version: str
    tower_night: date
    projection: Floats
    codebook: Floats
    a: float
    shopper_coefficients: Doubles
    engine_coefficients: Doubles
    mean_shopper: Floats
    recent: int
    recent_decay: float
    engine_features: tuple[str, ...] = ENGINE_FEATURES
    shopper_features: tuple[str, ...] = SHOPPER_FEATURES
    tower_id: str | None = None
    shopper_tower: Mapping[str, Floats] = field(default_factory=dict)


def item_vectors(ranker: Ranker, embeddings: ArrayLike) -> Floats:
    """Unit vectors of items, float32 [n, dims], from their encoder vectors [n, encoder dims]; a zero row stays zero.

    Of a ranker without towers; with them tower_artefact.tower_vectors gives them.
    """
    return project(embeddings, ranker.projection)


def project(embeddings: ArrayLike, projection: ArrayLike) -> Floats:
    """Unit rows of embeddings @ projection, float32 [n, dims]; a zero row stays zero."""
    rows, directions = np.asarray(embeddings), np.asarray(projection, np.float64)
    starts = range(0, len(rows), _ROWS_AT_ONCE) or [0]
    return np.concatenate([unit_rows(rows[at : at + _ROWS_AT_ONCE].astype(np.float64) @ directions) for at in starts])


def shopper_vector(vectors: ArrayLike, recent_index: ArrayLike, recent_weight: ArrayLike) -> Floats:
    """Unit vector of each shopper, float32 [..., dims]; zero for one without recents.

    vectors [n, dims]: item vectors. recent_index [..., L]: rows of `vectors`, -1 where padded. recent_weight [..., L].
    """
    index = np.asarray(recent_index)
    weight = np.where(index >= 0, np.asarray(recent_weight, np.float64), 0.0)
    recents = np.asarray(vectors, np.float64)[np.maximum(index, 0)]
    # einsum, not a matrix product: it adds up the recents in their order, alike for one shopper and for many.
    return unit_rows(np.einsum("...l,...ld->...d", weight, recents))


def shopper_scores(ranker: Ranker, shoppers: ArrayLike, vectors: ArrayLike, shopper_features: ArrayLike) -> Doubles:
    """g(u, i), float64 [..., K], of shoppers [..., dims], item vectors [..., K, dims], features [..., K, f]."""
    cosine = np.einsum("...d,...kd->...k", np.asarray(shoppers, np.float64), np.asarray(vectors, np.float64))
    named = np.einsum("...kf,f->...k", np.asarray(shopper_features, np.float64), ranker.shopper_coefficients)
    return np.asarray(ranker.a * cosine + named)


def engine_scores(ranker: Ranker, engine_features: ArrayLike, class_index: ArrayLike) -> Doubles:
    """f(q, i), float64 [..., K], of engine features [..., K, f] and the class index [...] of each query."""
    coefficients = ranker.engine_coefficients[np.asarray(class_index)]
    return np.asarray(np.einsum("...kf,...f->...k", np.asarray(engine_features, np.float64), coefficients))


def code_version(projection: ArrayLike, codebook: ArrayLike) -> str:
    """`c` and ten hex digits that name a tower and its codebook: what the shop's index tokens speak of."""
    content = b"".join(np.ascontiguousarray(part, "<f4").tobytes() for part in (projection, codebook))
    return "c" + hashlib.sha256(content).hexdigest()[:10]


def save_ranker(ranker: Ranker, path: str | Path) -> str:
    """The ranker's id, sha256 of the safetensors file that is written; equal rankers give equal bytes.

    Raises ContractError where a number is not finite or a shape is off.
    """
    from safetensors.numpy import save

    refuse_unusable(ranker, str(path))
    tensors = {name: np.ascontiguousarray(getattr(ranker, name), kind) for name, kind in _TENSORS.items()}
    tensors |= {f"{_SHOPPER}{name}": np.asarray(w, "<f4", order="C") for name, w in ranker.shopper_tower.items()}
    # One metadata key: safetensors writes several in no fixed order.
    content = save(tensors, metadata={_METADATA: json.dumps(_names(ranker), sort_keys=True)})
    Path(path).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def load_ranker(path: str | Path, expected_sha256: str) -> Ranker:
    """The ranker in a safetensors file.

    Raises ContractError where the file is not there, is not the expected one, or does not hold a usable ranker.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ContractError(f"Ranker {expected_sha256} cannot be read from {path}: {error.strerror}.") from None
    return ranker_from(content, expected_sha256, str(path))


def ranker_from(content: bytes, expected_sha256: str, called: str) -> Ranker:
    """The ranker in the bytes of a safetensors file; ContractError as `load_ranker`, naming `called`.

    One of an older program has coefficients 0 for the features that it did not know.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    found = hashlib.sha256(content).hexdigest()
    if found != expected_sha256:
        raise ContractError(
            f"Ranker file {called} cannot be used: expected sha256 {expected_sha256}, found {found}: it was cut short "
            "or changed. Restore it from MLflow, or run the stage ranker_runs again."
        )
    try:
        ranker = _from_parts(_metadata(content), load(content))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ContractError(f"File {called} is not a ranker of this program: {type(error).__name__} {error}.") from None
    refuse_unusable(ranker, called)
    return ranker


def refuse_unusable(ranker: Ranker, called: str) -> None:
    """Raises ContractError where a shape does not fit, a number is not finite, or a sign is against the maths."""
    dims, codebook = ranker.projection.shape[-1], ranker.codebook.shape
    shapes = {
        "projection": (ranker.projection.shape[0], dims),
        "codebook": (*codebook[:2], dims),
        "shopper_coefficients": (len(ranker.shopper_features),),
        "engine_coefficients": (CLASSES, len(ranker.engine_features)),
        "mean_shopper": (dims,),
    }
    wrong = [
        f"{name}: expected shape {list(shape)}, found {list(getattr(ranker, name).shape)}"
        for name, shape in shapes.items()
        if getattr(ranker, name).shape != shape
    ]
    wrong += [f"{name}: not finite" for name in _NUMBERS if not np.isfinite(getattr(ranker, name)).all()]
    wrong += [f"{_SHOPPER}{name}: not finite" for name, w in ranker.shopper_tower.items() if not np.isfinite(w).all()]
    if (ranker.tower_id is None) == bool(ranker.shopper_tower):
        wrong.append("expected tower_id and shopper_tower both or neither")
    if not wrong and not (ranker.a >= 0 and (ranker.engine_coefficients[:, 0] > 0).all()):
        wrong = ["expected a >= 0 and coefficients of base_score > 0"]
    if wrong:
        raise ContractError(f"Ranker {called} cannot be used: {'; '.join(wrong)}. Train it again (stage ranker_runs).")


_TENSORS = {
    "projection": "<f4",
    "codebook": "<f4",
    "shopper_coefficients": "<f8",
    "engine_coefficients": "<f8",
    "mean_shopper": "<f4",
}
_NUMBERS = (*_TENSORS, "a", "recent_decay")


def _names(ranker: Ranker) -> dict[str, Any]:
    tower = {} if ranker.tower_id is None else {"tower_id": ranker.tower_id}
    return {
        **tower,
        "code_version": ranker.code_version,
        "encoder_version": ranker.encoder_version,
        "tower_night": ranker.tower_night.isoformat(),
        "a": ranker.a,
        "recent": ranker.recent,
        "recent_decay": ranker.recent_decay,
        "engine_features": list(ranker.engine_features),
        "shopper_features": list(ranker.shopper_features),
    }


def _metadata(content: bytes) -> dict[str, Any]:
    # The file's layout: the header's length in 8 bytes, then the header as JSON.
    length = int.from_bytes(content[:8], "little")
    names: dict[str, Any] = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_METADATA])
    return names


def _from_parts(names: dict[str, Any], tensors: dict[str, Any]) -> Ranker:
    engine, shopper = names.pop("engine_features"), names.pop("shopper_features")
    tensors["engine_coefficients"] = in_order(tensors["engine_coefficients"], engine, ENGINE_FEATURES)
    tensors["shopper_coefficients"] = in_order(tensors["shopper_coefficients"], shopper, SHOPPER_FEATURES)
    return Ranker(
        **{**names, "tower_night": date.fromisoformat(names["tower_night"])},
        **{name: tensors[name] for name in _TENSORS},
        shopper_tower={name.removeprefix(_SHOPPER): tensors[name] for name in sorted(tensors) if _SHOPPER in name},
    )


def unit_rows(rows: Doubles) -> Floats:
    """The rows [..., dims] divided by their lengths and rounded, float32; a zero row stays zero."""
    norms = np.sqrt(np.einsum("...d,...d->...", rows, rows))[..., None]
    unit: Floats = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0).round(DECIMALS).astype(np.float32)
    return unit
