"""The command line: arguments shared by the jobs and by `nightrank …`, and what an error becomes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from nightrank.commands import (
    command_calibrate,
    command_clean,
    command_codes,
    command_demo,
    command_ledger,
    command_plan,
    command_replay,
    command_rollback,
    command_run,
    command_shop,
    command_show,
    command_sweep,
    command_tables,
)
from nightrank.config import Config, load_config
from nightrank.errors import NightrankError, UsageError
from nightrank.explaining import explained
from nightrank.nights import ONE_DAY

Command = Callable[[Config, argparse.Namespace], None]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of `nightrank …`: see the README for what each means."""
    return _run(_parser(), sys.argv[1:] if argv is None else argv)


def run_job(job: str, argv: Sequence[str]) -> int:
    """The exit code of one job, started by spark-submit with the arguments of `nightrank run`."""
    return _run(job_parser(job), argv)


def job_parser(job: str) -> argparse.ArgumentParser:
    """The arguments of one job; words that it does not know raise UsageError."""
    parser = _Parser(prog=f"{job}.py", description=f"nightrank: the stages of '{job}', for one night or a calendar")
    _shared_arguments(parser)
    _run_arguments(parser)
    parser.set_defaults(command=command_run, what=job)
    return parser


class _Parser(argparse.ArgumentParser):
    """argparse, with the exit code 64 for words that it does not know."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse's own returns never by exiting
        raise UsageError(f"{message}. {self.format_usage().strip()}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="nightrank", description="Every night, one small row of rerank weights a shopper.")
    commands = parser.add_subparsers(dest="called", required=True, parser_class=_Parser)
    for command, function in (*_nightly_commands(commands), *_mending_commands(commands), *_trial_commands(commands)):
        _shared_arguments(command)
        command.set_defaults(command=function)
    return parser


def _nightly_commands(commands: Any) -> Iterator[tuple[argparse.ArgumentParser, Command]]:
    """What runs nights and shows what they made."""
    run = commands.add_parser("run", help="run a stage, a job or the whole night")
    run.add_argument("what", help="nightly, a job (prepare, encode, train, rerank, weekly: encoder), or a stage")
    _run_arguments(run)
    yield run, command_run
    yield (
        commands.add_parser("tables", help="the lake's tables: nights, rows, quarantined rows and why"),
        command_tables,
    )
    show = commands.add_parser("show", help="one shopper's row in words")
    show.add_argument("user", help="a user_id, segment:<name> or anonymous")
    yield show, command_show
    yield (
        commands.add_parser("ledger", help="the last night's decision, and whom each ranker helps and harms"),
        command_ledger,
    )
    yield commands.add_parser("codes", help="the live codes: how many items each holds, in words"), command_codes


def _mending_commands(commands: Any) -> Iterator[tuple[argparse.ArgumentParser, Command]]:
    """What changes nights that stand."""
    rollback = commands.add_parser("rollback", help="make the ranker and the rows of an earlier night live again")
    rollback.add_argument("--to", required=True, type=_run_date, help="the night to go back to, as YYYY-MM-DD")
    yield rollback, command_rollback
    replay = commands.add_parser("replay", help="make a night and every later one again, under mended rules")
    replay.add_argument("what", nargs="?", default="nightly", help="nightly, or a job with a cluster of its own")
    replay.add_argument("--run-date", required=True, type=_run_date, help="the night, as YYYY-MM-DD")
    yield replay, command_replay
    clean = commands.add_parser("clean", help="delete nights that need not be kept, and files that nobody needs")
    clean.add_argument("--dry-run", action="store_true", help="say which nights would go; delete nothing")
    yield clean, command_clean


def _trial_commands(commands: Any) -> Iterator[tuple[argparse.ArgumentParser, Command]]:
    """What needs no shop of one's own yet."""
    demo = commands.add_parser("demo", help="a simulated shop, three nights of it, and what they brought")
    yield demo, command_demo
    shop = commands.add_parser("shop", help="write the simulated shop's logs and nothing else")
    shop.add_argument("--events", type=_count, help="about so many events, as 20_000_000: written by Spark, no truth")
    yield shop, command_shop
    calibrate = commands.add_parser("calibrate", help="measure the encoder's precisions and threads, write the best")
    calibrate.add_argument("--write", type=Path, required=True, help="the YAML file to write: an overlay of --config")
    calibrate.add_argument("--texts", type=Path, help="a file with a text a line; without it, the lake's item texts")
    calibrate.add_argument("--sample", type=_count, default=300, help="at most so many texts")
    yield calibrate, command_calibrate
    sweep = commands.add_parser("sweep", help="try the config's sweep.settings on the last night's validation night")
    sweep.add_argument("--trials", type=_count, help="at most so many; without it, sweep.trials")
    sweep.add_argument("--write", type=Path, help="the YAML file to write; without it, <config>_swept.yaml beside it")
    yield sweep, command_sweep
    plan = commands.add_parser("plan", help="what a night of a shop of some size takes, table by table")
    _plan_arguments(plan)
    yield plan, command_plan


