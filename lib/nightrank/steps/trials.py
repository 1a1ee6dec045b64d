"""Trials of settings on a finished night's examples, by the stage's own training; nothing is kept or registered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyspark.sql import DataFrame

from nightrank.config import Config
from nightrank.errors import ContractError, UsageError
from nightrank.models.sequences import TAKEN
from nightrank.models.trials import Changes, Trial
from nightrank.steps.encoders import with_encoder_in_force
from nightrank.steps.petastorm_feed import NUMERIC, feed_folder, petastorm_feed
from nightrank.steps.ranker_runs import fitted, known_items, why_not
from nightrank.steps.sequences import longest_read
from nightrank.steps.tower import Tower, last_tower


def tried(
    training_examples: DataFrame,
    items: DataFrame,
    item_embeddings: DataFrame,
    ranker_runs: DataFrame,
    encoder_runs: DataFrame,
    config: Config,
    trials: Sequence[tuple[Changes, Config]],
) -> Iterator[Trial]:
    """Each trial, once it is made: ranked by the fold `valid`; the night that rankers are judged on is not read.

    trials: what is changed, and the settings with it. ranker_runs: up to the night of the examples. A tower of words is
    fitted anew each time; towers of sequences stand, as they do from night to night. Raises ContractError where no
    ranker can be trained.
    """
    from nightrank.models.encoder import encoder_version

    version = encoder_version(with_encoder_in_force(encoder_runs, config).item_embeddings)
    tower = _standing(ranker_runs, version, config, trials)
    columns = (*NUMERIC, *(TAKEN if tower else ()))
    with petastorm_feed(training_examples, feed_folder(config), columns=columns) as feed:
        if (reason := why_not(feed, config)) or not feed.rows["valid"]:
            raise ContractError(f"Nothing can be tried: {reason or 'there is no example of a validation night'}.")
        catalogue = known_items(items, item_embeddings, version, config)
        for changes, changed in trials:
            trained = fitted(feed, catalogue, tower, changed)
            yield Trial(changes, {**trained.metrics, "epoch": float(trained.best_epoch)}, trained.curves)


def _standing(
    ranker_runs: DataFrame, version: str, config: Config, trials: Sequence[tuple[Changes, Config]]
) -> Tower | None:
    """The towers of sequences that the last ranker stands on; None: it goes by words."""
    if not longest_read(config):
        return None
    tower = last_tower(ranker_runs, version, config)
    if tower is None or tower.towers is None:
        return None
    if any("ranker_runs.dims" in changes for changes, _ in trials):
        raise UsageError("ranker_runs.dims cannot be tried: towers of sequences stand. Take it out of sweep.settings.")
    return tower
