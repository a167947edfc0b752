"""Which words does `app_client.py load` take, and what run do they mean?

It refuses options that contradict each other, and says which to leave out. Each function below reads
one kind of word; its error says what it accepts.

Not here: the run (`multiconn.commands.load`), what the numbers mean (`config`).
"""

from __future__ import annotations

import argparse
import ipaddress
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from eventloop import Address, parse_duration
from libclient.connect import parse_target
from multiconn.loadtest.config import DROP, FRAME, FULL, OFF, QUEUE, Config, Size
from multiconn.loadtest.engine.background_peers import KINDS
from multiconn.loadtest.engine.data_file import load_data
from multiconn.loadtest.judge.thresholds import parse
from multiconn.loadtest.profile import CONSTANT, POISSON, Stage
from multiconn.loadtest.quantity import plain_number

from . import UsageError
from .output import program
from .tracing import add_trace_options

__all__ = ["add_arguments", "config_from"]

DESCRIPTION = """\
Open N simultaneous connections, put requests on them, verify every reply, and print how fast it
was. Without --rate the replies set the pace (closed model); with it a schedule does, and latency
counts from when a request was meant to leave (open model). Without TARGET the bundled server is
started on a free port, loaded, and stopped."""

UNITS = """\
Counts take k and m (1000s), sizes k (1024), times ms, s, m and h. Rates are totals, never per
connection.

Exit codes: 0 completed, 1 internal error, 2 usage or preflight, 3 never connected or answered, 4 a
reply was wrong or none was right, 5 not valid (with --require-valid or a threshold), 6 files of -o
that are not whole, 99 a threshold failed or --abort-on, 130 and 143 interrupted."""

T = TypeVar("T")

# --- options -------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `load` on its (sub)parser."""
    parser.description, parser.epilog = DESCRIPTION, UNITS
    parser.add_argument("target", nargs="?", type=_target, metavar="TARGET", help="HOST:PORT or unix:/path")
    _add_load(parser.add_argument_group("load"))
    _add_workload(parser.add_argument_group("what is sent"))
    _add_connections(parser.add_argument_group("connections"))
    _add_output(parser.add_argument_group("output"))
    _add_thresholds(parser.add_argument_group("thresholds"))
    add_trace_options(parser)
    _add_turns(parser.add_argument_group("two servers"))


def _add_load(group: argparse._ArgumentGroup) -> None:
    add, default = group.add_argument, Config()
    add("-c", "--connections", type=_count, default=default.connections, metavar="N", help="simultaneous sockets (100)")
    add("-n", "--requests", type=_count, metavar="N", help="end after so many requests (no limit)")
    add("-d", "--duration", type=_positive_time, metavar="T", help="end after so long (10s; none with -n)")
    add(
        "-p",
        "--pipeline",
        type=_count,
        default=default.pipeline,
        metavar="N",
        help="requests in flight per connection (1)",
    )
    add("-r", "--rate", type=_rate, metavar="R", help="requests per second in all: the open model (none: closed)")
    add(
        "--arrival",
        choices=(CONSTANT, POISSON),
        help="with --rate, requests equally far apart, or at random as from independent users (constant)",
    )
    add(
        "--stage",
        type=_stage,
        action="append",
        default=[],
        metavar="T:TARGET",
        help="for T go in a line to this rate, or without --rate to so many connections; repeat for more",
    )
    add(
        "--max-in-flight",
        type=_count,
        metavar="N",
        help="with --rate, most unanswered requests (connections x pipeline)",
    )
    add(
        "--on-overrun",
        choices=(QUEUE, DROP),
        help="with --rate, queue or drop a request that finds no room (queue)",
    )
    add("--warmup", type=_time, metavar="T", help="load before measuring, not counted (1s; 0 with -n)")
    add("--drain", type=_time, default=default.drain, metavar="T", help="wait so long for replies at the end (5s)")
    add("-w", "--workers", type=_workers, default=1, metavar="N", help="generator processes; 0 is one per core (1)")
    add("--seed", type=_seed, metavar="N", help="seed of all random choices (random, and printed)")


