"""What can be asked of `python -m benchmarks soak`?

Progress goes to stderr, the report to stdout. Ctrl-C ends the traffic early; what follows, and the
report, is the same. Exit codes: 0 every promise held, 1 some did not (they are named), 2 usage,
130 interrupted, whatever held until then.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.arguments import output, save
from benchmarks.environment import environment
from benchmarks.processes import CannotStart
from benchmarks.soak.figures import Check, Figures, checks, growth, last_two_thirds, percentile
from benchmarks.soak.run import Interrupt, Soak
from benchmarks.soak.settings import Settings

__all__ = ["main"]

EXIT_HELD = 0
EXIT_NOT = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

#: Minutes below which not even the timers would be reached.
SHORTEST = 0.02
#: Seconds between two lines of progress where they are not written over, at least.
SELDOM = 2.0


def main(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    if not sys.platform.startswith("linux"):
        print("benchmarks soak: it watches the server through /proc: run it on Linux", file=sys.stderr)
        return EXIT_USAGE
    settings = Settings.lasting(60 * options.minutes, options.seed)
    with Interrupt() as interrupt:
        soak = Soak(settings, Progress(), interrupt)
        try:
            soak.run()
        except CannotStart as error:
            print(f"benchmarks soak: the server does not start: {error}", file=sys.stderr)
            return EXIT_NOT
        except KeyboardInterrupt:
            print("benchmarks soak: interrupted twice: no report", file=sys.stderr)
            return EXIT_INTERRUPTED
    found = checks(soak.figures)
    print(report(soak.figures, found))
    unsaved = 0 if options.json is None else save(options.json, _as_text(settings, soak.figures, found))
    if interrupt.came:
        print("interrupted: this is a part", file=sys.stderr)
        return EXIT_INTERRUPTED
    broken = [check.name for check in found if not check.held]
    if broken:
        print(f"not held: {', '.join(broken)}", file=sys.stderr)
        return EXIT_NOT
    return unsaved or EXIT_HELD


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not SHORTEST <= minutes < 1e6:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: write minutes from {SHORTEST}, such as 0.1 or 20")
    return minutes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks soak", description="Good traffic beside bad peers; nothing of it may stay."
    )
    add = parser.add_argument
    add("--minutes", type=_minutes, default=1.0, metavar="N", help="of traffic, a fifth of it quiet, at most one (1)")
    add("--seed", type=int, default=1, metavar="S", help="of what the peers do (1)")
    add("--json", type=output, metavar="FILE", help="write everything there")
    return parser


class Progress:
    """One line that is written over, on a terminal; a line now and then elsewhere."""

    def __init__(self) -> None:
        self._again = 0.0

    def __call__(self, text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() >= self._again:
            self._again = time.monotonic() + SELDOM
            print(text, file=sys.stderr, flush=True)


def report(figures: Figures, found: Sequence[Check]) -> str:
    """A line per promise."""
    seconds = figures.samples[-1].at if figures.samples else 0.0
    made = figures.good_made + figures.bad_made
    lines = [f"{seconds:.0f} s, {made:,} connections, {figures.good_right:,} good requests"]
    lines += [f"{'held' if check.held else 'NOT HELD':<9}{check.name + ':':<19}{check.words}" for check in found]
    return "\n".join(lines)


def _as_text(settings: Settings, figures: Figures, found: Sequence[Check]) -> str:
    latencies = {"quiet": figures.quiet_us, "chaos": figures.chaos_us, "control": figures.control_us}
    numbers = asdict(figures)
    for name in latencies:
        del numbers[f"{name}_us"]
    everything = {
        "kind": "soak",
        "environment": environment(),
        "settings": asdict(settings),
        "latency_us": {
            phase: {name: percentile(values, part) for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}
            | {"count": len(values)}
            for phase, values in latencies.items()
        },
        "growth_bytes": growth(last_two_thirds(figures.samples)),
        "checks": [check._asdict() for check in found],
        "figures": numbers | {"samples": [sample._asdict() for sample in figures.samples]},
    }
    return json.dumps(everything, indent=1) + "\n"
