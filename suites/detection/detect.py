"""Is each broken server caught by its case, and does the healthy one pass it?

`look` starts one server and runs cases against it; `findings` does so for every variant, and for the
healthy server under each variant's options, side by side.

Servers are forked from a process that has imported everything (multiprocessing's fork server): a
server's start costs a few milliseconds instead of an interpreter's.

Not here: the mistakes (`framing`, `replies`, `flow`, `topics`), the cases (`suites.conformance`).
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from suites.conformance.__main__ import load_cases
from suites.conformance.case import CASES, SERVER, TOGETHER, Case, Options, Result
from suites.conformance.runner import run, run_case
from suites.conformance.targets import ServerTarget

from . import broken, naive
from .registry import BREAKS, Break

__all__ = ["NAIVE", "Finding", "findings", "look", "naive_results", "quick", "serving", "slow", "starred"]

NAIVE = "naive"

#: Seconds for a forked server to listen, and to end once it is told to.
STARTS, ENDS = 15.0, 5.0
#: Seconds a case waits for a timer: the variants' own are a second.
PATIENCE = 3.0
#: Servers at once. They mostly wait.
AT_ONCE = 16
#: Of those that are known by how busy they are, as many as a small machine has processors.
SLOW_AT_ONCE = 2

LISTENING = "Listening on tcp://127.0.0.1:"


@dataclass(frozen=True)
class Finding:
    """What the case said of the broken server and of the healthy one."""

    variant: Break
    broken: Result
    healthy: Result

    @property
    def caught(self) -> bool:
        return self.broken.verdict == self.variant.verdict and self.healthy.verdict == "OK"


def _serve(name: str, options: Sequence[str], log: str) -> None:
    """In the forked process: be that server, with stderr in a file."""
    with open(log, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 2)
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    if name == NAIVE:
        naive.main("127.0.0.1", "0")
    else:
        sys.exit(broken.main([name, "127.0.0.1", "0", *options]))


@contextmanager
def serving(name: str, options: Sequence[str] = ()) -> Iterator[tuple[int, int]]:
    """Port and pid of a variant, of `healthy` or of `naive`, while it runs."""
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # heard only before the first start
    with tempfile.NamedTemporaryFile("r", suffix=".log", encoding="utf-8") as log:
        process = context.Process(target=_serve, args=(name, tuple(options), log.name), daemon=True)
        process.start()
        try:
            yield _port(process, log), process.pid
        finally:
            process.terminate()
            process.join(0.2)  # a variant that is stuck does not drain
            process.kill()
            process.join(ENDS)


def _port(process: Any, log: Any) -> int:
    until = time.monotonic() + STARTS
    while time.monotonic() < until and process.is_alive():
        log.seek(0)
        said = log.read()
        if LISTENING in said and "\n" in said:
            return int(said.partition(LISTENING)[2].split()[0])
        time.sleep(0.01)
    log.seek(0)
    raise RuntimeError(f"the server did not listen: {log.read()[-500:]}")


def look(name: str, cases: Iterable[str], options: Sequence[str] = ()) -> dict[str, Result]:
    """Run the cases, one after the other, against one server: id -> result."""
    load_cases()
    with serving(name, options) as (port, pid):
        blocking = "slow" if "--app" in options else None
        target = ServerTarget("127.0.0.1", port, Options(patience=PATIENCE, pid=pid, blocking_action=blocking))
        return {id: run_case(CASES[id], target) for id in cases}


def findings(names: Iterable[str] | None = None) -> dict[str, Finding]:
    """Every variant, or those named, against its case: name -> finding."""
    chosen = [BREAKS[name] for name in (BREAKS if names is None else names)]
    groups: dict[tuple[str, ...], dict[str, None]] = {}
    for variant in chosen:
        groups.setdefault(variant.options, {}).update(dict.fromkeys((*variant.after, variant.caught_by)))
    broken_ones: dict[str, Result] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        healthy = {options: pool.submit(look, broken.HEALTHY, cases, options) for options, cases in groups.items()}
        soon = [variant for variant in chosen if not variant.slow]
        broken_ones.update(zip((v.name for v in soon), pool.map(_look_at, soon), strict=True))
    with ThreadPoolExecutor(SLOW_AT_ONCE) as pool:
        late = [variant for variant in chosen if variant.slow]
        broken_ones.update(zip((v.name for v in late), pool.map(_look_at, late), strict=True))
    return {v.name: Finding(v, broken_ones[v.name], healthy[v.options].result()[v.caught_by]) for v in chosen}


def _look_at(variant: Break) -> Result:
    """What its case says of it."""
    return look(variant.name, (*variant.after, variant.caught_by), variant.options)[variant.caught_by]


def quick(case: Case) -> bool:
    """It runs side by side with others."""
    return case.phase == TOGETHER


def slow(case: Case) -> bool:
    """It needs the machine for itself."""
    return not quick(case)


def starred(which: Callable[[Case], bool] | None = None) -> list[Case]:
    """The cases that a one-shot server must fail."""
    load_cases()
    cases = [case for case in CASES.values() if case.star and case.role == SERVER]
    return [case for case in cases if which is None or which(case)]


def naive_results(which: Callable[[Case], bool] | None = None) -> list[Result]:
    """What the starred cases say of the naive server."""
    with serving(NAIVE) as (port, pid):
        target = ServerTarget("127.0.0.1", port, Options(patience=1.0, pid=pid))
        results, _ = run(starred(which), target, lambda result: None)
    return results
