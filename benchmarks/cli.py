"""What can be asked of `python -m benchmarks`?

    python -m benchmarks                     every load, every peer that can run here
    python -m benchmarks --loads 64x1,64x16 --peers ours,uvloop,c --rounds 3 --seconds 0.5
    python -m benchmarks --against main~3    what a change has cost: the same beside another commit's server
    python -m benchmarks --list
    python -m benchmarks ablation            throughput left without each trick of ours
    python -m benchmarks batch               the step from bytes to replies alone, in nanoseconds
    python -m benchmarks exposure            what one unknown peer can cost at most
    python -m benchmarks fanout              one message to many subscribers, beside Redis, NATS and others
    python -m benchmarks memory              resident memory per idle connection
    python -m benchmarks generator           our load tester beside the generator in C
    python -m benchmarks growth              our load tester's memory over a long run
    python -m benchmarks restart             one of two servers restarted under load, again and again: what is lost
    python -m benchmarks scale               19,000 connections, and the arithmetic for a million
    python -m benchmarks stall               what open and closed load say of a server that stalls
    python -m benchmarks startup             how long a request, or --help, takes as a whole process
    python -m benchmarks soak                good traffic beside bad peers; nothing of it may stay
    python -m benchmarks table RESULTS.json  tables for docs/measurements

Progress goes to stderr, results to stdout. Ctrl-C ends a run early and prints what there is.
Exit codes: 0 every reply was right, 1 some were not, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import ablation, batch, generating, growth, memory, scale, stall, startup, table
from benchmarks.arguments import at_least, duration, output, pause, save
from benchmarks.compiling import GENERATOR, CannotCompile, compiled
from benchmarks.environment import environment
from benchmarks.fanout import command as fanout
from benchmarks.loads import LOADS, Load
from benchmarks.peers import OURS, PEERS, Peer, chosen
from benchmarks.plot import svg
from benchmarks.processes import cores, on_core, raise_descriptor_limit
from benchmarks.report import lines
from benchmarks.restart import command as restart
from benchmarks.revision import NoRevision, copy_of, peer_of
from benchmarks.rounds import run
from benchmarks.soak import command as soak
from benchmarks.soak import exposure
from benchmarks.stored import Run, as_text
from benchmarks.visit import Settings, Visit

__all__ = ["main"]

EXIT_RIGHT = 0
EXIT_WRONG = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

COMMANDS = {
    "ablation": ablation.main,
    "batch": batch.main,
    "exposure": exposure.main,
    "fanout": fanout.main,
    "generator": generating.main,
    "growth": growth.main,
    "memory": memory.main,
    "restart": restart.main,
    "scale": scale.main,
    "soak": soak.main,
    "stall": stall.main,
    "startup": startup.main,
    "table": table.main,
}


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in COMMANDS:
        return COMMANDS[arguments[0]](arguments[1:])
    options = _parser().parse_args(arguments)
    if options.list:
        return _list()
    with tempfile.TemporaryDirectory(prefix="multiconn-benchmarks-") as directory:
        try:
            loads = chosen(options.loads, LOADS, "load")
            peers = chosen(options.peers or ("ours" if options.against else None), PEERS, "peer")
            if options.against:
                peers = [copy_of(peer, Path(directory) / "ours") if peer.command == OURS else peer for peer in peers]
                peers.append(peer_of(options.against, Path(directory) / "before"))
            compiled(GENERATOR)
        except (ValueError, CannotCompile, NoRevision) as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return EXIT_USAGE
        return _measure(loads, peers, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="The project and its peers, side by side."
    )
    add = parser.add_argument
    add("--peers", metavar="NAMES", help="comma-separated (default: all that can run)")
    add("--loads", metavar="NAMES", help="comma-separated (default: all)")
    add(
        "--against",
        metavar="REV",
        help="the server of another commit is a peer, too; alone beside ours without --peers",
    )
    add("--rounds", type=at_least(1), default=5, metavar="N", help="visits of each server per load (5)")
    add("--seconds", type=duration, default=1.0, metavar="S", help="measured per visit (1)")
    add("--warmup", type=pause, default=0.3, metavar="S", help="before each measurement (0.3)")
    add("--seed", type=int, default=1, metavar="N", help="of the random order (1)")
    add("--json", type=output, metavar="FILE", help="write everything there")
    add("--plot", type=output, metavar="FILE", help="draw the ratios to uvloop as SVG")
    add("--list", action="store_true", help="list peers and loads, and what is missing")
    return parser


def _list() -> int:
    print("peers:")
    for peer in PEERS.values():
        missing = peer.missing()
        print(f"  {peer.name:<18}{peer.what}{f' [skipped: {missing}]' if missing else ''}")
    print("loads:")
    for load in LOADS.values():
        print(f"  {load.name:<18}{load.what}")
    return EXIT_RIGHT


def _measure(loads: Sequence[Load], peers: Sequence[Peer], options: argparse.Namespace) -> int:
    skipped = {peer.name: missing for peer in peers if (missing := peer.missing())}
    for name, reason in skipped.items():
        print(f"skipped: {name}: {reason}", file=sys.stderr)
    able = [peer for peer in peers if peer.name not in skipped]
    server_core, generator_core = cores()
    if server_core == generator_core:
        print("only one core: server and generator share it, and the figures mean little", file=sys.stderr)
    settings = Settings(options.rounds, options.seconds, options.warmup, options.seed, server_core, generator_core)
    raise_descriptor_limit()
    where = environment()
    visits: list[Visit] = []
    code = EXIT_RIGHT
    try:
        with on_core(generator_core):
            for visit in run(loads, able, settings, _say, anew=options.against is not None):
                visits.append(visit)
                if visit.broken:
                    print(f"{visit.load}, {visit.peer}: {visit.broken}", file=sys.stderr)
                    code = EXIT_WRONG
    except KeyboardInterrupt:
        print("interrupted: what follows is a part", file=sys.stderr)
        code = EXIT_INTERRUPTED
    outcome = Run(
        where,
        asdict(settings),
        {load.name: load.what for load in loads},
        {peer.name: peer.what for peer in able},
        skipped,
        visits,
        code == EXIT_INTERRUPTED,
    )
    summaries = outcome.summaries()
    _say("")
    print("\n".join(lines(summaries)))
    if options.json is not None:
        code = save(options.json, as_text(outcome)) or code
    if options.plot is not None:
        code = save(options.plot, svg(summaries, outcome.loads, outcome.caption())) or code
    return code


def _say(text: str) -> None:
    """One line that is written over, on a terminal; a line each elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    else:
        print(text, end="\n" if text else "", file=sys.stderr, flush=True)
