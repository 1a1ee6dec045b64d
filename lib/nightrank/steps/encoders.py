"""Which encoder is in force tonight: the last that was promoted before it, read from the table, never from an alias."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.config import Config
from nightrank.models.encoder_store import kept_encoder
from nightrank.sections import EncoderConfig
from nightrank.steps.arrays import collect_arrays

PROMOTED, REFUSED, SKIPPED = "promoted", "refused", "skipped"


def with_encoder_in_force(encoder_runs: DataFrame, config: Config) -> Config:
    """The settings with the encoder in force for items and queries: the last promoted one, else the configured one.

    encoder_runs: the nights before tonight. A run that was tuned from another encoder than the configured one does not
    count, so that a newly configured encoder is in force at once. Raises ContractError where the promoted one is gone
    or altered.
    """
    promoted = encoder_runs.where(F.col("status") == PROMOTED).orderBy(F.col("run_date").desc(), "encoder_id").limit(1)
    found = collect_arrays(promoted.select("encoder_id", "base_version"), 1, "encoders in force")
    if not len(found["encoder_id"]) or str(found["base_version"][0]) != base_version(config):
        return config
    return with_model(config, kept_encoder(config, str(found["encoder_id"][0])))


def base_version(config: Config) -> str | None:
    """The version of the configured encoder, whatever its other settings; None: items and queries have two."""
    from nightrank.models.encoder import encoder_version

    models = (config.item_embeddings.model, config.query_embeddings.model)
    versions = {encoder_version(EncoderConfig(model=model)) for model in models}
    return versions.pop() if len(versions) == 1 else None


def with_model(config: Config, model: str) -> Config:
    """The settings with the encoder at that address as that of items and queries."""
    sections = ("item_embeddings", "query_embeddings")
    return config.model_copy(update={s: getattr(config, s).model_copy(update={"model": model}) for s in sections})
