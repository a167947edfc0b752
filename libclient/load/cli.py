"""What does `app_client.py load` accept, and in which order does it go about it?

Names and defaults are load.md's; an option that is not built is not accepted. What goes where:

* stdout: the report, or with `--json` the summary object and nothing else;
* stderr: what is about to be done, a line per interval, and with `--json` the report.

Not here: the run (`load.runner`), the words of the report (`load.report`).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
from collections.abc import Callable
from contextlib import ExitStack

from eventloop import Address, parse_duration

from ..connect import parse_target, resolve
from ..errors import NoDescriptors, UnknownHost
from . import report
from .child import ChildError, ChildServer, server_command
from .config import Config
from .histogram import Histogram
from .outcome import INTERNAL_ERROR, USAGE, Outcome, exit_code, summary
from .preflight import PreflightError, preflight
from .runner import Runner
from .signals import Interrupts, Quit
from .stats import AccountingError, Interval

__all__ = ["add_arguments", "run"]

DESCRIPTION = """\
Open N simultaneous connections, keep requests in flight on each, verify every reply, and print how
fast it was. Without TARGET the bundled server is started on a free port, loaded, and stopped."""

UNITS = """\
Counts take k and m (1000s), times ms, s, m and h. Rates are totals, never per connection."""

# --- options -------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `load` on its (sub)parser."""
    default = Config()
    parser.description, parser.epilog = DESCRIPTION, UNITS
    parser.add_argument("target", nargs="?", type=_target, metavar="TARGET", help="HOST:PORT or unix:/path")
    load = parser.add_argument_group("load")
    load.add_argument(
        "-c", "--connections", type=_count, default=default.connections, metavar="N", help="simultaneous sockets (100)"
    )
    load.add_argument("-n", "--requests", type=_count, metavar="N", help="end after so many requests (no limit)")
    load.add_argument(
        "-d", "--duration", type=_positive_time, metavar="T", help="end after so long (10s; none with -n)"
    )
    load.add_argument(
        "-p", "--pipeline", type=_count, default=default.pipeline, metavar="N", help="in flight per connection (1)"
    )
    load.add_argument("--warmup", type=_time, metavar="T", help="load before measuring, not counted (1s; 0 with -n)")
    load.add_argument(
        "--drain", type=_time, default=default.drain, metavar="T", help="at the end wait so long for replies (5s)"
    )
    load.add_argument("--seed", type=_seed, metavar="N", help="of everything left to chance (random, and printed)")
    what = parser.add_argument_group("what is sent")
    what.add_argument("--action", default=default.action, help="search, echo, confirm or one of your own (search)")
    what.add_argument("--value", help="text sent with the action (for search the three entries in turn)")
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--timeout", type=_positive_time, default=default.timeout, metavar="T", help="longest wait for a reply (10s)"
    )
    limits.add_argument(
        "--connect-timeout", type=_positive_time, default=default.connect_timeout, metavar="T", help="to connect (5s)"
    )
    limits.add_argument(
        "--connect-rate", type=_rate, default=default.connect_rate, metavar="R", help="new connections a second (1k/s)"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="the summary as one JSON object on stdout")
    output.add_argument("--ui", choices=("plain", "none"), default="plain", help="lines on stderr as it runs (plain)")
    output.add_argument(
        "--interval", type=_positive_time, default=default.interval, metavar="T", help="time between those lines (1s)"
    )
    output.add_argument(
        "--percentiles", type=_percentiles, default=default.percentiles, metavar="P,P", help="(50,90,95,99,99.9)"
    )


