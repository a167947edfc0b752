"""`python -m benchmarks restart`: arguments, progress, the table."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from benchmarks.arguments import at_least, duration, output, pause, save
from benchmarks.environment import environment
from benchmarks.processes import CannotStart
from benchmarks.restart.clients import KINDS
from benchmarks.restart.run import SETTINGS, Enough, Outcome, cannot, run

__all__ = ["main", "table"]

EXIT_HELD = 0
EXIT_NOT = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

#: Seconds between two lines of progress where they are not written over.
SELDOM = 5.0
#: Losses that are shown one by one.
SHOWN = 10


def main(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    enough = Enough(options.requests, options.restarts, options.seconds)
    arguments = [] if options.drain_grace is None else ["--drain-grace", f"{options.drain_grace:g}s"]
    outcomes: list[Outcome] = []
    code = EXIT_HELD
    try:
        for setting in options.settings:
            if (missing := cannot(setting)) is not None:
                print(f"skipped: {setting}: {missing}", file=sys.stderr)
                continue
            outcomes.append(run(setting, options.clients, enough, arguments, Progress(setting)))
    except KeyboardInterrupt:
        print("\ninterrupted: this is a part", file=sys.stderr)
        code = EXIT_INTERRUPTED
    except (CannotStart, OSError) as error:
        print(f"\nbenchmarks restart: {setting}: {error}", file=sys.stderr)
        code = EXIT_NOT
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print("\n".join(table(outcomes)))
    if options.json is not None:
        code = save(options.json, json.dumps(_as_json(outcomes), indent=1) + "\n") or code
    if code == EXIT_HELD and not (outcomes and all(outcome.holds for outcome in outcomes)):
        code = EXIT_NOT
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks restart",
        description="Restart one of two servers under load, again and again: is a request lost?",
        epilog="settings: " + "; ".join(f"{name}: {what}" for name, what in SETTINGS.items()),
    )
    add = parser.add_argument
    add("--settings", type=_names(SETTINGS), default=list(SETTINGS), metavar="NAMES", help=f"of {', '.join(SETTINGS)}")
    add("--clients", type=_names(KINDS), default=list(KINDS), metavar="NAMES", help=f"of {', '.join(KINDS)}")
    add("--requests", type=at_least(1), default=100_000, metavar="N", help="of each kind of client, at least (100000)")
    add("--restarts", type=at_least(1), default=40, metavar="N", help="in each setting, at least (40)")
    add("--seconds", type=duration, default=600.0, metavar="S", help="of each setting, at most (600)")
    add("--drain-grace", type=pause, metavar="S", help="of the servers (their default)")
    add("--json", type=output, metavar="FILE", help="write everything there")
    return parser


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        asked = text.split(",")
        if unknown := [name for name in asked if name not in known]:
            raise argparse.ArgumentTypeError(f"there is no {unknown[0]!r}; there are {', '.join(known)}")
        return asked

    return names


class Progress:
    """One line that is written over, on a terminal; a line now and then elsewhere."""

    def __init__(self, setting: str) -> None:
        self._setting = setting
        self._again = 0.0

    def __call__(self, text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{self._setting}: {text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() >= self._again:
            self._again = time.monotonic() + SELDOM
            print(f"{self._setting}: {text}", file=sys.stderr, flush=True)


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """A line per setting and kind of client, then what went wrong."""
    lines = [
        f"{'setting':<20} {'clients':<11} {'restarts':>8} {'requests':>9} "
        f"{'lost':>6} {'by the kernel':>14} {'twice':>6} {'sent again':>11}"
    ]
    for outcome in outcomes:
        for kind, one in outcome.accounts.items():
            lines.append(
                f"{outcome.setting:<20} {kind:<11} {outcome.restarts:>8,} {one.requests:>9,} "
                f"{len(one.kept_lost):>6,} {len(one.kernel_lost):>14,} {one.twice:>6,} "
                f"{outcome.traffic[kind].sent_again:>11,}"
            )
    for outcome in outcomes:
        lines += [f"{outcome.setting}: {words}" for words in outcome.wrong]
        for kind, one in outcome.accounts.items():
            for lost in one.kept_lost[:SHOWN]:
                after = (lost.ended - lost.made) / 1e9
                lines.append(f"{outcome.setting}, {kind}: lost {after:.3f} s after connecting: {lost.why}")
    return lines


def _as_json(outcomes: Sequence[Outcome]) -> dict[str, object]:
    return {
        "kind": "restart",
        "environment": environment(),
        "outcomes": [
            {
                "setting": outcome.setting,
                "seconds": outcome.seconds,
                "restarts": outcome.restarts,
                "wrong": outcome.wrong,
                "clients": {
                    kind: {
                        "requests": one.requests,
                        "lost": [asdict(lost) for lost in one.kept_lost],
                        "lost_by_the_kernel": [asdict(lost) for lost in one.kernel_lost],
                        "twice": one.twice,
                        "sent_again": outcome.traffic[kind].sent_again,
                        "not_connected": outcome.traffic[kind].not_connected,
                        "ends": dict(outcome.traffic[kind].ends),
                    }
                    for kind, one in outcome.accounts.items()
                },
            }
            for outcome in outcomes
        ],
    }
