"""`python -m benchmarks fanout`: arguments, progress, the tables.

    python -m benchmarks fanout                     our server, Redis and others: deliveries a second, latency, cost
    python -m benchmarks fanout --stalled 1         what one subscriber of a hundred that does not read changes
    python -m benchmarks fanout --memory            bytes held for each message that waits, ten thousand subscribers

Exit codes: 0 all was delivered once and in order, and a stalled subscriber costs the others no more than our server
promises; 1 not so; 2 usage; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from benchmarks.arguments import at_least, duration, output, pause, save
from benchmarks.compiling import FANOUT_DRIVER, CannotCompile, compiled
from benchmarks.environment import environment
from benchmarks.fanout.drive import Driven, Row
from benchmarks.fanout.report import by_row, effect_lines, held_lines, overview
from benchmarks.fanout.rounds import run
from benchmarks.fanout.servers import BASE, OURS, PEERS, SPARE, Peer
from benchmarks.fanout.stalled import effects
from benchmarks.fanout.stalled import rows as stalled_rows
from benchmarks.fanout.waiting import WaitingFailed, measure
from benchmarks.peers import chosen
from benchmarks.processes import CannotStart, cores, on_core, raise_descriptor_limit
from benchmarks.results import summarize
from benchmarks.visit import Settings

__all__ = ["ROWS", "main"]

EXIT_HOLDS = 0
EXIT_NOT = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

ROWS = "100x1,1000x1,100x16,1000x16"
#: The issue's own figures.
STALLED_OF = 100
WAITING = 10_000
#: Descriptors of the server and of the driver beside their connections.
OTHER_FILES = 2 * SPARE


def main(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    try:
        compiled(FANOUT_DRIVER)
        peers = chosen(options.peers, PEERS, "peer")
        if options.stalled and options.stalled >= (options.subscribers or STALLED_OF):
            raise ValueError("of all subscribers at least one must read: see --stalled and --subscribers")
    except (ValueError, CannotCompile) as error:
        print(f"benchmarks fanout: {error}", file=sys.stderr)
        return EXIT_USAGE
    limit = raise_descriptor_limit()
    if options.memory:
        return _memory(options, limit)
    able = []
    for peer in peers:
        if missing := peer.missing():
            print(f"skipped: {peer.name}: {missing}", file=sys.stderr)
        else:
            able.append(peer)
    if not able:
        return EXIT_NOT
    print("; ".join(f"{peer.name}: {peer.version()}" for peer in able if peer.version()), file=sys.stderr)
    return _visit(able, options)


def _visit(peers: Sequence[Peer], options: argparse.Namespace) -> int:
    """The table, or with --stalled the other one."""
    server_core, driver_core = cores()
    if server_core == driver_core:
        print("only one core: server and driver share it, and the figures mean little", file=sys.stderr)
    settings = Settings(options.rounds, options.seconds, options.warmup, options.seed, server_core, driver_core)
    groups: list[Sequence[Row]] = [[row] for row in options.rows]
    if options.stalled:
        groups = [stalled_rows(options.subscribers or STALLED_OF, options.stalled, options.in_flight)]
    rows = [row.name for group in groups for row in group]
    visits: list[tuple[Row, Peer, Driven]] = []
    code = EXIT_HOLDS
    try:
        with on_core(driver_core):
            for row, peer, driven in run(groups, peers, settings, _say):
                visits.append((row, peer, driven))
                if driven.visit.broken:
                    print(f"\n{row.name}, {peer.name}: {driven.visit.broken}", file=sys.stderr)
                    code = EXIT_NOT
    except KeyboardInterrupt:
        print("\ninterrupted: what follows is a part", file=sys.stderr)
        code = EXIT_INTERRUPTED
    _say("")
    order = [*PEERS]
    if options.stalled:
        found = sorted(effects(visits), key=lambda one: order.index(one.peer))
        lines = [
            f"{options.stalled} of {options.subscribers or STALLED_OF} subscribers do not read",
            *effect_lines(found),
        ]
        if code == EXIT_HOLDS and any(one.peer == OURS and not one.holds for one in found):
            code = EXIT_NOT
    else:
        summaries = summarize((driven.visit for _, _, driven in visits), bases=(BASE,))
        summaries.sort(key=lambda one: (rows.index(one.load), order.index(one.peer)))
        lines = [*by_row(summaries), *overview(summaries)]
    print("\n".join(lines))
    if options.json is not None:
        code = save(options.json, _as_json(settings, peers, visits, code == EXIT_INTERRUPTED)) or code
    return code


def _memory(options: argparse.Namespace, limit: int) -> int:
    wanted = options.subscribers or WAITING
    stalled = min(wanted, limit - OTHER_FILES)
    if stalled < wanted:
        print(f"the descriptor limit of {limit} allows {stalled} subscribers only", file=sys.stderr)
    try:
        held = measure(stalled, options.messages, options.size, options.settle, cores(), _say)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except (CannotStart, WaitingFailed) as error:
        print(f"\nbenchmarks fanout: {error}", file=sys.stderr)
        return EXIT_NOT
    _say("")
    print("\n".join(held_lines(held)))
    code = EXIT_NOT if held.broken else EXIT_HOLDS
    if options.json is not None:
        everything = {
            "kind": "fanout-memory",
            "environment": environment(),
            "held": asdict(held),
            "waiting": held.waiting,
            "per_message": held.per_message,
        }
        code = save(options.json, json.dumps(everything, indent=1) + "\n") or code
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks fanout",
        description="One message to many subscribers: our server, Redis, NATS and others, side by side.",
        epilog="peers: " + "; ".join(f"{peer.name}: {peer.what}" for peer in PEERS.values()),
    )
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument(
        "--stalled",
        type=at_least(1),
        metavar="N",
        help="instead of the table: what N subscribers that do not read change for the others",
    )
    parts.add_argument(
        "--memory",
        action="store_true",
        help="instead of the table: bytes that our server holds for each message that waits",
    )
    add = parser.add_argument
    add("--peers", metavar="NAMES", help="comma-separated (default: all that can run)")
    add("--rows", type=_rows, default=_rows(ROWS), metavar="ROWS", help=f"subscribers x messages in flight ({ROWS})")
    add("--rounds", type=at_least(1), default=5, metavar="N", help="visits of each server per row (5)")
    add("--seconds", type=duration, default=1.0, metavar="S", help="measured per visit (1)")
    add("--warmup", type=pause, default=0.3, metavar="S", help="before each measurement (0.3)")
    add("--seed", type=int, default=1, metavar="N", help="of the random order (1)")
    add(
        "--subscribers",
        type=at_least(1),
        metavar="N",
        help=f"with --stalled: all of them ({STALLED_OF}); with --memory: those that do not read ({WAITING})",
    )
    add("--in-flight", type=at_least(1), default=1, metavar="N", help="with --stalled: messages in flight (1)")
    add("--messages", type=at_least(1), default=1000, metavar="N", help="with --memory: how many are published (1000)")
    add("--size", type=_size, default=1024, metavar="BYTES", help="with --memory: of each of them (1024)")
    add("--settle", type=pause, default=3.0, metavar="S", help="with --memory: seconds before each reading (3)")
    add("--json", type=output, metavar="FILE", help="write everything there")
    return parser


def _rows(text: str) -> list[Row]:
    """SUBSCRIBERSxIN_FLIGHT, with commas between them."""
    rows = []
    for word in text.split(","):
        subscribers, _, in_flight = word.partition("x")
        try:
            rows.append(Row(at_least(1)(subscribers), at_least(1)(in_flight)))
        except argparse.ArgumentTypeError:
            raise argparse.ArgumentTypeError(f"{word[:40]!r} is not a row such as 100x1, both numbers from 1") from None
    return rows


def _size(text: str) -> int:
    """The driver's bounds: a message begins with its number, and fits a short WebSocket frame."""
    size = at_least(16)(text)
    if size > 0xFFFF:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is more than 65535 bytes")
    return size


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def _as_json(
    settings: Settings, peers: Iterable[Peer], visits: Iterable[tuple[Row, Peer, Driven]], interrupted: bool
) -> str:
    everything = {
        "kind": "fanout",
        "environment": environment(),
        "settings": asdict(settings),
        "peers": {peer.name: {"what": peer.what, "version": peer.version()} for peer in peers},
        "visits": [asdict(driven.visit) | {"cut": driven.cut} for _, _, driven in visits],
        "interrupted": interrupted,
    }
    return json.dumps(everything, indent=1) + "\n"
