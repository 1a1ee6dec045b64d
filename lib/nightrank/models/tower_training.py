"""Training the towers: which item each shopper takes next, by a sampled softmax corrected for its sampling.

Sequences come as tower_sequences.py says. Blocks of the stream are shuffled by (seed, epoch, block) and cut into
batches of like length. The same rows, items and settings give the same bits, whether a run was interrupted or not.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.artefact import Floats
from nightrank.models.batches import Pass
from nightrank.models.catalogue import positions
from nightrank.models.checkpoints import Progress, agreed_checkpoint, moments_of, restore_moments, save_checkpoint
from nightrank.models.lazy_decay import LazyDecay
from nightrank.models.sampled_softmax import log_popularity
from nightrank.models.team import ALONE, Team
from nightrank.models.tower_artefact import Images, Towers, image_dims, towers_content
from nightrank.models.tower_loss import Doubles, Fitting, loss_of
from nightrank.models.tower_sequences import Overview, action_weights, batches, overview
from nightrank.models.towers import ItemTower, ShopperTower
from nightrank.models.training import deterministic
from nightrank.sections import RankerRunsConfig

_LONGEST_STEP = 5.0
# Of names of checkpoints: the lease lets one run fit towers at a time, so that what begins so is its own or left over.
CHECKPOINTS = "towers-"


def train_towers(
    sequences: Pass,
    item_ids: NDArray[np.str_],
    embeddings: Floats,
    settings: RankerRunsConfig,
    start: Towers | None = None,
    images: Images | None = None,
    team: Team = ALONE,
    lake: Config | None = None,
) -> tuple[Towers, list[float]]:
    """The towers after the last epoch, and the mean loss of each epoch.

    item_ids [n] sorted, embeddings [n, encoder dims]: the catalogue, rows by item_index; images: those of its items.
    start: towers that it begins from, as far as they fit. lake: where each epoch's checkpoint goes, which a run on the
    same input goes on from; who has kept the towers drops CHECKPOINTS. Raises ContractError where nobody has taken two
    items or the loss is not a number.
    """
    known = overview(sequences, len(item_ids), settings.sequence)
    if not known.batches:
        raise ContractError("Towers cannot be trained: expected shoppers with two takes or more, found none.")
    with deterministic(settings.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        items, shoppers = _modules(embeddings, images, known.takes, settings)
        if start is not None:
            _begin_from(start, items, shoppers, item_ids)
        shoppers.action_weights.copy_(torch.from_numpy(action_weights(known.actions, settings.sequence)))
        text, sizes = torch.from_numpy(embeddings), settings.sequence
        decay = LazyDecay(items.ids.weight, sizes.id_decay)
        fitting = Fitting(items, shoppers, text, images, known.takes, sizes, settings.seed, known.batches, decay, team)
        place = (lake, _checkpoint_name(known, item_ids, embeddings, settings, start, images)) if lake else None
        losses = _fit(fitting, sequences, place)
        return _kept(items, shoppers, item_ids, known.takes), losses


def _checkpoint_name(
    known: Overview,
    item_ids: NDArray[np.str_],
    embeddings: Floats,
    settings: RankerRunsConfig,
    start: Towers | None,
    images: Images | None,
) -> str:
    """The same for the same input alone. The number of threads is left out: it changes no more than last bits."""
    said = [known.digest, settings.sequence.model_dump_json(), repr((settings.dims, settings.seed, settings.devices))]
    told = hashlib.sha256("\n".join([*said, *item_ids.tolist()]).encode())
    for numbers in (embeddings, *((images.rows, images.vectors) if images else ())):
        told.update(np.ascontiguousarray(numbers).data)
    if start is not None:
        told.update(towers_content(start)[0].encode())
    return f"{CHECKPOINTS}{told.hexdigest()[:16]}"


def _modules(
    embeddings: Floats, images: Images | None, takes: Doubles, settings: RankerRunsConfig
) -> tuple[ItemTower, ShopperTower]:
    sizes = settings.sequence
    centre = embeddings.mean(axis=0, dtype=np.float64)
    image_centre = None if images is None else images.vectors.mean(axis=0, dtype=np.float64)
    items = ItemTower(centre, log_popularity(takes), settings.dims, image_centre)
    tower = ShopperTower(settings.dims, sizes.layers, sizes.heads, sizes.width, sizes.longest, sizes.dropout)
    return items.train(), tower.train()


def _begin_from(start: Towers, items: ItemTower, shoppers: ShopperTower, item_ids: NDArray[np.str_]) -> None:
    """Puts the weights of `start` into towers of the same sizes: of the items that it knew, and all the shopper's."""
    own = shoppers.state_dict()
    given = {name: torch.tensor(np.asarray(values)) for name, values in start.shopper.items()}
    if start.projection.T.shape != items.projection.weight.shape or _shapes(given) != _shapes(own):
        return
    shoppers.load_state_dict(given)
    rows = positions(start.item_ids, item_ids)
    with torch.no_grad():
        items.projection.weight.copy_(torch.from_numpy(start.projection.T.copy()))
        items.ids.weight[rows >= 0] = torch.from_numpy(start.ids[rows[rows >= 0]])
        if image_dims(start) and items.image_dims() == image_dims(start):
            items.image_projection.weight.copy_(torch.from_numpy(start.image_projection.T.copy()))
            items.open_gate(torch.from_numpy(start.image_gate))


