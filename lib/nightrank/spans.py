"""Which nights of a table a stage reads: functions from the night and the settings to a span of nights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil

from nightrank.config import Config
from nightrank.nights import BEGINNING, ONE_DAY, Night, night_before_held_out, window_start


@dataclass(frozen=True)
class Span:
    """The nights first..last of a table; first > last: none of them."""

    first: date
    last: date


NOTHING = Span(BEGINNING + ONE_DAY, BEGINNING)
Nights = Callable[[Night, Config], Span]


def tonight(night: Night, _: Config) -> Span:
    """This night's rows."""
    return Span(night.run_date, night.run_date)


def tonights_snapshots(night: Night, _: Config) -> Span:
    """Every snapshot that this night writes: more than one in a bulk load."""
    return Span(night.snapshots[0], night.run_date)


def arrivals(night: Night, _: Config) -> Span:
    """Everything that this night takes in: many nights in a bulk load."""
    return Span(night.first_arrival, night.run_date)


def everything(night: Night, _: Config) -> Span:
    """All nights up to this one."""
    return Span(BEGINNING, night.run_date)


def earlier(night: Night, _: Config) -> Span:
    """All nights before this one; none for a bulk load, which builds anew."""
    return NOTHING if night.bulk else Span(BEGINNING, night.run_date - ONE_DAY)


def held_out(night: Night, config: Config) -> Span:
    """The nights before tonight that the ranker is not trained on."""
    return Span(_before_held_out(night, config) + ONE_DAY, night.run_date - ONE_DAY)


def snapshot_before_held_out(night: Night, config: Config) -> Span:
    """The latest snapshot that stood before the first held-out night's searches."""
    return _snapshot_at(night, _before_held_out(night, config))


def _before_held_out(night: Night, config: Config) -> date:
    return night_before_held_out(night.run_date, config.training_examples.held_out_nights)


def last_nights_snapshot(night: Night, _: Config) -> Span:
    """The latest snapshot that stood before tonight's searches."""
    return _snapshot_at(night, night.run_date - ONE_DAY)


def previous_snapshot(night: Night, _: Config) -> Span:
    """The snapshot that this night's is built on."""
    return Span(night.previous, night.previous) if night.previous else NOTHING


def since_previous(night: Night, _: Config) -> Span:
    """What has arrived after the previous snapshot."""
    return Span(night.previous + ONE_DAY if night.previous else BEGINNING, night.run_date)


def snapshot_before_training(night: Night, config: Config) -> Span:
    """The latest snapshot before the training window."""
    return _snapshot_at(night, training_start(night, config) - ONE_DAY)


def since_training_snapshot(night: Night, config: Config) -> Span:
    """What arrived after the snapshot before the training window."""
    base = night.latest_snapshot(training_start(night, config) - ONE_DAY)
    return Span(base + ONE_DAY if base else BEGINNING, night.run_date)


def training_window(night: Night, config: Config) -> Span:
    """The nights that examples are taken from."""
    return Span(training_start(night, config), night.run_date)


def training_start(night: Night, config: Config) -> date:
    """The first night of the training window."""
    return window_start(night.run_date, config.training_examples.window_nights)


def _snapshot_at(night: Night, day: date) -> Span:
    found = night.latest_snapshot(day)
    return Span(found, found) if found else NOTHING


def pairs_since_previous(night: Night, config: Config) -> Span:
    """Since the previous snapshot, and as many nights more as a pair may span."""
    first = since_previous(night, config).first
    return Span(first - timedelta(days=config.item_neighbours.pair_window_nights), night.run_date)


def duplicates_window(night: Night, config: Config) -> Span:
    """Earlier arrivals that tonight's events may repeat."""
    if night.bulk:
        return NOTHING
    return Span(night.run_date - timedelta(days=config.events.duplicates_window_nights), night.run_date - ONE_DAY)


