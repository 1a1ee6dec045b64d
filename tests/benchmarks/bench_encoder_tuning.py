"""make bench-encoder-tuning: an encoder tuned on a simulated shop's searches, judged on its last days' searches.

Then the same on a shop whose words say nothing: each item has another item's text. That must be refused. PART=words or
PART=wordless runs one of the two, EXAMPLES=n trains on so many takes. Settings, and by which figures is judged, were
chosen on the shop of seed 201; the one that is told of was used for nothing before.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from figures import say_figures

from nightrank.cli import _log_plainly
from nightrank.config import Config
from nightrank.models.batches import Columns
from nightrank.models.encoder import encoder_folder
from nightrank.models.encoder_artefact import write_encoder
from nightrank.models.encoder_judging import Verdict, judge
from nightrank.models.encoder_lessons import Lessons
from nightrank.models.encoder_training import tune_encoder
from nightrank.models.retrieval import Takes
from nightrank.sections import EncoderRunsConfig, LakeConfig, ShopConfig
from nightrank.shop.behaviour import simulate_day
from nightrank.shop.catalogue import description, path, title
from nightrank.shop.logs import BUY, CART, CLICK, LIKE, DayLog
from nightrank.shop.words import BRANDS
from nightrank.shop.world import Shop, make_world

# The demo's shop with half its items, under a seed that nothing else uses.
SHOP = ShopConfig(seed=202, shoppers=1200, items=400, days=30)
GAINS = {CLICK: 1.0, CART: 2.0, BUY: 3.0, LIKE: 2.0}  # as section searches has them
# Of 400 items 160, so that chance does not decide among those that training never sees; one epoch, as a second found no
# more of what the day before the judged ones took.
SETTINGS = EncoderRunsConfig(unseen_share=0.4, epochs=1)
EXAMPLES = int(os.environ.get("EXAMPLES", "1500"))


@dataclass(frozen=True)
class Day:
    """The searches of a day that took something: query [S], slate [S, 20] (-1 after the last), gain [S, 20]."""

    query: np.ndarray
    slate: np.ndarray
    gain: np.ndarray


def day_of(shop: Shop, day: int) -> Day:
    """What the searches of a day number took, sponsored slots left out."""
    log: DayLog = simulate_day(shop, day)
    searches, events = log.searches, log.events
    row = {key: n for n, key in enumerate(zip(searches.shopper, searches.number, strict=True))}
    gain = np.zeros(searches.items.shape)
    for n in np.flatnonzero(np.isin(events.action, list(GAINS)) & (events.position > 0)):
        at = row[events.shopper[n], events.number[n]], events.position[n] - 1
        gain[at] = max(gain[at], GAINS[int(events.action[n])])
    gain[searches.sponsored] = 0.0
    took = (gain > 0).any(axis=1)
    slate = np.where(searches.sponsored, -1, searches.items)
    return Day(searches.query[took], slate[took], gain[took])


def takes_of(days: list[Day]) -> Takes:
    """Every take of the days' searches."""
    query, slate, gain = (np.concatenate([getattr(day, name) for day in days]) for name in ("query", "slate", "gain"))
    search, place = np.nonzero(gain > 0)
    return Takes(search.astype(np.int64), query[search], slate[search, place], gain[search, place])


def examples_of(days: list[Day], unseen: np.ndarray, settings: EncoderRunsConfig) -> Columns:
    """A row a take of an item that training may see; hard negatives: items above it that were not taken."""
    draws, rows = np.random.default_rng(settings.seed), []
    for day in days:
        for search, place in zip(*np.nonzero(day.gain > 0), strict=True):
            item = day.slate[search, place]
            above = day.slate[search, :place][day.gain[search, :place] == 0]
            above = above[(above >= 0) & ~unseen[above]]
            hard = draws.permutation(above)[: settings.hard_negatives]
            pad = np.full(settings.hard_negatives - len(hard), -1)
            if not unseen[item]:
                rows.append(np.concatenate([[day.query[search], item], hard, pad]))
    kept = draws.permutation(len(rows))[:EXAMPLES]
    table = np.array(rows)[kept].astype(np.int32)
    return {"query_index": table[:, 0], "item_index": table[:, 1:]}


def lessons_of(shop: Shop, texts: tuple[str, ...], settings: EncoderRunsConfig) -> tuple[Lessons, Takes]:
    """The lessons of the shop's log, and what its last days took."""
    days = [day_of(shop, day) for day in range(shop.config.days)][-settings.window_nights :]
    unseen = np.random.default_rng(settings.seed).random(len(texts)) < settings.unseen_share
    learned, valid, judged = np.split(np.arange(len(days)), [-settings.judged_nights - 1, -settings.judged_nights])
    columns = examples_of([days[n] for n in learned], unseen, settings)

    def examples() -> Iterator[Columns]:
        yield columns

    rows = len(columns["query_index"])
    lessons = Lessons(shop.queries.text, texts, unseen, rows, examples, takes_of([days[n] for n in valid]))
    return lessons, takes_of([days[n] for n in judged])


def texts_of(shop: Shop) -> tuple[str, ...]:
    """What is encoded of each item, by the default template."""
    made = shop.catalogue
    return tuple(
        f"{title(made, n)}. {BRANDS[made.brand[n]]}. {path(made, n)}. {description(made, n)}" for n in range(made.size)
    )


def run(shop: Shop, texts: tuple[str, ...], settings: EncoderRunsConfig) -> tuple[Verdict, float]:
    """The verdict on an encoder tuned for that shop, and the seconds of training."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(lake=LakeConfig(path=f"{folder}/lake"), encoder_runs=settings)
        lessons, later = lessons_of(shop, texts, settings)
        started = time.monotonic()
        tuned = tune_encoder(config.item_embeddings, lessons, config)
        seconds = time.monotonic() - started
        print(f"best_epoch={tuned.best_epoch} valid_ndcg={[round(curve['valid_ndcg'], 4) for curve in tuned.curves]}")
        own = Path(folder) / "tuned"
        own.mkdir()
        write_encoder(tuned.model.network, encoder_folder(None), own)
        encoder = config.item_embeddings.model_copy(update={"model": str(own)})
        return judge(config.item_embeddings, encoder, lessons, later, settings), seconds


def main() -> None:
    """The figures of both shops."""
    _log_plainly()
    shop = make_world(SHOP)
    texts = texts_of(shop)
    shuffled = np.random.default_rng(SHOP.seed).permutation(np.array(texts, dtype=object))
    figures: dict[str, float | int | str] = {"examples": EXAMPLES, "items": SHOP.items}
    for part, said in (("words", texts), ("wordless", tuple(shuffled))):
        if part in os.environ.get("PART", "words,wordless").split(","):
            figures |= {f"{part}_{name}": value for name, value in figures_of(shop, said).items()}
    say_figures("encoder_tuning", figures)


def figures_of(shop: Shop, texts: tuple[str, ...]) -> dict[str, float | int | str]:
    """What the verdict says, the gain of nDCG@10 relative to the raw encoder's, and what it took."""
    verdict, seconds = run(shop, texts, SETTINGS)
    found = verdict.metrics
    relative = {f"ndcg_relative{end}": found[f"ndcg_gain{end}"] / found["ndcg_standing"] for end in ("", "_lower")}
    return {**found, **relative, "seconds": seconds, "promoted": verdict.promoted, "reason": verdict.reason}


if __name__ == "__main__":
    main()
