"""`load A --against B`: how does a run load two servers in turns, and compare them?

    app_client.py load A --against B -o DIR         files in DIR/a and DIR/b, and DIR/comparison.json

Rules:

* Ctrl-C ends both runs; it compares the blocks so far.
* As a threshold it implies `--require-valid`.

Not here: taking turns (`engine.interleaved`), the figures of a comparison (`judge.compare`), its words
(`output.comparison`).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from libclient.connect import resolve
from multiconn.loadtest.config import Config
from multiconn.loadtest.engine.interleaved import InterleavedRun
from multiconn.loadtest.engine.preflight import PreflightError, check_actions, preflight
from multiconn.loadtest.engine.workload import Workload
from multiconn.loadtest.judge.bootstrap import FEWEST
from multiconn.loadtest.judge.compare import Comparison, Side, Slice, blocks_of, compare
from multiconn.loadtest.measure.intervals import MEASURING
from multiconn.loadtest.outcome import Outcome
from multiconn.loadtest.output.comparison import comparison_object, comparison_text
from multiconn.loadtest.output.files import DirectoryTaken, Writer, claim
from multiconn.loadtest.output.report import header, report
from multiconn.loadtest.output.summary import summary
from multiconn.loadtest.output.units import time_text
from multiconn.loadtest.process.child import ChildServer, server_command
from multiconn.loadtest.process.signals import Interrupts
from multiconn.loadtest.sink import Plan, Sink
from protocol.files import replace
from protocol.printable import printable_json

from . import DONE, FILES_LOST, UsageError
from .arguments import version
from .compare import exit_code as comparison_exit_code
from .load_exit_code import exit_code, first_of
from .load_files import finish, say_if_died
from .output import program, remark

__all__ = ["COMPARISON", "block_of", "run"]

COMPARISON = "comparison.json"

#: Seconds. Half a second is some hundred replies at least, and short beside what a machine does.
SHORTEST, LONGEST = 0.1, 1.0
#: Pairs, unless they would be shorter or longer than that.
USUAL = 20


def block_of(config: Config, asked: float | None) -> tuple[float, int]:
    """Seconds of a block, and how many each target has. Raises `UsageError` if they would be too few."""
    duration = config.duration or 0.0
    block = min(max(duration / USUAL, SHORTEST), LONGEST) if asked is None else asked
    pairs = int(duration / block + 1e-6)
    if pairs < FEWEST:
        raise UsageError(
            f"-d {duration:g}s has only {pairs} blocks of {block:g} s, and it takes {FEWEST} to tell chance from "
            f"change: use -d {FEWEST * block:g}s or longer; see {program()} load --help"
        )
    return block, pairs


def run(args: argparse.Namespace, config: Config, interrupts: Interrupts, stack: ExitStack, claims: ExitStack) -> int:
    """`load A --against B`; the exit code. Raises what `load` knows how to say.

    What is in `stack` ends with the runs, what is in `claims` with the command.
    """
    block, pairs = block_of(config, args.block)
    workload = Workload(config)
    theirs = resolve(args.against)
    ours = resolve(args.target) if args.target is not None else []
    _preflight(args, config, {end.sockaddr for end in ours} & {end.sockaddr for end in theirs})
    writers = dict(_writers(args, config, stack, claims))
    targets = {"a": args.target, "b": args.against}
    child = None
    if args.target is None:
        child = ChildServer(server_command(config.sockets))
        targets["a"] = stack.enter_context(child)
        ours = resolve(targets["a"])
    for address, ends in ((targets["a"], ours), (targets["b"], theirs)):
        check_actions(config, workload, address, ends)
    sinks: dict[str, list[Sink]] = {side: [writers[side]] if side in writers else [] for side in targets}
    try:
        both = InterleavedRun(
            config,
            {"a": (targets["a"], ours), "b": (targets["b"], theirs)},
            sinks,
            block,
            pairs,
            partial(_show_pair, pairs) if args.ui != "none" else _show_nothing,
        )
    except ValueError as error:
        raise PreflightError(str(error)) from None
    if args.ui != "none":
        print(
            f"{header(config, str(targets['a']))}, against {targets['b']} in turns of {block:g} s (seed {config.seed})",
            file=sys.stderr,
            flush=True,
        )
    for side, of_one in sinks.items():
        for sink in of_one:
            sink.begin(Plan(config, str(targets[side]), time.time()))
    interrupts.stop_by(both.interrupt)
    outcomes = both.run()
    for side, of_one in sinks.items():
        for sink in of_one:
            sink.end(outcomes[side])
    if child is not None:
        say_if_died(child)
    stack.close()  # the child is gone before the report
    return _show(args, both, outcomes, writers, interrupts)


def _preflight(args: argparse.Namespace, config: Config, common: set[Any]) -> None:
    """Both have their connections at a time, in one process; they share ports only if both are one server."""
    both = 2 * config.sockets
    for address in (args.target, args.against):
        preflight(both if common else config.sockets, address, config.source_ips, in_one_process=both)


def _writers(
    args: argparse.Namespace, config: Config, stack: ExitStack, claims: ExitStack
) -> Iterator[tuple[str, Writer]]:
    if args.out is None:
        return
    out = Path(args.out)
    ours = claim(out)
    if ours is not None:
        claims.callback(os.close, ours)
    if os.path.lexists(out / COMPARISON):
        raise DirectoryTaken(f"{out} has a comparison already; name another directory, or remove it")
    for side in ("a", "b"):
        writer = Writer(out / side, config.percentiles)
        claims.callback(writer.release)
        stack.callback(writer.close)
        yield side, writer


def _show_nothing(pair: int, slices: dict[str, list[Slice]]) -> None:
    """With `--ui none`."""


def _show_pair(pairs: int, pair: int, slices: dict[str, list[Slice]]) -> None:
    """A line per pair."""
    sides = []
    for side, of_one in slices.items():
        last = next((each for each in reversed(of_one) if each.phase == MEASURING), None)
        if last is not None:
            p50, p99 = (time_text(value / 1e9) for value in last.latency.percentiles((50, 99)))
            rate = last.replies / last.seconds if last.seconds else 0.0
            sides.append(f"{side.upper()} {rate:>9,.0f}/s  p50 {p50:>7}  p99 {p99:>7}")
    print(f"  pair {pair:>3} of {pairs}   " + "   ".join(sides), file=sys.stderr, flush=True)


def _show(
    args: argparse.Namespace,
    both: InterleavedRun,
    outcomes: dict[str, Outcome],
    writers: dict[str, Writer],
    interrupts: Interrupts,
) -> int:
    """Reports, files, the comparison, and the exit code."""
    pair = f"{os.getpid()}-{time.time_ns()}"
    sides = {}
    for side, outcome in outcomes.items():
        made = summary(outcome, sys.argv, version())
        made["run"]["turns"] = {"pair": pair, "side": side, "order": both.order, "block_s": both.block}
        sides[side] = Side(outcome.target, made, blocks_of(both.slices[side], visits=True))
    comparison = compare(sides["a"], sides["b"], interleaved=True, seed=outcomes["a"].config.seed)
    words = "\n".join(_screens(outcomes, comparison))
    whole = True
    try:
        if args.json:
            if args.ui != "none":
                print(words, file=sys.stderr, flush=True)
            summaries: dict[str, Any] = {side: of_one.summary for side, of_one in sides.items()}
            print(printable_json({**summaries, "comparison": comparison_object(comparison)}), flush=True)
        else:
            print(words, flush=True)
    finally:
        if writers:
            whole = _save(Path(args.out) / COMPARISON, comparison)
            for side, writer in writers.items():
                whole = finish(writer, sides[side].summary or {}, interrupts) and whole
    codes = [exit_code(outcome) for outcome in outcomes.values()]
    codes += [comparison_exit_code(comparison), DONE if whole else FILES_LOST]
    return first_of(codes)


def _save(path: Path, comparison: Comparison) -> bool:
    try:
        replace(path, [(printable_json(comparison_object(comparison), indent=1) + "\n").encode()])
    except OSError as error:
        remark(f"app_client.py load: {path} can't be written ({error.strerror}); keep what is printed here")
        return False
    return True


def _screens(outcomes: dict[str, Outcome], comparison: Comparison) -> Iterator[str]:
    for side, outcome in outcomes.items():
        yield f"\n{side.upper()} = {outcome.target}"
        yield report(outcome)
    yield ""
    yield comparison_text(comparison)
