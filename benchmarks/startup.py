"""How long does a command take as a whole process, before it has anything to do?

    python -m benchmarks startup [--rounds 30] [--tutorial app-client.py] [--python python3]

In turns, and of each the processor time that the kernel booked (wait4): a request by `app_client.py` beside
the same by the least client that imports what the tutorial's does (or by the tutorial's own, if it is
named), and `app_server.py --help` beside `python -c pass`. Each is run once beforehand, so that what can
be compiled is.

Not here: which modules are imported (`tests/test_start.py` counts them).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.arguments import at_least
from benchmarks.processes import ROOT, CannotStart, ServerProcess, cores

__all__ = ["main"]

LEAST = Path(__file__).with_name("least_client.py")


class Failed(Exception):
    """A command did not end well; the text is what it said."""


def processor_seconds(command: Sequence[str]) -> float:
    """User and system time of one run. Raises `Failed`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        words = said.decode(errors="replace").strip()[-300:]
        raise Failed(f"{' '.join(command[1:3])} ended with {process.returncode}: {words}")
    return usage.ru_utime + usage.ru_stime


def compare(ours: Sequence[str], theirs: Sequence[str], rounds: int) -> tuple[float, float, float]:
    """Of `rounds` pairs in turn: the medians of both, in seconds, and of their ratios."""
    for command in (ours, theirs):
        processor_seconds(command)
    pairs = [(processor_seconds(ours), processor_seconds(theirs)) for _ in range(rounds)]
    ratios = [one / other for one, other in pairs if other]
    if not ratios:
        raise Failed("the system books no processor time to processes so short")
    return median(one for one, _ in pairs), median(other for _, other in pairs), median(ratios)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks startup", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=at_least(1), default=30, metavar="N", help="pairs of each (30)")
    parser.add_argument("--tutorial", metavar="FILE", help="the tutorial's app-client.py (default: the least one)")
    parser.add_argument("--python", default=sys.executable, metavar="PATH", help="the interpreter (this one)")
    options = parser.parse_args(argv)
    python = options.python
    try:
        command = [sys.executable, str(ROOT / "app_server.py"), "127.0.0.1", "0"]
        with ServerProcess(command, cores()[0]) as server:
            place = ["127.0.0.1", str(server.port)]
            words = [*place, "search", "morpheus"]
            least = [options.tutorial, *words] if options.tutorial else [str(LEAST), *place]
            for name, ours, theirs in (
                ("request", ["app_client.py", *words], least),
                ("server --help", ["app_server.py", "--help"], ["-c", "pass"]),
            ):
                one, other, ratio = compare([python, *ours], [python, *theirs], options.rounds)
                beside = "python -c pass" if theirs[0] == "-c" else Path(theirs[0]).name
                print(f"{name:<14}{one * 1e3:7.1f} ms   {beside:<16}{other * 1e3:7.1f} ms   x {ratio:.2f}")
    except (CannotStart, Failed) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0