def _shapes(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(values.shape) for name, values in weights.items()}


def _fit(fitting: Fitting, sequences: Pass, place: tuple[Config, str] | None) -> list[float]:
    """The mean loss of each epoch; the learning rate falls to 0 in equal steps. place: of checkpoints, with a name."""
    settings, optimisers, weights = fitting.settings, _optimisers(fitting), _weights(fitting)
    progress = agreed_checkpoint(*place, fitting.team) if place else None
    if progress:
        _go_on(weights, optimisers, progress)
    curves = progress.curves if progress else ()
    for epoch in range(len(curves) + 1, settings.epochs + 1):
        # So that an epoch's dropout does not depend on where the run began.
        torch.manual_seed(int(np.random.SeedSequence((fitting.seed, epoch)).generate_state(1)[0]))
        curves = (*curves, {"train_loss": _train_epoch(fitting, optimisers, sequences, epoch)})
        if place and fitting.team.rank == 0:
            moments = {key: own for each in optimisers for key, own in moments_of(each, weights).items()}
            save_checkpoint(*place, Progress(epoch, weights, moments, curves))
    return [figures["train_loss"] for figures in curves]


def _optimisers(fitting: Fitting) -> tuple[torch.optim.Optimizer, ...]:
    """Of ids and biases, of which a step changes its batch's rows, and of the rest."""
    settings, items = fitting.settings, fitting.items
    dense = [*items.dense_weights(), *fitting.shoppers.parameters()]
    return (
        torch.optim.SparseAdam([items.ids.weight, items.bias.weight], lr=settings.learning_rate),
        torch.optim.AdamW(dense, lr=settings.learning_rate, weight_decay=settings.weight_decay),
    )


def _weights(fitting: Fitting) -> dict[str, Tensor]:
    """All that is learned, by name."""
    of_items = {f"items.{name}": own for name, own in fitting.items.named_parameters()}
    return of_items | {f"shoppers.{name}": own for name, own in fitting.shoppers.named_parameters()}


def _go_on(weights: dict[str, Tensor], optimisers: tuple[torch.optim.Optimizer, ...], progress: Progress) -> None:
    with torch.no_grad():
        for name, values in progress.weights.items():
            weights[name].copy_(values)
    for optimiser in optimisers:
        own = {id(one) for group in optimiser.param_groups for one in group["params"]}
        trained = {name: values for name, values in weights.items() if id(values) in own}
        of_these = {key: values for key, values in progress.moments.items() if key.rpartition("/")[0] in trained}
        restore_moments(optimiser, trained, of_these)


def _train_epoch(fitting: Fitting, optimisers: tuple[torch.optim.Optimizer, ...], sequences: Pass, epoch: int) -> float:
    """The epoch's mean loss."""
    settings, losses = fitting.settings, []
    sparse, dense = ([own for group in each.param_groups for own in group["params"]] for each in optimisers)
    steps = fitting.batches * settings.epochs
    for number, columns in enumerate(batches(sequences, settings, fitting.seed, epoch)):
        step = (epoch - 1) * fitting.batches + number
        rate = settings.learning_rate * (1 - step / steps)
        _pace(optimisers, rate)
        loss = loss_of(fitting, columns, np.random.default_rng((fitting.seed, epoch, number)))
        losses.append(_finite(fitting.team.mean(loss.item()), epoch))
        loss.backward()
        fitting.team.average([*dense, *sparse])
        torch.nn.utils.clip_grad_norm_(dense, _LONGEST_STEP)
        for optimiser in optimisers:
            optimiser.step()
        fitting.id_decay.step(rate)
    fitting.id_decay.bring_up_to_date()
    return float(np.mean(losses))


def _finite(loss: float, epoch: int) -> float:
    if not np.isfinite(loss):
        raise ContractError(
            f"Towers cannot be trained: expected a finite loss, found {loss} in epoch {epoch}. Look for "
            "numbers in the table item_embeddings, or lower ranker_runs.sequence.learning_rate."
        )
    return loss


def _pace(optimisers: tuple[torch.optim.Optimizer, ...], learning_rate: float) -> None:
    """Gets the optimisers ready for a step at that rate."""
    for optimiser in optimisers:
        optimiser.zero_grad()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate


def _kept(items: ItemTower, shoppers: ShopperTower, item_ids: NDArray[np.str_], takes: Doubles) -> Towers:
    weights = {name: values.numpy().astype(np.float32) for name, values in shoppers.state_dict().items()}
    with torch.no_grad():
        return Towers(
            item_ids=item_ids,
            ids=items.ids.weight.numpy().copy(),
            bias=items.bias.weight[:, 0].numpy().copy(),
            takes=takes.astype(np.float32),
            centre=items.centre.numpy().copy(),
            projection=items.projection.weight.numpy().T.copy(),
            shopper=weights,
            **items.of_images(),
        )
