"""Fine-tuning the encoder on the shop's own searches: contrastive, with AdamW, warm-up, clipping and early stopping.

The same lessons and settings give the same bits, whether a run was interrupted or not (on a CPU). On several devices
each encodes its part of a batch, or of the items that an epoch is judged by; all of them take the same steps.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nightrank.config import Config
from nightrank.errors import ContractError
from nightrank.models.batches import Columns, recut, shuffled
from nightrank.models.checkpoints import (
    Progress,
    agreed_checkpoint,
    load_checkpoint,
    moments_of,
    restore_moments,
    save_checkpoint,
)
from nightrank.models.encoder import encoder_version
from nightrank.models.encoder_lessons import Lessons, Overview, Texts, loss_of, overview
from nightrank.models.encoder_module import TextEncoder, text_encoder
from nightrank.models.retrieval import Vectors, ndcg_by_search, ranks
from nightrank.models.team import ALONE, Team, team_of
from nightrank.models.training import deterministic
from nightrank.sections import EncoderConfig, EncoderRunsConfig

log = logging.getLogger("nightrank")
# As usual for BERT: longer steps have thrown fine-tuning off its course.
_LONGEST_STEP = 1.0
# What the heads' one threshold may move a step, against the weights of a network.
_OFFSET_PACE = 10.0


@dataclass(frozen=True)
class Tuned:
    """What training left. model: as it was after best_epoch; 0: no epoch was better than the encoder it began with.

    curves: figures by epoch from 0, the encoder before training. stopped: why it ended before its time; None: it did
    not. checkpoint: the name that its progress stands under in the lake.
    """

    model: TextEncoder
    best_epoch: int
    curves: tuple[dict[str, float], ...]
    stopped: str | None
    checkpoint: str


def tune_encoder(encoder: EncoderConfig, lessons: Lessons, config: Config, team: Team = ALONE) -> Tuned:
    """The encoder of the epoch that finds best what the lessons' later day took (nDCG@10, items kept apart left out).

    Goes on after the last epoch that the lake has a checkpoint of, for just these lessons and settings. A loss that is
    no number ends training; the best epoch until then stands. Of a team, the first device writes the checkpoints.
    """
    settings = config.encoder_runs
    with deterministic(settings.threads):
        model = text_encoder(encoder, settings)
        known = overview(lessons)
        name = _checkpoint_name(encoder, settings, known)
        texts = Texts(lessons.query_texts, model.tokens(lessons.item_texts))
        model.keep(texts.item_ids)
        return _fit(model, lessons, texts, known, config, name, team)


def tune_in_team(encoder: EncoderConfig, lessons: Lessons, config: Config) -> str | None:
    """Tunes the encoder as one of the processes that torchrun started; what is left of it is the lake's checkpoint.

    Tells, alike in each of them, why training ended before its time; None: it did not.
    """
    settings = config.encoder_runs
    with team_of(settings.devices, settings.device) as team:
        own = config.model_copy(update={"encoder_runs": settings.model_copy(update={"device": team.device})})
        return tune_encoder(encoder, lessons, own, team).stopped


def tuned_in_team(encoder: EncoderConfig, lessons: Lessons, config: Config, stopped: str | None) -> Tuned:
    """What a team that was given the same has left in the lake, on the CPU; stopped: what its processes told.

    Raises ContractError where nothing is there.
    """
    settings = config.encoder_runs
    name = _checkpoint_name(encoder, settings, overview(lessons))
    model = text_encoder(encoder, settings.model_copy(update={"device": "cpu"}))
    progress = load_checkpoint(config, name)
    if progress is None and stopped is None:
        raise ContractError(
            f"The encoder tuned on {settings.devices} devices cannot be used: expected checkpoint {name} in the lake, "
            f"found none. Let lake.path, now {config.lake.path}, name one place on all machines."
        )
    if progress is None:
        return Tuned(model, 0, (), stopped, name)
    _put(model.trained(), progress.best_weights)
    return Tuned(model, progress.best_epoch, progress.curves, stopped, name)


def vectors_of(model: TextEncoder, texts: list[str], team: Team = ALONE) -> Vectors:
    """float32 [n, dims] of n texts, without a gradient; each device of a team encodes its part of them."""
    with torch.no_grad():
        own = model(model.tokens([texts[n] for n in team.rows(len(texts))]))
        return np.asarray(team.joined(own, len(texts)).cpu().numpy(), np.float32)


def _fit(
    model: TextEncoder, lessons: Lessons, texts: Texts, known: Overview, config: Config, name: str, team: Team
) -> Tuned:
    settings, stopped = config.encoder_runs, None
    trained, optimiser = model.trained(), _optimiser(model, settings)
    progress = _resumed(model, optimiser, config, name, team) or _before(model, lessons, team)
    while progress.epoch < settings.epochs and progress.epoch - progress.best_epoch < settings.patience:
        epoch = progress.epoch + 1
        loss = _train_epoch(model, optimiser, lessons, texts, known, settings, team, epoch)
        if loss is None:
            stopped = f"the loss was no number in epoch {epoch}"
            log.warning("encoder=stopped reason=%s", stopped)
            break
        figures = {"train_loss": loss, "valid_ndcg": _validate(model, lessons, team)}
        progress = _after(progress, epoch, figures, trained, moments_of(optimiser, trained))
        if team.rank == 0:
            save_checkpoint(config, name, progress)
    _put(trained, progress.best_weights)
    return Tuned(model, progress.best_epoch, progress.curves, stopped, name)


def _before(model: TextEncoder, lessons: Lessons, team: Team) -> Progress:
    start, ndcg = _copied(model.trained()), _validate(model, lessons, team)
    return Progress(0, start, {}, ({"valid_ndcg": ndcg},), 0, start, ndcg)


def _resumed(
    model: TextEncoder, optimiser: torch.optim.Optimizer, config: Config, name: str, team: Team
) -> Progress | None:
    progress = agreed_checkpoint(config, name, team)
    if progress:
        _put(model.trained(), progress.weights)
        restore_moments(optimiser, model.trained(), progress.moments)
    return progress


def _after(before: Progress, epoch: int, figures: dict[str, float], trained: dict[str, Any], moments: Any) -> Progress:
    weights, curves = _copied(trained), (*before.curves, figures)
    if figures["valid_ndcg"] > before.best:
        return Progress(epoch, weights, moments, curves, epoch, weights, figures["valid_ndcg"])
    return Progress(epoch, weights, moments, curves, before.best_epoch, before.best_weights, before.best)


def _optimiser(model: TextEncoder, settings: EncoderRunsConfig) -> torch.optim.Optimizer:
    weights = [values for name, values in model.trained().items() if name != "offset"]
    threshold = {"params": [model.offset], "weight_decay": 0.0, "pace": _OFFSET_PACE}
    network = {"params": weights, "weight_decay": settings.weight_decay, "pace": 1.0}
    return torch.optim.AdamW([network, threshold], lr=settings.learning_rate)


def _train_epoch(
    model: TextEncoder,
    optimiser: torch.optim.Optimizer,
    lessons: Lessons,
    texts: Texts,
    known: Overview,
    settings: EncoderRunsConfig,
    team: Team,
    epoch: int,
) -> float | None:
    """The epoch's mean loss; None: it was no number, and the step was not taken."""
    losses, trained = [], list(model.trained().values())
    for number, columns in enumerate(_batches(lessons, settings, epoch)):
        _set_pace(optimiser, lessons, settings, epoch, number)
        optimiser.zero_grad()
        draws = np.random.default_rng((settings.seed, epoch, number))
        loss = loss_of(model, texts, columns, known, settings, draws, team)
        losses.append(team.agreed(loss.item()))
        if not np.isfinite(losses[-1]):
            return None
        loss.backward()
        team.average(trained)
        torch.nn.utils.clip_grad_norm_(trained, _LONGEST_STEP)
        optimiser.step()
    return float(np.mean(losses))


