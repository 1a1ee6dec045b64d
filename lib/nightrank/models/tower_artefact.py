"""Trained towers as a value, their file, and the vectors that they give items; numpy only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nightrank.errors import ContractError
from nightrank.models.artefact import Floats, unit_rows
from nightrank.models.catalogue import positions

_SHOPPER = "shopper."
_OF_IMAGES = {"image_centre", "image_projection", "image_gate"}
_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Images:
    """The images of some of n items. rows: int64 [m] rising, which items have one. vectors: float32 [m, image dims]."""

    rows: NDArray[np.int64]
    vectors: Floats

    def within(self, part: slice) -> Images:
        """Those of the items of a part, numbered within it."""
        first, last = np.searchsorted(self.rows, (part.start, part.stop))
        return Images(self.rows[first:last] - part.start, self.vectors[first:last])

    def among(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
        """Which of these rows have an image, [k] positions among them, and the images, [k, image dims]."""
        own = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        at = np.flatnonzero(self.rows[own] == rows)
        return at, self.vectors[own[at]]


def _no_image() -> Floats:
    return np.zeros(0, np.float32)


@dataclass(frozen=True)
class Towers:
    """Everything that is needed to give items and shoppers their vectors.

    item_ids: [n] sorted text: the items that the fit knew. ids: float32 [n, dims], a row an item. bias: float32 [n].
    takes: float32 [n], of each item in what was learned from. centre: float32 [encoder dims]. projection: float32
    [encoder dims, dims]. shopper: the weights of towers.ShopperTower by name.
    image_centre: float32 [image dims]; image_projection: float32 [image dims, dims]; image_gate: float32 [1], in
    (-1, 1); all three empty, and not in the file, where the fit saw no image.
    """

    item_ids: NDArray[np.str_]
    ids: Floats
    bias: Floats
    takes: Floats
    centre: Floats
    projection: Floats
    shopper: Mapping[str, Floats] = field(default_factory=dict)
    image_centre: Floats = field(default_factory=_no_image)
    image_projection: Floats = field(default_factory=_no_image)
    image_gate: Floats = field(default_factory=_no_image)


def tower_vectors(
    towers: Towers, item_ids: NDArray[np.str_], embeddings: ArrayLike, images: Images | None = None
) -> Floats:
    """Unit vectors of items, float32 [n, dims], from their ids [n], encoder vectors [n, encoder dims] and images.

    An item that the fit did not know has its text and its image alone, one without an image what it would have if there
    were no images at all. Computed in float64 and rounded, as artefact.project does.
    """
    text, rows = np.asarray(embeddings), positions(towers.item_ids, np.asarray(item_ids, np.str_))
    starts = range(0, len(text), _ROWS_AT_ONCE) or [0]
    parts = (slice(start, start + _ROWS_AT_ONCE) for start in starts)
    return np.concatenate([row_vectors(towers, rows[at], text[at], images and images.within(at)) for at in parts])


def row_vectors(
    towers: Towers, rows: NDArray[np.int64], text: NDArray[np.floating], images: Images | None = None
) -> Floats:
    """The same by the items' rows in the towers, [n]; -1: the fit did not know the item."""
    projected = (text.astype(np.float64) - towers.centre.astype(np.float64)) @ towers.projection.astype(np.float64)
    known = rows >= 0
    projected[known] += towers.ids[rows[known]].astype(np.float64)
    if images is not None and len(images.rows) and image_dims(towers):
        seen = images.vectors.astype(np.float64) - towers.image_centre.astype(np.float64)
        projected[images.rows] += float(towers.image_gate[0]) * (seen @ towers.image_projection.astype(np.float64))
    return unit_rows(projected)


def biases_of(towers: Towers, item_ids: NDArray[np.str_]) -> NDArray[np.float64]:
    """b of each item, [n]: about the log of its share of all takes; unknown to the fit: that of an item without any."""
    rows = positions(towers.item_ids, np.asarray(item_ids, np.str_))
    untaken = -np.log(float(towers.takes.sum(dtype=np.float64)) + len(towers.takes))
    return np.where(rows >= 0, towers.bias[rows].astype(np.float64), untaken)