def attribution_window(night: Night, config: Config) -> Span:
    """Arrivals that may belong to searches whose window closes tonight."""
    days = 1 + int(config.searches.attribution_hours // 24)
    return Span(night.first_arrival - timedelta(days=0 if night.bulk else days), night.run_date)


def closing_arrivals(night: Night, config: Config) -> Span:
    """Arrivals of which a search's window may close tonight, no night more."""
    return Span(night.first_arrival - attribution_nights(config), night.run_date)


def attributed_arrivals(night: Night, config: Config) -> Span:
    """Arrivals whose searches' windows have closed by tonight, and not before.

    None where a convention's events name no search: there it is this program that says which search they belong to.
    """
    last = night.run_date - attribution_nights(config)
    first = night.first_arrival if night.bulk else last
    return Span(first, last) if names_searches(config) else NOTHING


def closed_by_then(night: Night, config: Config) -> Span:
    """Nights in which searches closed that attributed_arrivals name: they may have arrived a window late."""
    return Span(night.first_arrival - 2 * attribution_nights(config), night.run_date)


def attribution_nights(config: Config) -> timedelta:
    """How many nights after its arrival the window of a search has closed."""
    return timedelta(days=ceil(config.searches.attribution_hours / 24))


def names_searches(config: Config) -> bool:
    """Whether events name their searches and the shop has a log of these."""
    convention = config.source.convention
    return convention in {"metarank", "ubi"} or (convention == "canonical" and config.source.searches is not None)


def class_window(night: Night, config: Config) -> Span:
    """Searches that the class of a query is taken from, for each snapshot that is written."""
    return Span(window_start(night.snapshots[0], config.query_classes.window_nights), night.run_date)


def propensity_window(night: Night, config: Config) -> Span:
    """Searches that position bias is estimated from."""
    return Span(window_start(night.run_date, config.propensities.window_nights), night.run_date)


def pooled_window(night: Night, config: Config) -> Span:
    """Nights whose evaluations a promotion is decided on."""
    return Span(window_start(night.run_date, config.promotions.pooled_nights), night.run_date)


def has_people(config: Config) -> bool:
    """Whether ids may be linked or opted out: the shop has a log of that, or its pseudonyms' key is being rotated."""
    return config.source.people is not None or is_rotating(config)


def is_rotating(config: Config) -> bool:
    """Whether ids have a pseudonym under the previous key beside that under the new one."""
    return config.source.previous_key_file is not None


def people_of(nights: Nights) -> Nights:
    """Nights of the table `people`; none where it is not made, so that a shop without it reads nothing for it."""
    return lambda night, config: nights(night, config) if has_people(config) else NOTHING


def rotating(nights: Nights) -> Nights:
    """These nights while a key is being rotated, else none."""
    return lambda night, config: nights(night, config) if is_rotating(config) else NOTHING


def has_enrichments(config: Config) -> bool:
    """Whether the shop has an input of what a language model wrote of items."""
    return config.source.enrichments is not None


def judges_enrichments(config: Config) -> bool:
    """Whether enriched texts may be judged: from that input, or from a column of the catalogue that is in use."""
    return has_enrichments(config) or config.enrichments.in_text


def enrichments_in_text(night: Night, config: Config) -> Span:
    """All enrichments up to tonight where item texts hold them, else none."""
    return everything(night, config) if has_enrichments(config) and config.enrichments.in_text else NOTHING


def enrichments_before_judged(night: Night, config: Config) -> Span:
    """The enrichments that arrived before the first of the searches that they are judged on."""
    first = judged_by_enrichments(night, config).first
    return Span(BEGINNING, first - ONE_DAY) if has_enrichments(config) else NOTHING


def judged_by_enrichments(night: Night, config: Config) -> Span:
    """Searches that enriched texts are judged on."""
    return Span(window_start(night.run_date, config.enrichment_runs.judged_nights), night.run_date)


def tuning_window(night: Night, config: Config) -> Span:
    """Searches that an encoder is learned from and judged on."""
    return Span(window_start(night.run_date, config.encoder_runs.window_nights), night.run_date)


def taken_over(nights: Nights) -> Nights:
    """These nights where tuned encoders are taken over, else none."""
    return lambda night, config: nights(night, config) if config.encoder_runs.take_over else NOTHING


def of_sequences(nights: Nights) -> Nights:
    """These nights where towers learn from sequences, else none."""
    return lambda night, config: nights(night, config) if config.ranker_runs.tower == "sequence" else NOTHING


def before_training_searches(night: Night, config: Config) -> Span:
    """The nights before the searches that examples are taken from."""
    return Span(training_start(night, config) - ONE_DAY, night.run_date - ONE_DAY)
