"""`nightrank plan`: its arithmetic, and what it says of a measured night that its lines do not go through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sizing_lines import FIGURES, lines_through, sizes_of, wrong_by

from nightrank.cli import main
from nightrank.config import Config, load_config
from nightrank.plan import CORES_A_GPU, REDIS_KEY_BYTES, figure_of, measured_constants, needs, sizes_asked
from nightrank.plan_drivers import DRIVERS, Sizes, pairs
from nightrank.stages import STAGES

ROOT = Path(__file__).parents[1]
NIGHT = json.loads((ROOT / "tests" / "benchmarks" / "sizing_night.json").read_text())
SHOP = Sizes(shoppers=100, items=50, events=200, searches=40, queries=30, nights=10, slate=24, dims=64)
LINE = {"rows": [1.0, 2.0], "bytes": [10.0, 3.0], "shuffle_bytes": [0.0, 5.0], "core_seconds": [36.0, 36.0],
        "served_bytes": [0.0, 4.0]}  # fmt: skip
# A neighbour for every 4 events of an item: 200 * 10 / 50 = 40 events, so 10 neighbours.
CONSTANTS = {"dims": 60.0, "neighbours": [0.25, 1.0], "tables": dict.fromkeys(DRIVERS, LINE)}


def test_every_stage_has_its_drivers_and_its_lines() -> None:
    names = {stage.name for stage in STAGES if stage.wanted(Config())}
    assert set(DRIVERS) == names
    assert {name: tuple(lines) for name, lines in measured_constants()["tables"].items()} == dict.fromkeys(
        names, FIGURES
    )


def test_needs_are_a_fixed_part_and_one_by_what_drives_them() -> None:
    found = {one.stage: one for one in needs(SHOP, Config(), CONSTANTS)}
    weights, searches, neighbours = (found[name] for name in ("rerank_weights", "searches", "item_neighbours"))
    assert (weights.rows, weights.shuffle_bytes, weights.core_hours) == (1 + 2 * 100, 5 * 100, (36 + 36 * 100) / 3600)
    assert weights.bytes == 10 + 3 * 100 + (64 - 60) * 201  # a byte a dimension more than was measured
    assert weights.redis_bytes == 4 * 100 + (64 - 60) * 201 + REDIS_KEY_BYTES * 201
    assert weights.gpu_hours == weights.core_hours / CORES_A_GPU
    assert (searches.rows, searches.bytes, searches.gpu_hours) == (1 + 2 * 40, 10 + 3 * 40 * 24, 0)
    assert (neighbours.rows, neighbours.shuffle_bytes) == (1 + 2 * 50 * 11, 5 * (50 * 11 + 200))


def test_an_item_has_no_more_neighbours_than_there_are_items_and_none_of_forgotten_nights() -> None:
    many = Sizes(**{**vars(SHOP), "events": 2_000_000.0})
    assert pairs(many, Config(), CONSTANTS) == 50 * 50
    old = Sizes(**{**vars(SHOP), "nights": 10_000.0})
    remembered = Config().item_neighbours.forget_nights
    assert pairs(old, Config(), {"neighbours": [0.01, 1.0]}) == 50 * (1 + 0.01 * 200 * remembered / 50)


def test_lines_go_through_both_nights_and_never_below_zero() -> None:
    config = load_config(ROOT / "conf" / "demo.yaml")
    # Half as much again of all for twice of what drives it.
    large = {name: 1.5 * value if "." in name else value for name, value in NIGHT.items()}
    large |= {f"size_{name}": 2 * NIGHT[f"size_{name}"] for name in ("shoppers", "events", "searches", "queries")}
    bulk = {"size_events": 1e5, "size_shoppers": 1e3, "size_searches": 4e4, "size_items": 400, "pairs": 400 * 101,
            "seconds_stages": 50, "share_events": 0.5, "share_items": 0.5}  # fmt: skip
    lines = lines_through(NIGHT, large, bulk, config)
    for night in (NIGHT, large):
        wrong = wrong_by(night, lines, config)
        for figure in ("rows", "bytes", "core_seconds", "served_bytes"):
            assert wrong[f"{figure}.rerank_weights"] == pytest.approx(0, abs=1e-6)
        # Of as many items: what the larger shop's took.
        assert wrong["core_seconds.items"] == pytest.approx(0 if night is large else 0.5)
    fixed, each = lines["tables"]["events"]["core_seconds"]
    assert fixed + each * 1e5 == pytest.approx(2 * 50 * 0.5)
    factor, exponent = lines["neighbours"]
    assert (factor * (1e5 / 400) ** exponent, exponent <= 1) == (pytest.approx(100), True)
    assert all(min(line) >= 0 for table in lines["tables"].values() for line in table.values())


@pytest.mark.parametrize("figure", ["rows", "bytes"])
def test_a_measured_night_is_told_within_30_percent(figure: str) -> None:
    config = load_config(ROOT / "conf" / "demo.yaml")
    ends = [one["events"] for one in measured_constants()["sizes"]]
    assert min(ends) < sizes_of(NIGHT).events < max(ends)
    wrong = wrong_by(NIGHT, measured_constants(), config)
    assert {name: by for name, by in wrong.items() if name.startswith(f"{figure}.") and abs(by) > 0.3} == {}


@pytest.mark.parametrize("figure", ["shuffle_bytes", "core_seconds", "served_bytes"])
def test_the_sum_of_a_measured_night_is_told_within_30_percent(figure: str) -> None:
    config, lines = load_config(ROOT / "conf" / "demo.yaml"), measured_constants()
    told = sum(figure_of(stage, figure, sizes_of(NIGHT), config, lines) for stage in DRIVERS)
    assert told == pytest.approx(sum(NIGHT[f"{figure}.{stage}"] for stage in DRIVERS), rel=0.3)


def test_what_is_not_said_is_the_configs_or_as_measured() -> None:
    asked = sizes_asked(Config(), shoppers=1e8, items=1e7, events=3e9)
    assert (asked.slate, asked.dims, asked.queries, asked.changed_items) == (24, 64, 1e7, 1e5)
    assert 0.2 < asked.searches / asked.events < 0.8
    assert sizes_asked(Config(), 1, 1, 1, searches=5, slate=10).searches == 5


def test_the_command_prints_a_line_a_stage(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["plan", "--config", str(ROOT / "conf" / "base.yaml"), "--shoppers", "100_000_000", "--items"]
    assert main([*command, "10_000_000", "--events", "3_000_000_000"]) == 0
    told = capsys.readouterr().out
    assert [name for name in DRIVERS if f" {name} " not in told] == []
    assert told in (ROOT / "README.md").read_text()
    assert main([*command, "none", "--events", "5"]) == 64