def _refuse(text: str, why: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{text!r} {why}")


def _target(text: str) -> Address:
    try:
        return parse_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _number(text: str) -> float | None:
    """A number of digits with an optional point and k or m (1000s), or None."""
    factor = {"k": 1e3, "m": 1e6}.get(text[-1:].lower())
    digits = text[:-1] if factor else text
    if not digits.isascii() or not digits.replace(".", "", 1).isdigit():
        return None
    return float(digits) * (factor or 1)


def _count(text: str) -> int:
    number = _number(text)
    if number is None or number < 1 or number != int(number):
        raise _refuse(text, "is not a count: write a whole number from 1, such as 100, 5k or 2m")
    return int(number)


def _rate(text: str) -> float:
    number = _number(text.removesuffix("/s"))
    if not number:
        raise _refuse(text, "is not a rate: write a number per second above 0, such as 500 or 2k/s")
    return number


def _time(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive_time(text: str) -> float:
    seconds = _time(text)
    if not seconds:
        raise _refuse(text, "is no time at all: write more than 0, such as 250ms or 10s")
    return seconds


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _refuse(text, "is not a seed: write a whole number from 0")
    return int(text)


def _percentiles(text: str) -> tuple[float, ...]:
    try:
        percents = tuple(float(part) for part in text.split(","))
    except ValueError:
        percents = ()
    if not percents or not all(math.isfinite(p) and 0 < p <= 100 for p in percents):
        raise _refuse(text, "is not a list of percentiles: write numbers above 0 up to 100, such as 50,99,99.9")
    return tuple(sorted(set(percents)))


def config_from(args: argparse.Namespace) -> Config:
    """The run that the options ask for."""
    default = Config()
    duration, warmup = args.duration, args.warmup
    if duration is None and args.requests is None:
        duration = default.duration
    if warmup is None:
        warmup = default.warmup if args.requests is None else 0.0
    return Config(
        connections=args.connections,
        requests=args.requests,
        duration=duration,
        pipeline=args.pipeline,
        action=args.action,
        value=args.value,
        warmup=warmup,
        timeout=args.timeout,
        connect_timeout=args.connect_timeout,
        connect_rate=args.connect_rate,
        drain=args.drain,
        interval=args.interval,
        percentiles=args.percentiles,
        seed=args.seed if args.seed is not None else random.SystemRandom().randrange(2**32),
    )


# --- running -------------------------------------------------------------------------


def run(args: argparse.Namespace) -> int:
    """Do what the options say; the exit code is load.md's."""
    config = config_from(args)
    try:
        with Interrupts() as interrupts, ExitStack() as stack:
            outcome = _load(args, config, interrupts, stack)
            stack.close()  # the child is gone before the report: nothing is left behind whoever reads it
            _print(args, outcome)
            return exit_code(outcome)
    except (PreflightError, NoDescriptors, UnknownHost, ChildError) as error:
        return _say(str(error), USAGE)
    except AccountingError as error:
        return _say(f"internal error: {error}", INTERNAL_ERROR)
    except Quit as quit:
        return _say("interrupted", 128 + quit.number)
    except BrokenPipeError:  # `load | head`: nobody reads on, and the interpreter must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERNAL_ERROR


def _load(args: argparse.Namespace, config: Config, interrupts: Interrupts, stack: ExitStack) -> Outcome:
    target: Address | None = args.target
    preflight(config.connections, target)
    child = None
    if target is None:
        child = ChildServer(server_command(config.connections))
        target = stack.enter_context(child)
    endpoints = resolve(target)
    runner = Runner(config, target, endpoints, _printer(args, config))
    if args.ui == "plain":
        print(f"{report.header(config, str(target))} (seed {config.seed})", file=sys.stderr, flush=True)
    interrupts.stop = runner.interrupt
    outcome = runner.run()
    if child is not None and child.died:
        print(f"app_client.py load: {child.died}", file=sys.stderr, flush=True)
    return outcome


def _printer(args: argparse.Namespace, config: Config) -> Callable[[Interval, Histogram, str], None]:
    def quiet(interval: Interval, recent: Histogram, phase: str) -> None:
        pass

    def plain(interval: Interval, recent: Histogram, phase: str) -> None:
        print(report.progress(interval, recent, phase, config.connections), file=sys.stderr, flush=True)

    return plain if args.ui == "plain" else quiet


def _print(args: argparse.Namespace, outcome: Outcome) -> None:
    if args.json:
        if args.ui != "none":
            print(report.report(outcome), file=sys.stderr, flush=True)
        print(json.dumps(summary(outcome, sys.argv), ensure_ascii=False), flush=True)
    else:
        print(report.report(outcome), flush=True)


def _say(sentence: str, code: int) -> int:
    print(f"app_client.py load: {sentence}", file=sys.stderr, flush=True)
    return code