def takes_of(towers: Towers, item_ids: NDArray[np.str_]) -> NDArray[np.float64]:
    """How often each item was taken in what the towers were learned from, [n]; 0 where the fit did not know it."""
    rows = positions(towers.item_ids, np.asarray(item_ids, np.str_))
    found = np.zeros(len(rows))
    found[rows >= 0] = towers.takes[rows[rows >= 0]]
    return found


def image_dims(towers: Towers) -> int:
    """How long an image vector these towers read; 0: they read none."""
    return len(towers.image_centre)


def longest_of(shopper: Mapping[str, Floats]) -> int:
    """How many takes the shopper tower with these weights reads."""
    return len(shopper["position.weight"])


def towers_content(towers: Towers) -> tuple[str, bytes]:
    """The towers' id, the sha256 of their file, and the bytes of the file, safetensors. Equal towers: equal bytes.

    Raises ContractError where a number is not finite or a shape is off.
    """
    from safetensors.numpy import save

    refuse_unusable_towers(towers, "to be kept")
    content: bytes = save(_tensors(towers))
    return hashlib.sha256(content).hexdigest(), content


def towers_from(content: bytes, expected_sha256: str, called: str) -> Towers:
    """The towers in the bytes of a file. Raises ContractError where it is not the expected one or not usable."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    found = hashlib.sha256(content).hexdigest()
    if found != expected_sha256:
        raise ContractError(
            f"Tower file {called} cannot be used: expected sha256 {expected_sha256}, found {found}: it was cut short "
            "or changed. Restore it, or run the stage ranker_runs with ranker_runs.codebook_every: 1."
        )
    try:
        towers = _from_tensors(load(content))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ContractError(f"File {called} holds no towers of this program: {type(error).__name__} {error}.") from None
    refuse_unusable_towers(towers, called)
    return towers


def refuse_unusable_towers(towers: Towers, called: str) -> None:
    """Raises ContractError where a shape does not fit, ids are not sorted, or a number is not finite."""
    items, (encoder_dims, dims) = len(towers.item_ids), towers.projection.shape
    shapes = {"ids": (items, dims), "bias": (items,), "takes": (items,), "centre": (encoder_dims,)}
    if seen := image_dims(towers):
        shapes |= {"image_projection": (seen, dims), "image_gate": (1,)}
    wrong = [
        f"{name}: expected shape {list(shape)}, found {list(getattr(towers, name).shape)}"
        for name, shape in shapes.items()
        if getattr(towers, name).shape != shape
    ]
    numbers = {name: getattr(towers, name) for name in (*shapes, "projection", "image_centre")}
    numbers |= {f"{_SHOPPER}{name}": values for name, values in towers.shopper.items()}
    wrong += [f"{name}: not finite" for name, values in numbers.items() if not np.isfinite(values).all()]
    if not bool(np.all(towers.item_ids[1:] > towers.item_ids[:-1])):
        wrong.append("item_ids: expected sorted and distinct")
    if wrong:
        raise ContractError(f"Towers {called} cannot be used: {'; '.join(wrong)}. Fit them again (stage ranker_runs).")


def _tensors(towers: Towers) -> dict[str, NDArray[np.generic]]:
    encoded = [item_id.encode() for item_id in towers.item_ids.tolist()]
    tensors: dict[str, NDArray[np.generic]] = {
        "item_id_bytes": np.frombuffer(b"".join(encoded), np.uint8),
        "item_id_ends": np.cumsum([len(one) for one in encoded], dtype=np.int64),
    }
    left_out = {"item_ids", "shopper"} | (set() if image_dims(towers) else _OF_IMAGES)
    numbers = {f.name: getattr(towers, f.name) for f in fields(Towers) if f.name not in left_out}
    numbers |= {f"{_SHOPPER}{name}": towers.shopper[name] for name in sorted(towers.shopper)}
    # Not ascontiguousarray, which would make a list of one of a single number.
    return tensors | {name: np.asarray(values, "<f4", order="C") for name, values in numbers.items()}


def _from_tensors(tensors: dict[str, NDArray[np.generic]]) -> Towers:
    text, ends = tensors.pop("item_id_bytes").tobytes(), tensors.pop("item_id_ends").tolist()
    item_ids = [text[start:end].decode() for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    shopper = {name.removeprefix(_SHOPPER): tensors.pop(name) for name in sorted(tensors) if name.startswith(_SHOPPER)}
    return Towers(item_ids=np.array(item_ids, np.str_), shopper=shopper, **tensors)  # type: ignore[arg-type]  # float32
