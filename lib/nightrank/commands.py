"""What each command of `nightrank …` does. Whatever is heavy is imported where it is used: `--help` starts at once."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nightrank.config import Config


def command_run(config: Config, arguments: argparse.Namespace) -> None:
    """Runs nights, or says what would run."""
    from nightrank.asked import nights_to_run, stages_named, weekly_night
    from nightrank.dry_run import dry_run_in_words
    from nightrank.runner import run_nights
    from nightrank.session import build_session

    stages_named(arguments.what, config)
    spark = build_session(config.spark)
    run_date = arguments.run_date or weekly_night(spark, config, arguments.what)
    nights = nights_to_run(spark, config, run_date, arguments.backfill)
    if arguments.dry_run:
        _say(dry_run_in_words(spark, config, arguments.what, nights, arguments.again))
    else:
        run_nights(spark, config, arguments.what, nights, arguments.again)


def command_tables(config: Config, _: argparse.Namespace) -> None:
    """Says what the tables hold."""
    from nightrank.report import tables_in_words
    from nightrank.session import build_session

    _say(tables_in_words(build_session(config.spark), config))


def command_show(config: Config, arguments: argparse.Namespace) -> None:
    """Says what one shopper's row holds."""
    from nightrank.report import shopper_in_words
    from nightrank.session import build_session

    _say(shopper_in_words(build_session(config.spark), config, arguments.user))


def command_codes(config: Config, _: argparse.Namespace) -> None:
    """Says what each code of the live ranker holds."""
    from nightrank.report import codes_in_words
    from nightrank.session import build_session

    _say(codes_in_words(build_session(config.spark), config))


def command_ledger(config: Config, _: argparse.Namespace) -> None:
    """Says what the last night decided, and whom it helps and harms."""
    from nightrank.ledger_report import ledger_in_words
    from nightrank.session import build_session

    _say(ledger_in_words(build_session(config.spark), config))


def command_rollback(config: Config, arguments: argparse.Namespace) -> None:
    """Makes an earlier night live again."""
    from nightrank.lease import holding_lease
    from nightrank.rollback import roll_back
    from nightrank.session import build_session

    spark = build_session(config.spark)
    with holding_lease(spark, config, f"rollback to night {arguments.to}"):
        _say(roll_back(spark, config, arguments.to))


def command_replay(config: Config, arguments: argparse.Namespace) -> None:
    """Makes a night and every later one again."""
    from nightrank.replay import replay
    from nightrank.session import build_session

    _say(replay(build_session(config.spark), config, arguments.what, arguments.run_date))


def command_clean(config: Config, arguments: argparse.Namespace) -> None:
    """Deletes what need not be kept."""
    from nightrank.cleaning import clean
    from nightrank.lease import holding_lease
    from nightrank.session import build_session

    spark = build_session(config.spark)
    with holding_lease(spark, config, "clean"):
        _say(clean(spark, config, arguments.dry_run))


def command_calibrate(config: Config, arguments: argparse.Namespace) -> None:
    """Measures the encoder and writes what it found."""
    from nightrank.calibrating import calibrate, texts_of_file, texts_of_shop
    from nightrank.session import build_session

    if arguments.texts:
        texts = texts_of_file(arguments.texts, arguments.sample)
    else:
        spark = build_session(config.spark)
        texts = texts_of_shop(spark, config, arguments.sample)
        spark.stop()  # its threads would be measured too
    _say(calibrate(config, texts, Path(arguments.config), arguments.write))


def command_sweep(config: Config, arguments: argparse.Namespace) -> None:
    """Tries settings of training and writes the best."""
    from nightrank.session import build_session
    from nightrank.sweeping import sweep

    path = Path(arguments.config)
    written = arguments.write or path.with_name(f"{path.stem}_swept.yaml")
    _say(sweep(build_session(config.spark), config, path, written, arguments.trials))


def command_demo(config: Config, arguments: argparse.Namespace) -> None:
    """Runs the demo."""
    from nightrank.demo import run_demo

    _say(run_demo(config, arguments.config))


def command_shop(config: Config, arguments: argparse.Namespace) -> None:
    """Writes the simulated shop's logs."""
    from nightrank.session import build_session
    from nightrank.shop.spark_log import sized_for, write_shop_in_spark
    from nightrank.shop.ubi_log import write_shop

    if arguments.events is None:
        write_shop(config.shop, config.shop.path)
    else:
        write_shop_in_spark(build_session(config.spark), sized_for(config.shop, arguments.events))


def command_plan(config: Config, arguments: argparse.Namespace) -> None:
    """Says what nights of a shop take."""
    from nightrank.plan import plan_in_words, sizes_asked

    asked = {key: getattr(arguments, key) for key in ("searches", "queries", "slate", "dims")}
    _say(plan_in_words(sizes_asked(config, arguments.shoppers, arguments.items, arguments.events, **asked), config))


def _say(text: str) -> None:
    sys.stdout.write(text.rstrip() + "\n")
