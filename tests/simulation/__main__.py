"""How many worlds run clean, and what did they hold?

    python -m tests.simulation --seeds 0:1000            a thousand worlds; exit code 1 if one fails
    python -m tests.simulation --replay 17 --trace       one of them again, line by line
    python -m tests.simulation --replay 17 --bug mask-0  with a bug put in, to see what catching looks like

Ctrl-C ends it with what it has. Standard library only. docs/simulation.md.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence

import stdio

from .bugs import BUGS, Bug
from .report import Report
from .world import World

__all__ = ["main"]

#: Seconds between two progress lines where they can't be overwritten.
PATIENCE = 10.0
#: Lines of the trace that are shown of a seed that failed, up to the violation.
SHOWN = 12


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.simulation", description="The deterministic simulation.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--seeds", metavar="A:B", default="0:100", help="run seeds A to B-1 (default: 0:100)")
    what.add_argument("--replay", metavar="SEED", type=int, help="run one seed and say what happened")
    parser.add_argument("--trace", action="store_true", help="with --replay: print every line")
    parser.add_argument("--bug", metavar="NAME", help="put in a bug that an invariant catches; see bugs.py")
    options = parser.parse_args(arguments)
    if options.trace and options.replay is None:
        parser.error("--trace goes with --replay SEED")
    names = {bug.name: bug for bug in BUGS}
    if options.bug is not None and options.bug not in names:
        parser.error(f"no bug is named {options.bug!r}; there are {', '.join(names)}")
    options.bug = names.get(options.bug)
    options.range = seed_range(parser, options.seeds)
    return options


def seed_range(parser: argparse.ArgumentParser, text: str) -> range:
    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        parser.error(f"{text!r} is no range of seeds: write A:B with A below B, such as 0:1000")
    return range(int(first), int(end))


def run_one(seed: int, bug: Bug | None = None) -> World:
    with bug.applied() if bug is not None else contextlib.nullcontext():
        world = World(seed)
        world.run()
    return world


# --- many --------------------------------------------------------------------------------------------


class Progress:
    """One line, written over itself where that can be; else one now and then."""

    def __init__(self, seeds: range) -> None:
        self._seeds = seeds
        self._overwrite = sys.stderr.isatty()
        self._began = self._told = time.monotonic()

    def tell(self, done: int, failed: int) -> None:
        now = time.monotonic()
        if now - self._told < (0.2 if self._overwrite else PATIENCE):
            return
        self._told = now
        left = (now - self._began) / done * (len(self._seeds) - done)
        line = f"{done} of {len(self._seeds)} seeds, {failed} failed, {left:.0f} s to go"
        print(f"\r{line}\033[K" if self._overwrite else line, end="" if self._overwrite else "\n", file=sys.stderr)
        sys.stderr.flush()

    def end(self) -> None:
        if self._overwrite:
            print("\r\033[K", end="", file=sys.stderr)


def run_many(seeds: range, bug: Bug | None = None) -> int:
    total, failed, done = Report(), [], 0
    progress = Progress(seeds)
    began = time.perf_counter()
    interrupted = False
    try:
        for seed in seeds:
            world = run_one(seed, bug)
            done += 1
            total.add(world.report)
            if world.violations:
                failed.append(seed)
                progress.end()
                tell_failure(world, bug)
            progress.tell(done, len(failed))
    except KeyboardInterrupt:
        interrupted = True
    progress.end()
    seconds = time.perf_counter() - began
    if interrupted:
        print(f"interrupted after {done} of {len(seeds)} seeds")
    print(*total.lines(), sep="\n")
    print(f"\n{done} seeds, {len(failed)} failed, in {seconds:.1f} s ({seconds / max(done, 1):.3f} s a seed)")
    if failed:
        print("failed: " + ", ".join(map(str, failed)))
        return 1
    return 130 if interrupted else 0


def tell_failure(world: World, bug: Bug | None) -> None:
    name, words = world.violations[0]
    with_bug = f" --bug {bug.name}" if bug is not None else ""
    print(f"seed {world.seed} FAILED  {name}: {words}")
    print(f"  replay: python -m tests.simulation --replay {world.seed}{with_bug} --trace")


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
        at = next(n for n, line in enumerate(lines) if "VIOLATED" in line)
        print(*lines[max(0, at - SHOWN) : at + 1], sep="\n")
    tell_failure(world, bug)
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    if options.replay is not None:
        return replay(options.replay, options.trace, options.bug)
    return run_many(options.range, options.bug)


if __name__ == "__main__":
    sys.exit(stdio.run("simulation", main))