def _batches(lessons: Lessons, settings: EncoderRunsConfig, epoch: int) -> Iterator[Columns]:
    return recut(shuffled(lessons.examples(), settings.seed, epoch), settings.batch)


def _set_pace(
    optimiser: torch.optim.Optimizer, lessons: Lessons, settings: EncoderRunsConfig, epoch: int, number: int
) -> None:
    """The learning rate rises evenly through the warm-up and then falls evenly to 0 at the end of the last epoch.

    It follows from the step's number alone, so that a run that goes on needs no memory of it.
    """
    steps = -(-lessons.rows // settings.batch)
    step, last = (epoch - 1) * steps + number + 1, settings.epochs * steps
    warm = max(1, round(settings.warmup_share * last))
    factor = min(step / warm, (last - step + 1) / max(1, last - warm))
    for group in optimiser.param_groups:
        group["lr"] = settings.learning_rate * factor * group["pace"]


def _validate(model: TextEncoder, lessons: Lessons, team: Team) -> float:
    """Mean nDCG@10 of the later day's searches over the items that training sees; 0.0 where they took none of them."""
    seen = ~lessons.unseen
    takes = lessons.valid.where(seen[lessons.valid.item])
    if not len(takes.item):
        return 0.0
    asked, takes_of = np.unique(takes.query, return_inverse=True)
    queries = vectors_of(model, [lessons.query_texts[n] for n in asked], team)
    items = np.zeros((len(seen), queries.shape[1]), np.float32)
    items[seen] = vectors_of(model, [text for text, kept in zip(lessons.item_texts, seen, strict=True) if kept], team)
    numbered = type(takes)(takes.search, takes_of.astype(np.int64), takes.item, takes.gain)
    return team.agreed(float(ndcg_by_search(ranks(queries, items, numbered, seen), numbered).mean()))


def _checkpoint_name(encoder: EncoderConfig, settings: EncoderRunsConfig, known: Overview) -> str:
    kind = settings.model_copy(update={"device": settings.device.partition(":")[0]})
    said = (encoder_version(encoder), kind.model_dump_json(exclude={"threads", "devices_on"}), known.digest)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


def _copied(weights: dict[str, Any]) -> dict[str, Tensor]:
    return {name: values.detach().clone() for name, values in weights.items()}


def _put(trained: dict[str, Any], weights: Any) -> None:
    with torch.no_grad():
        for name, values in weights.items():
            trained[name].copy_(values)
