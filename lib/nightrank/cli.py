"""The command line: arguments shared by the jobs and by `nightrank …`, and what an error becomes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date, timedelta

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
    parser.set_defaults(command=_command_run, what=job)
    return parser


class _Parser(argparse.ArgumentParser):
    """argparse, with the exit code 64 for words that it does not know."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse's own returns never by exiting
        raise UsageError(f"{message}. {self.format_usage().strip()}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="nightrank", description="Every night, one small row of rerank weights a shopper.")
    commands = parser.add_subparsers(dest="called", required=True, parser_class=_Parser)
    run = commands.add_parser("run", help="run a stage, a job or the whole night")
    run.add_argument("what", help="nightly, a job (prepare, encode, train, rerank), or a stage")
    _run_arguments(run)
    tables = commands.add_parser("tables", help="the lake's tables: nights, rows, quarantined rows and why")
    show = commands.add_parser("show", help="one shopper's row in words")
    show.add_argument("user", help="a user_id, segment:<name> or anonymous")
    rollback = commands.add_parser("rollback", help="make the ranker and the rows of an earlier night live again")
    rollback.add_argument("--to", required=True, type=_run_date, help="the night to go back to, as YYYY-MM-DD")
    clean = commands.add_parser("clean", help="delete nights that need not be kept, and files that nobody needs")
    clean.add_argument("--dry-run", action="store_true", help="say which nights would go; delete nothing")
    demo = commands.add_parser("demo", help="a simulated shop, three nights of it, and what they brought")
    shop = commands.add_parser("shop", help="write the simulated shop's logs and nothing else")
    chosen: dict[argparse.ArgumentParser, Command] = {
        run: _command_run, tables: _command_tables, show: _command_show, demo: _command_demo, shop: _command_shop,
        rollback: _command_rollback, clean: _command_clean,
    }  # fmt: skip
    for command, function in chosen.items():
        _shared_arguments(command)
        command.set_defaults(command=function)
    return parser


def _shared_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, help="a YAML file: conf/base.yaml lists every setting")


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


def _command_run(config: Config, arguments: argparse.Namespace) -> None:
    from nightrank.plan import plan_in_words
    from nightrank.runner import nights_to_run, run_nights, stages_named
    from nightrank.session import build_session

    stages_named(arguments.what, config)
    spark = build_session(config.spark)
    nights = nights_to_run(spark, config, arguments.run_date, arguments.backfill)
    if arguments.dry_run:
        _say(plan_in_words(spark, config, arguments.what, nights, arguments.again))
    else:
        run_nights(spark, config, arguments.what, nights, arguments.again)


def _command_tables(config: Config, _: argparse.Namespace) -> None:
    from nightrank.report import tables_in_words
    from nightrank.session import build_session

    _say(tables_in_words(build_session(config.spark), config))


def _command_show(config: Config, arguments: argparse.Namespace) -> None:
    from nightrank.report import shopper_in_words
    from nightrank.session import build_session

    _say(shopper_in_words(build_session(config.spark), config, arguments.user))


def _command_rollback(config: Config, arguments: argparse.Namespace) -> None:
    from nightrank.lease import holding_lease
    from nightrank.rollback import roll_back
    from nightrank.session import build_session

    spark = build_session(config.spark)
    with holding_lease(spark, config, f"rollback to night {arguments.to}"):
        _say(roll_back(spark, config, arguments.to))


def _command_clean(config: Config, arguments: argparse.Namespace) -> None:
    from nightrank.cleaning import clean
    from nightrank.lease import holding_lease
    from nightrank.session import build_session

    spark = build_session(config.spark)
    with holding_lease(spark, config, "clean"):
        _say(clean(spark, config, arguments.dry_run))


def _command_demo(config: Config, arguments: argparse.Namespace) -> None:
    from nightrank.demo import run_demo

    _say(run_demo(config, arguments.config))


def _command_shop(config: Config, _: argparse.Namespace) -> None:
    from nightrank.shop.ubi_log import write_shop

    write_shop(config.shop, config.shop.path)


def _say(text: str) -> None:
    sys.stdout.write(text.rstrip() + "\n")
