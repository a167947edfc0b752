"""How many worlds run clean, and what did they hold?

    python -m suites.simulation --seeds 0:1000            a thousand worlds; exit code 1 if one fails
    python -m suites.simulation --seeds 0:100000 --resume FILE   goes on where it was stopped
    python -m suites.simulation --replay 17 --trace       one of them again, line by line
    python -m suites.simulation --shrink 17               what one that fails really needs
    python -m suites.simulation --replay 17 --bug mask-0  with a bug put in, to see what catching looks like

Ctrl-C ends it with what it has. Standard library only. docs/understand/simulation.md.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from multiconn.commands import stdio

from .bug import Bug
from .bugs import BUGS
from .ledger import Ledger
from .plan import drawn
from .report import Report
from .shrink import shrunk
from .story import last_lines, story
from .world import World

__all__ = ["main"]

#: Seconds between two progress lines where they can't be overwritten.
PATIENCE = 10.0
#: Seeds between two entries of the ledger.
ENTRY = 100


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m suites.simulation", description="The deterministic simulation.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--seeds", metavar="A:B", default="0:100", help="run seeds A to B-1 (default: 0:100)")
    what.add_argument("--replay", metavar="SEED", type=int, help="run one seed and say what happened")
    what.add_argument("--shrink", metavar="SEED", type=int, help="say what a seed that fails really needs")
    parser.add_argument("--resume", metavar="FILE", type=Path, help="with --seeds: go on where a run with FILE ended")
    parser.add_argument("--trace", action="store_true", help="with --replay or --shrink: print every line")
    parser.add_argument("--bug", metavar="NAME", help="put in a bug that an invariant catches; see bugs.py")
    options = parser.parse_args(arguments)
    one = options.replay is not None or options.shrink is not None
    if options.trace and not one:
        parser.error("--trace goes with --replay SEED or --shrink SEED")
    if options.resume and one:
        parser.error("--resume goes with --seeds A:B")
    names = {bug.name: bug for bug in BUGS}
    if options.bug is not None and options.bug not in names:
        parser.error(f"no bug is named {options.bug!r}; there are {', '.join(names)}")
    options.bug = names.get(options.bug)
    options.range = seed_range(parser, options.seeds)
    try:
        bug = options.bug.name if options.bug else None
        options.ledger = None if one else Ledger(options.resume, options.range, bug)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return options


def seed_range(parser: argparse.ArgumentParser, text: str) -> range:
    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        parser.error(f"{text!r} is no range of seeds: write A:B with A below B, such as 0:1000")
    return range(int(first), int(end))


def with_bug(bug: Bug | None) -> contextlib.AbstractContextManager[object]:
    return bug.applied() if bug is not None else contextlib.nullcontext()


def run_one(seed: int, bug: Bug | None = None) -> World:
    with with_bug(bug):
        world = World(seed)
        world.run()
    return world


# --- many --------------------------------------------------------------------------------------------


class Progress:
    """One line, written over itself where that can be; else one now and then."""

    def __init__(self, seeds: int, already: int) -> None:
        self._seeds = seeds
        self._already = already
        self._overwrite = sys.stderr.isatty()
        self._began = self._told = time.monotonic()

    def tell(self, done: int, failed: int) -> None:
        now = time.monotonic()
        if now - self._told < (0.2 if self._overwrite else PATIENCE):
            return
        self._told = now
        left = (now - self._began) / (done - self._already) * (self._seeds - done)
        line = f"{done} of {self._seeds} seeds, {failed} failed, {left:.0f} s to go"
        print(f"\r{line}\033[K" if self._overwrite else line, end="" if self._overwrite else "\n", file=sys.stderr)
        sys.stderr.flush()

    def end(self) -> None:
        if self._overwrite:
            print("\r\033[K", end="", file=sys.stderr)


def run_many(seeds: range, ledger: Ledger, bug: Bug | None = None) -> int:
    if ledger.done:
        print(f"{ledger.done} of {len(seeds)} seeds were run before, {len(ledger.failed)} failed")
    progress = Progress(len(seeds), ledger.done)
    interrupted = False
    while ledger.done < len(seeds) and not interrupted:
        interrupted = run_some(seeds[ledger.done : ledger.done + ENTRY], ledger, progress, bug)
    progress.end()
    if interrupted:
        print(f"interrupted after {ledger.done} of {len(seeds)} seeds")
    print(*ledger.report.lines(), sep="\n")
    each = ledger.seconds / max(ledger.done, 1)
    print(f"\n{ledger.done} seeds, {len(ledger.failed)} failed, in {ledger.seconds:.1f} s ({each:.3f} s a seed)")
    if ledger.failed:
        print("failed: " + ", ".join(map(str, ledger.failed)))
        return 1
    return 130 if interrupted else 0


def run_some(seeds: range, ledger: Ledger, progress: Progress, bug: Bug | None) -> bool:
    """One entry of the ledger; returns whether Ctrl-C cut it short."""
    report, failed, done = Report(), [], 0
    began = time.perf_counter()
    interrupted = False
    try:
        for seed in seeds:
            world = run_one(seed, bug)
            done += 1
            report.add(world.report)
            if world.violations:
                failed.append(seed)
                progress.end()
                tell_failure(world, bug)
            progress.tell(ledger.done + done, len(ledger.failed) + len(failed))
    except KeyboardInterrupt:
        interrupted = True
    ledger.add(done, failed, time.perf_counter() - began, report)
    return interrupted


def tell_failure(world: World, bug: Bug | None) -> None:
    name, words = world.violations[0]
    with_it = f" --bug {bug.name}" if bug is not None else ""
    print(f"seed {world.seed} FAILED  {name}: {words}")
    print(f"  replay: python -m suites.simulation --replay {world.seed}{with_it} --trace")
    print(f"  shrink: python -m suites.simulation --shrink {world.seed}{with_it}")


# --- one ---------------------------------------------------------------------------------------------


def replay(seed: int, trace: bool, bug: Bug | None = None) -> int:
    world = run_one(seed, bug)
    lines = list(world.trace.lines())
    if trace:
        print(*lines, sep="\n")
    print(f"seed {seed}: {len(lines)} lines, sha256 {world.trace.digest()}")
    if not world.violations:
        print("no invariant was violated")
        return 0
    if not trace:
        print(*last_lines(world), sep="\n")
    tell_failure(world, bug)
    return 1


def shrink(seed: int, trace: bool, bug: Bug | None = None) -> int:
    first = drawn(seed)
    with with_bug(bug):
        found = shrunk(first)
    if trace and found.world is not None:
        print(*found.world.trace.lines(), sep="\n")
    print(*story(seed, first, found), sep="\n")
    return 0 if found.world is None else 1


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    if options.replay is not None:
        return replay(options.replay, options.trace, options.bug)
    if options.shrink is not None:
        return shrink(options.shrink, options.trace, options.bug)
    return run_many(options.range, options.ledger, options.bug)


if __name__ == "__main__":
    sys.exit(stdio.run("simulation", main))
