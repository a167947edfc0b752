"""How are two servers loaded so that only they can make the difference?

    app_client.py load A --against B -o DIR         files in DIR/a and DIR/b, and DIR/comparison.json

A machine drifts: it heats up, a neighbour wakes, a cache fills. Two runs one after the other differ by
that alone, often by more than what one wants to see. So both targets are visited in turns, in blocks of
a fraction of a second, and each block has a neighbour of the other target.

    pair      1    2    3    4            a coin decides between abba and baab,
    order     a b  b a  b a  a b          so that neither drift nor rhythm favours a side

Rules:

* The load is the same: one configuration, one seed, one schedule (`schedule_sha256`). An open run's
  schedule stands still while the other target is visited.
* Connections stay. They are idle meanwhile; what the server closes is replaced in the next visit.
* Nothing is in flight when the turn goes over: a visit ends with the last reply, or its timeout.
* The first fifth of a block, on average, is not measured: there all connections start at once, and may go on in
  step. How long it is a die decides, for each pair: a window that always begins at the same beat would round the number
  of beats in it always to the same side.
* Ctrl-C ends both, and what there is is compared.
* As a gate it implies `--require-valid`.

Not here: a visit (`engine.runner`), the statistics (`judge.bootstrap`), the words (`judge.compare`).
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from eventloop import Address, Endpoint
from libclient.connect import resolve
from multiconn.commands import UsageError
from multiconn.commands.output import program, remark
from multiconn.commands.report import finish
from protocol.files import replace
from protocol.printable import printable_json

from ..config import Config
from ..judge.bootstrap import FEWEST
from ..judge.compare import Comparison, Side, Slice, blocks_of, compare, said, slice_of, to_object
from ..judge.thresholds import Abort, parse
from ..measure.intervals import MEASURING, OVER, Interval, Plan, Sink
from ..outcome import COMPLETED, FILES_LOST, INTERNAL_ERROR, INVALID, USAGE, Outcome, exit_code, summary
from ..output import report
from ..output.files import DirectoryTaken, Writer, claim
from ..process.child import ChildServer, server_command
from ..process.signals import Interrupts
from .preflight import PreflightError, check_actions, preflight
from .runner import Runner
from .workload import Workload

__all__ = ["COMPARISON", "InterleavedRun", "block_of", "order_of", "run", "settling_of"]

COMPARISON = "comparison.json"

#: Seconds. Half a second is some hundred replies at least, and short beside what a machine does.
SHORTEST, LONGEST = 0.1, 1.0
#: Pairs, unless they would be shorter or longer than that.
USUAL = 20
#: The share of a block that is not measured.
SETTLING = 0.2

#: load.md's order of exit codes: the first that applies to either run is the command's.
_ORDER = (INTERNAL_ERROR, USAGE, 130, 143, 3, 4, INVALID, 99, FILES_LOST, COMPLETED)


def order_of(pairs: int, chance: random.Random) -> str:
    """The order of the visits: abba or baab for every two pairs."""
    return "".join(chance.choice(("abba", "baab")) for _ in range((pairs + 1) // 2))[: 2 * pairs]


def settling_of(pairs: int, chance: random.Random) -> list[float]:
    """What share of its block each pair does not measure: around `SETTLING`, which is their exact mean."""
    shares = []
    for _ in range((pairs + 1) // 2):
        share = chance.uniform(0.25, 1.75) * SETTLING
        shares += [share, 2 * SETTLING - share]
    return [*shares[:-2], SETTLING] if pairs % 2 else shares


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


class _KeptSlices:
    """A `Sink` that keeps what a comparison needs."""

    def __init__(self) -> None:
        self.slices: list[Slice] = []

    def begin(self, plan: Plan) -> None:
        """Nothing to keep yet."""

    def interval(self, interval: Interval) -> None:
        self.slices.append(slice_of(interval))

    def end(self, outcome: Outcome) -> None:
        """All is kept."""


class InterleavedRun:
    """Two runs that take turns. `told(k, pairs)` is called after each pair. Raises `ValueError` as `Runner` does.

    `order` is how it was done, `slices` are the intervals of each run, by "a" and "b".
    """

    def __init__(
        self,
        config: Config,
        targets: dict[str, tuple[Address, Sequence[Endpoint]]],
        sinks: dict[str, list[Sink]],
        block: float,
        pairs: int,
    ) -> None:
        self.block = block
        self.pairs = pairs
        self.order = ""
        self._config = config
        self.told: Callable[[int, int], object] = lambda done, pairs: None
        self._kept = {side: _KeptSlices() for side in targets}
        self._runners = {
            side: Runner(config, address, endpoints, [*sinks[side], self._kept[side]])
            for side, (address, endpoints) in targets.items()
        }
        self._current: Runner | None = None
        self._interrupted: int | None = None
        if config.abort_on:
            expressions = [parse(text) for text in config.abort_on]
            for runner in self._runners.values():
                runner.sinks.append(Abort(expressions, runner.abort))

    @property
    def slices(self) -> dict[str, list[Slice]]:
        return {side: kept.slices for side, kept in self._kept.items()}

    def interrupt(self, number: int) -> None:
        """Signal `number` came: end both. Safe in a signal handler."""
        self._interrupted = number
        if self._current is not None:
            self._current.interrupt(number)

    def run(self) -> dict[str, Outcome]:
        """Both runs to their end. Raises `AccountingError`, and what a signal handler raises."""
        try:
            for runner in self._runners.values():
                self._turn(runner, runner.connect)
            if not self._ended():
                self._take_turns()
            whole = len(self.order) == 2 * self.pairs
            outcomes = {side: runner.leave(whole=whole) for side, runner in self._runners.items()}
        finally:
            for runner in self._runners.values():
                runner.close()
        for outcome in outcomes.values():
            outcome.interrupted = self._interrupted
            outcome.cores = 0  # more processes are no way out here
        return outcomes

    def _take_turns(self) -> None:
        chance = random.Random(f"turns {self._config.seed}")
        order, shares = order_of(self.pairs, chance), settling_of(self.pairs, chance)
        for number, side in enumerate(order):
            runner = self._runners[side]
            settle = self.block * shares[number // 2]
            if side not in self.order:
                settle += self._config.warmup
            self.order += side
            self._turn(runner, partial(runner.visit, settle, self.block * (1 - SETTLING)))
            if self._ended():
                return
            if number % 2:
                self.told(number // 2 + 1, self.pairs)

    def _turn(self, runner: Runner, do: Callable[[], None]) -> None:
        if self._ended():
            return
        self._current = runner
        if self._interrupted is not None:  # just now, and it was the other's turn
            runner.interrupt(self._interrupted)
        do()

    def _ended(self) -> bool:
        return self._interrupted is not None or any(runner.phase is OVER for runner in self._runners.values())


# --- the command ---------------------------------------------------------------------


def run(args: argparse.Namespace, config: Config, interrupts: Interrupts, stack: ExitStack, claims: ExitStack) -> int:
    """`load A --against B`; the exit code. Raises what `commands.load` knows how to say.

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
        turns = InterleavedRun(config, {"a": (targets["a"], ours), "b": (targets["b"], theirs)}, sinks, block, pairs)
    except ValueError as error:
        raise PreflightError(str(error)) from None
    if args.ui != "none":
        turns.told = _Told(turns)
        print(
            f"{report.header(config, str(targets['a']))}, against {targets['b']} in turns of {block:g} s "
            f"(seed {config.seed})",
            file=sys.stderr,
            flush=True,
        )
    for side, of_one in sinks.items():
        for sink in of_one:
            sink.begin(Plan(config, str(targets[side]), time.time()))
    interrupts.stop = turns.interrupt
    outcomes = turns.run()
    for side, of_one in sinks.items():
        for sink in of_one:
            sink.end(outcomes[side])
    if child is not None:
        child.tell_if_died()
    stack.close()  # the child is gone before the report
    return _tell(args, turns, outcomes, writers, interrupts)


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


