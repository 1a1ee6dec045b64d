"""Every setting, one frozen section a stage, and how a file becomes them.

`conf/base.yaml` spells every default out; overlays name `extends: base.yaml` and change a few. An unknown key, a wrong
type or a YAML object is refused with its path.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from nightrank.errors import ConfigError
from nightrank.sections import (
    BotsConfig,
    CalendarConfig,
    DeliveriesConfig,
    EncoderConfig,
    EncoderRunsConfig,
    EnrichmentRunsConfig,
    EnrichmentsConfig,
    EvaluationsConfig,
    EventsConfig,
    GatesConfig,
    ItemNeighboursConfig,
    ItemsConfig,
    ItemTokensConfig,
    LakeConfig,
    ManifestConfig,
    MlflowConfig,
    PeopleConfig,
    PromotionsConfig,
    PropensitiesConfig,
    QueryClassesConfig,
    RankerRunsConfig,
    RerankWeightsConfig,
    RunConfig,
    SearchesConfig,
    Section,
    SegmentsConfig,
    ShopConfig,
    SourceConfig,
    SparkConfig,
    SweepConfig,
    TrainingExamplesConfig,
    UserProfilesConfig,
    WordsConfig,
)


class Config(Section):
    """All settings."""

    source: SourceConfig = SourceConfig()
    calendar: CalendarConfig = CalendarConfig()
    lake: LakeConfig = LakeConfig()
    spark: SparkConfig = SparkConfig()
    run: RunConfig = RunConfig()
    mlflow: MlflowConfig = MlflowConfig()
    deliveries: DeliveriesConfig = DeliveriesConfig()
    events: EventsConfig = EventsConfig()
    manifest: ManifestConfig = ManifestConfig()
    words: WordsConfig = WordsConfig()
    bots: BotsConfig = BotsConfig()
    enrichments: EnrichmentsConfig = EnrichmentsConfig()
    items: ItemsConfig = ItemsConfig()
    searches: SearchesConfig = SearchesConfig()
    query_classes: QueryClassesConfig = QueryClassesConfig()
    people: PeopleConfig = PeopleConfig()
    user_profiles: UserProfilesConfig = UserProfilesConfig()
    item_neighbours: ItemNeighboursConfig = ItemNeighboursConfig()
    segments: SegmentsConfig = SegmentsConfig()
    item_embeddings: EncoderConfig = EncoderConfig()
    query_embeddings: EncoderConfig = EncoderConfig()
    encoder_runs: EncoderRunsConfig = EncoderRunsConfig()
    enrichment_runs: EnrichmentRunsConfig = EnrichmentRunsConfig()
    propensities: PropensitiesConfig = PropensitiesConfig()
    training_examples: TrainingExamplesConfig = TrainingExamplesConfig()
    ranker_runs: RankerRunsConfig = RankerRunsConfig()
    item_tokens: ItemTokensConfig = ItemTokensConfig()
    gates: GatesConfig = GatesConfig()
    evaluations: EvaluationsConfig = EvaluationsConfig()
    promotions: PromotionsConfig = PromotionsConfig()
    rerank_weights: RerankWeightsConfig = RerankWeightsConfig()
    sweep: SweepConfig = SweepConfig()
    shop: ShopConfig = ShopConfig()


def load_config(path: str | Path) -> Config:
    """The settings in a YAML file, laid over the file that its `extends:` names.

    Raises ConfigError where the file cannot be read as plain YAML or holds something that is not a setting.
    """
    values = _read_layers(Path(path), seen=())
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise ConfigError(f"Config '{path}' cannot be used: {problems}. conf/base.yaml lists every setting.") from None


def config_hash(config: Config) -> str:
    """SHA-256 of the settings as canonical JSON: the same for the same settings, however the files are laid out."""
    canonical = json.dumps(config.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class _PlainLoader(yaml.SafeLoader):
    """YAML without objects and without aliases: a few nested ones fill any memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # so are the stubs
            raise yaml.composer.ComposerError(None, None, f"the alias *{event.anchor}", event.start_mark)
        return super().compose_node(parent, index)


def _read_layers(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise ConfigError(f"Config '{path}' extends itself. Remove the loop of `extends:`.")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainLoader) or {}  # a SafeLoader
    except FileNotFoundError:
        raise ConfigError(f"Config '{path}' is not there. Name one with --config.") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"Config '{path}' cannot be used: expected plain YAML, found: {told}") from None
    except OSError as error:
        raise ConfigError(f"Config '{path}' cannot be read: {error.strerror}.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"Config '{path}' must hold sections, found {type(values).__name__}.")
    below = values.pop("extends", None)
    return _laid_over(_read_layers(path.parent / str(below), (*seen, path.resolve())) if below else {}, values)


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _laid_over(merged[key], value) if both else value
    return merged