def _add_workload(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--action", help="search, echo, confirm or one of your own (search)")
    add("--value", help="text sent with the action (for search the three entries in turn)")
    add("--mix", type=_mix, default=(), metavar="A=W,B=W", help="several actions by weight, such as search=9,echo=1")
    add(
        "--size",
        type=_sizes,
        default=(),
        metavar="N",
        help="text of so many bytes for other actions than search: 64, 64:4k (a range) or 64=9,4k=1 (by weight)",
    )
    add(
        "--data",
        metavar="FILE",
        help="requests from a file in turn (- is stdin), a JSON object per line; expect has the result",
    )
    add("--think", type=_think, default=(0.0, 0.0), metavar="T[:T]", help="without --rate, wait after a reply (0)")
    add(
        "--verify",
        choices=(FULL, FRAME, OFF),
        default=FULL,
        help="full: the reply is right; frame: whole and no error; off: whole (full)",
    )


def _add_connections(group: argparse._ArgumentGroup) -> None:
    add, default = group.add_argument, Config()
    add("--timeout", type=_positive_time, default=default.timeout, metavar="T", help="longest wait for a reply (10s)")
    add(
        "--connect-timeout",
        type=_positive_time,
        default=default.connect_timeout,
        metavar="T",
        help="longest wait for a connection (5s)",
    )
    add("--connect-rate", type=_rate, default=default.connect_rate, metavar="R", help="new connections a second (1k/s)")
    add("--reconnect-every", type=_count, metavar="N", help="a new connection after so many requests (never)")
    add(
        "--reconnect-on-error",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="replace a failed connection (yes)",
    )
    add(
        "--source-ip",
        type=_source,
        action="append",
        default=[],
        metavar="IP",
        help="connect from this address; repeat to spread over several",
    )
    add("--idle", type=_count, default=0, metavar="N", help="connections held open and silent beside the load (0)")
    add(
        "--hostile",
        type=_hostile,
        action="append",
        default=[],
        metavar="KIND=N",
        help=f"misbehaving peers beside the load, outside its numbers:  {', '.join(KINDS)}",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    add, default = group.add_argument, Config()
    add("-o", "--out", metavar="DIR", help="write the run's files there")
    add("--json", action="store_true", help="print the summary as one JSON object on stdout")
    add(
        "--ui",
        choices=("auto", "live", "plain", "none"),
        default="auto",
        help="show the run on stderr: live is a dashboard, plain lines; auto is live on a capable terminal (auto)",
    )
    add(
        "--interval",
        type=_interval,
        default=default.interval,
        metavar="T",
        help="time between two lines or records (1s)",
    )
    add(
        "--percentiles",
        type=_percentiles,
        default=default.percentiles,
        metavar="P,P",
        help="percentiles to report (50,90,95,99,99.9)",
    )


def _add_thresholds(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--threshold",
        type=_expression,
        action="append",
        default=[],
        metavar="EXPR",
        help="condition on the run's end, such as 'response.p99<20ms', 'error_rate<=1%%' or 'ok_per_s>=5k'",
    )
    add(
        "--abort-on",
        type=_expression,
        action="append",
        default=[],
        metavar="EXPR",
        help="end the run when this holds in an interval, such as 'error_rate>10%%'",
    )
    add("--require-valid", action="store_true", help="exit code 5 for a run that is not valid (implied by --threshold)")


def _add_turns(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--against",
        type=_target,
        metavar="TARGET",
        help="also load this server, in turns; exit code 99 if it is worse",
    )
    add(
        "--block",
        type=_interval,
        metavar="T",
        help="with --against, length of a turn (a twentieth of -d, from 100ms to 1s)",
    )


# --- words ---------------------------------------------------------------------------


def _refuse(text: str, why: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{text[:40]!r} {why}")


def _checked(read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _target(text: str) -> Address:
    return _checked(parse_target, text)


def _count(text: str) -> int:
    number = plain_number(text)
    if number is None or number < 1 or number != int(number):
        raise _refuse(text, "is not a count: write a whole number from 1, such as 100, 5k or 2m")
    return int(number)


def _workers(text: str) -> int:
    return 0 if text == "0" else _count(text)


#: Requests a second: a thousand times what a generator makes. It counts due requests one by one.
_FASTEST = 10_000_000


def _rate(text: str) -> float:
    number = plain_number(text.removesuffix("/s"))
    if not number:
        raise _refuse(text, "is not a rate: write a number per second above 0, such as 500 or 2k/s")
    if number > _FASTEST:
        raise _refuse(text, f"is more than can be asked for: write at most {_FASTEST // 1_000_000}m")
    return number


def _time(text: str) -> float:
    return _checked(parse_duration, text)


def _positive_time(text: str) -> float:
    seconds = _time(text)
    if not seconds:
        raise _refuse(text, "is no time at all: write more than 0, such as 250ms or 10s")
    return seconds


def _interval(text: str) -> float:
    seconds = _time(text)
    if seconds < 0.02:
        raise _refuse(text, "is too short an interval: write 20ms or more")
    return seconds


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 30:
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


def _stage(text: str) -> Stage:
    time, colon, target = text.partition(":")
    number = plain_number(target.removesuffix("/s"))
    if not colon or number is None or number > _FASTEST:
        raise _refuse(text, "is not a stage: write a time and where to go, such as 10s:5k")
    return Stage(_time(time), number)


def _weighted(text: str, what: str, example: str) -> list[tuple[str, float]]:
    """`A=9,B=1`"""
    pairs = []
    for part in text.split(","):
        name, equals, weight = part.rpartition("=")
        number = plain_number(weight)
        if not equals or not name or not number:
            raise _refuse(text, f"is not {what}: write names and weights above 0, such as {example}")
        pairs.append((name, number))
    return pairs


def _mix(text: str) -> tuple[tuple[str, float], ...]:
    pairs = _weighted(text, "a mix", "search=9,echo=1")
    if len({name for name, _ in pairs}) < len(pairs):
        raise _refuse(text, "names an action twice: add its weights")
    return tuple(pairs)


#: Bytes of text: the server's own limit of a content is 64 MiB by default.
_LARGEST = 64 << 20


def _size(text: str, word: str) -> int:
    number = plain_number(word, 1024)
    if number is None or number != int(number) or number > _LARGEST:
        raise _refuse(text, f"is not a size: write bytes up to {_LARGEST >> 20}m, such as 64, 64:4k or 64=9,4k=1")
    return int(number)


def _sizes(text: str) -> tuple[Size, ...]:
    if "=" in text:
        return tuple(
            Size(_size(text, word), _size(text, word), weight)
            for word, weight in _weighted(text, "a list of sizes", "64=9,4k=1")
        )
    low, colon, high = text.partition(":")
    size = Size(_size(text, low), _size(text, high if colon else low))
    if size.low > size.high:
        raise _refuse(text, "is a range from large to small: write the smaller size first")
    return (size,)


def _think(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    times = _time(low), _time(high if colon else low)
    if times[0] > times[1]:
        raise _refuse(text, "is a range from long to short: write the shorter time first")
    return times


def _source(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise _refuse(text, "is no IP address: write one of this machine's, such as 127.0.0.2") from None


def _hostile(text: str) -> tuple[str, int]:
    kind, equals, number = text.partition("=")
    if kind not in KINDS or not equals:
        raise _refuse(text, f"is no hostile peer: write KIND=N with one of {', '.join(KINDS)}")
    return kind, _count(number)


def _expression(text: str) -> str:
    _checked(parse, text)
    return text


# --- the run -------------------------------------------------------------------------


def config_from(args: argparse.Namespace, cores: int) -> Config:
    """The run that the options ask for. Raises `UsageError` if they contradict each other, `BadData` for --data."""
    config = _config(args, cores)
    for wrong, why in _contradictions(args, config):
        if wrong:
            raise UsageError(f"{why}; see {program()} load --help")
    for text in (*config.thresholds, *config.abort_on):
        try:
            expression = parse(text, is_open=config.rate is not None)
            if text in config.abort_on and expression.metric == "connect":
                raise ValueError(f"{text}: no interval has connect times; --threshold judges them at the end")
        except ValueError as error:
            raise UsageError(f"{error}; see {program()} load --help") from None
    if args.data is None:
        return config
    return replace(config, data=load_data(args.data, sys.stdin.buffer if sys.stdin is not None else None))


def _config(args: argparse.Namespace, cores: int) -> Config:
    default = Config()
    duration, warmup = args.duration, args.warmup
    if duration is None and args.requests is None:
        duration = sum(stage.seconds for stage in args.stage) or default.duration
    if warmup is None:
        warmup = default.warmup if args.requests is None else 0.0
    return replace(
        default,
        connections=args.connections,
        requests=args.requests,
        duration=duration,
        pipeline=args.pipeline,
        rate=args.rate,
        arrival=args.arrival or default.arrival,
        stages=tuple(args.stage),
        max_in_flight=args.max_in_flight,
        on_overrun=args.on_overrun or default.on_overrun,
        warmup=warmup,
        drain=args.drain,
        workers=args.workers or max(1, min(cores, _fewest(args))),
        seed=args.seed if args.seed is not None else random.SystemRandom().randrange(2**32),
        action=args.action or default.action,
        value=args.value,
        mix=args.mix,
        sizes=args.size,
        think=args.think,
        verify=args.verify,
        timeout=args.timeout,
        connect_timeout=args.connect_timeout,
        connect_rate=args.connect_rate,
        reconnect_every=args.reconnect_every,
        reconnect_on_error=args.reconnect_on_error,
        source_ips=tuple(args.source_ip),
        idle=args.idle,
        hostile=tuple(args.hostile),
        interval=args.interval,
        percentiles=args.percentiles,
        thresholds=tuple(args.threshold),
        abort_on=tuple(args.abort_on),
        require_valid=args.require_valid,
    )


def _fewest(args: argparse.Namespace) -> int:
    """How many workers could have something to do: `-w 0` never asks for more."""
    fewest: list[int] = [args.connections]
    if args.rate is None:
        fewest += [int(stage.target) for stage in args.stage]
        fewest += [] if args.requests is None else [args.requests]
    elif args.max_in_flight is not None:
        fewest.append(args.max_in_flight)
    return min(fewest)


def _contradictions(args: argparse.Namespace, config: Config) -> Sequence[tuple[object, str]]:
    closed = config.rate is None
    targets = [int(stage.target) for stage in config.stages]
    turns = args.against is not None
    return (
        (args.block and not turns, "--block is the length of a turn: add --against TARGET, or leave it out"),
        (turns and config.requests is not None, "--against takes turns of equal length: use -d instead of -n"),
        (turns and config.stages, "--against offers the same load in every turn: leave --stage out"),
        (turns and args.ui == "live", "--against has a line per pair and no dashboard: use --ui plain, or auto"),
        (turns and args.trace, "--trace is of one run: leave --against out"),
        (turns and config.workers > 1, "--against loads from one process: leave -w out"),
        (closed and args.arrival, "--arrival needs --rate: in a closed run the replies set the pace"),
        (closed and args.max_in_flight, "--max-in-flight needs --rate: in a closed run it is connections x pipeline"),
        (closed and args.on_overrun, "--on-overrun needs --rate: a closed run never sends what finds no room"),
        (not closed and config.think[1], "--think is the closed model's: leave it out, or --rate"),
        (
            args.data and (args.action or args.value or config.mix or config.sizes),
            "--data says it all: leave --action, --value, --mix and --size out",
        ),
        (config.mix and args.action, "--mix names the actions: leave --action out"),
        (config.sizes and args.value is not None, "--size makes the values: leave --value out"),
        (
            config.sizes and not config.mix and config.action == "search",
            "--size needs an action that takes any text: add --action echo",
        ),
        (closed and any(target < 1 for target in targets), "a --stage without --rate goes to 1 connection or more"),
        (
            config.workers > config.connections,
            f"-w {config.workers} needs as many connections: use -c {config.workers} or more",
        ),
        (
            closed and config.requests is not None and config.workers > config.requests,
            f"-w {config.workers} needs as many requests: use -n {config.workers} or more",
        ),
        (
            closed and any(target < config.workers for target in targets),
            f"-w {config.workers} needs as many connections in every --stage",
        ),
        (
            config.max_in_flight is not None and config.max_in_flight < config.workers,
            f"-w {config.workers} needs a --max-in-flight of {config.workers} or more",
        ),
    )