class _Told:
    """A line per pair."""

    def __init__(self, turns: InterleavedRun) -> None:
        self._turns = turns

    def __call__(self, done: int, pairs: int) -> None:
        parts = []
        for side, slices in self._turns.slices.items():
            last = next((part for part in reversed(slices) if part.phase == MEASURING), None)
            if last is not None:
                p50, p99 = (report.time_text(value / 1e9) for value in last.latency.percentiles((50, 99)))
                rate = last.replies / last.seconds if last.seconds else 0.0
                parts.append(f"{side.upper()} {rate:>9,.0f}/s  p50 {p50:>7}  p99 {p99:>7}")
        print(f"  pair {done:>3} of {pairs}   " + "   ".join(parts), file=sys.stderr, flush=True)


def _tell(
    args: argparse.Namespace,
    turns: InterleavedRun,
    outcomes: dict[str, Outcome],
    writers: dict[str, Writer],
    interrupts: Interrupts,
) -> int:
    """Reports, files, the comparison, and the exit code."""
    pair = f"{os.getpid()}-{time.time_ns()}"
    sides = {}
    for side, outcome in outcomes.items():
        told = summary(outcome, sys.argv)
        told["run"]["turns"] = {"pair": pair, "side": side, "order": turns.order, "block_s": turns.block}
        sides[side] = Side(outcome.target, told, blocks_of(turns.slices[side], visits=True))
    comparison = compare(sides["a"], sides["b"], interleaved=True, seed=outcomes["a"].config.seed)
    words = "\n".join(_screens(outcomes, comparison))
    whole = True
    try:
        if args.json:
            if args.ui != "none":
                print(words, file=sys.stderr, flush=True)
            both: dict[str, Any] = {side: of_one.summary for side, of_one in sides.items()}
            print(printable_json({**both, "comparison": to_object(comparison)}), flush=True)
        else:
            print(words, flush=True)
    finally:
        if writers:
            whole = _save(Path(args.out) / COMPARISON, comparison)
            for side, writer in writers.items():
                told = sides[side].summary or {}
                whole = finish(writer, told, interrupts) and whole
    codes = [exit_code(outcome) for outcome in outcomes.values()]
    codes += [comparison.exit_code(), COMPLETED if whole else FILES_LOST]
    return min(codes, key=lambda code: _ORDER.index(code) if code in _ORDER else 2)


def _save(path: Path, comparison: Comparison) -> bool:
    try:
        replace(path, [(printable_json(to_object(comparison), indent=1) + "\n").encode()])
    except OSError as error:
        remark(f"app_client.py load: {path} can't be written ({error.strerror}); keep what is printed here")
        return False
    return True


def _screens(outcomes: dict[str, Outcome], comparison: Comparison) -> Iterator[str]:
    for side, outcome in outcomes.items():
        yield f"\n{side.upper()} = {outcome.target}"
        yield report.report(outcome)
    yield ""
    yield said(comparison)