def _shared_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, help="a YAML file: conf/base.yaml lists every setting")


def _plan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shoppers", type=_count, required=True, help="with a profile, as 100_000_000")
    parser.add_argument("--items", type=_count, required=True, help="on sale")
    parser.add_argument("--events", type=_count, required=True, help="a night")
    parser.add_argument("--searches", type=_count, help="a night; without it, as many an event as were measured")
    parser.add_argument("--queries", type=_count, help="distinct ones in their window; without it, one an item")
    parser.add_argument("--slate", type=_count, help="results a search shows; without it, training_examples.slate")
    parser.add_argument("--dims", type=_count, help="of the item tower; without it, ranker_runs.dims")


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    _run_date_argument(parser)
    parser.add_argument("--again", action="store_true", help="run stages again that stand already")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, read and write; do none of it")
    parser.add_argument("--backfill", action="store_true", help="with the night every later one of the lake, in order")


def _run_date_argument(parser: argparse.ArgumentParser) -> None:
    words = "the night, as YYYY-MM-DD, or as before:YYYY-MM-DD; without it, the nights of the config's calendar"
    parser.add_argument("--run-date", type=_run_date, help=words)


def _run_date(text: str) -> date:
    """The night that was named. before: serves schedulers that know the day on which they start and cannot count."""
    day = text.removeprefix("before:")
    try:
        return date.fromisoformat(day) - (ONE_DAY if day != text else timedelta())
    except (ValueError, OverflowError):
        expected = "a date as YYYY-MM-DD or before:YYYY-MM-DD"
        raise argparse.ArgumentTypeError(f"expected {expected}, found '{text}'") from None


def _count(text: str) -> int:
    """A number of things, at least one; blanks between digits are underscores."""
    try:
        found = int(text)
    except ValueError:
        found = 0
    if found < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, as 20_000_000, found '{text}'")
    return found


def _run(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    _log_plainly()
    try:
        arguments = parser.parse_args(argv)
        arguments.command(load_config(arguments.config), arguments)
    except NightrankError as error:
        _say_error(str(error))
        return error.exit_code
    except Exception as error:
        known = explained(error, f"`{parser.prog}`")
        _say_error(str(known))
        return known.exit_code
    return 0


def _say_error(message: str) -> None:
    """One line, and all that is known of it where somebody asked for that."""
    logging.getLogger("nightrank").error(message, exc_info=os.environ.get("NIGHTRANK_TRACEBACK") == "1")


def _log_plainly() -> None:
    """One line a message on standard error."""
    log = logging.getLogger("nightrank")
    # MLflow gives the root logger a handler of its own: each line would come twice.
    log.propagate = bool(logging.getLogger().handlers)
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
