"""Towers that several devices train together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightrank.config import Config
from nightrank.models.artefact import Floats
from nightrank.models.batches import Pass
from nightrank.models.team import team_of
from nightrank.models.tower_artefact import Images, Towers, towers_content
from nightrank.models.tower_store import keep_towers
from nightrank.models.tower_training import train_towers


def fit_in_team(
    config: Config,
    sequences: Pass,
    item_ids: NDArray[np.str_],
    embeddings: Floats,
    start: Towers | None,
    images: Images | None,
) -> tuple[str, list[float]]:
    """The towers' id in the lake and the mean loss of each epoch, alike in each process that torchrun started.

    They are trained as by train_towers; the first process puts them into the lake.
    """
    settings = config.ranker_runs
    with team_of(settings.devices, "cpu") as team:
        towers, losses = train_towers(sequences, item_ids, embeddings, settings, start, images, team, config)
        tower_id = keep_towers(config, towers) if team.rank == 0 else towers_content(towers)[0]
    return tower_id, losses
