"""In what order do cases run, how many at once, and what becomes of what goes wrong?

Rules:

* Three phases: TOGETHER in threads, slow ones first; then ALONE, one after the other; then LAST.
* Of the heavy cases a few run at once, so that the others' timing stays theirs.
* After each case its target is asked whether it is whole; if it is not, the case FAILED.
* A case about a part that its target does not have, and need not have, is not run: UNIMPLEMENTED.
* A case that raises what it should not is FAILED too, and says so: a hole in the suite must not look like an OK.
* Interrupted, it stops beginning cases and returns the results it has.

Not here: what a case does, how results are shown (`report`).
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterable

from .case import (
    ALONE,
    FAILED,
    INFORMATIONAL,
    LAST,
    NON_STRICT,
    OK,
    TOGETHER,
    UNIMPLEMENTED,
    Case,
    Failed,
    Informational,
    Result,
    Target,
    Unimplemented,
)

__all__ = ["run", "run_case"]

HEAVY_AT_ONCE = 2

#: Called with each result as it is there.
Tell = Callable[[Result], None]


def run(cases: Iterable[Case], target: Target, tell: Tell) -> tuple[list[Result], bool]:
    """Run them all: the results in the cases' order, and whether it came to the end."""
    chosen = list(cases)
    results: dict[str, Result] = {}

    def keep(result: Result) -> None:
        results[result.case.id] = result
        tell(result)

    together = sorted((c for c in chosen if c.phase == TOGETHER), key=lambda c: (not c.slow, c.heavy))
    complete = True
    try:
        _side_by_side(together, target, keep)
        for phase in (ALONE, LAST):
            for case in chosen:
                if case.phase == phase:
                    keep(run_case(case, target))
    except KeyboardInterrupt:
        complete = False
    return [results[c.id] for c in chosen if c.id in results], complete


def _side_by_side(cases: list[Case], target: Target, keep: Tell) -> None:
    waiting: queue.SimpleQueue[Case] = queue.SimpleQueue()
    done: queue.SimpleQueue[Result] = queue.SimpleQueue()
    heavy = threading.Semaphore(HEAVY_AT_ONCE)
    stopped = threading.Event()
    for case in cases:
        waiting.put(case)

    def work() -> None:
        while not stopped.is_set():
            try:
                case = waiting.get_nowait()
            except queue.Empty:
                return
            if case.heavy:
                with heavy:
                    done.put(run_case(case, target))
            else:
                done.put(run_case(case, target))

    # Daemons: after Ctrl-C nobody waits for a case that still has its patience.
    for _ in range(min(target.jobs, len(cases))):
        threading.Thread(target=work, daemon=True).start()
    try:
        for _ in cases:
            keep(done.get())
    finally:
        stopped.set()


def run_case(case: Case, target: Target) -> Result:
    """Run one case, and look after it."""
    begun = time.monotonic()
    run = target.begin(case)
    verdict, expected, came = OK, case.expected, ""
    try:
        try:
            run.check_part()
            case.run(run)
        finally:
            run.close()
        if run.deviations:
            verdict = NON_STRICT
            expected = "; ".join(dict.fromkeys(wanted for wanted, _ in run.deviations))
            came = "; ".join(dict.fromkeys(got for _, got in run.deviations))
    except Failed as failure:
        verdict, expected, came = FAILED, failure.expected, failure.came
    except Informational as words:
        verdict, came = INFORMATIONAL, str(words)
    except Unimplemented as words:
        verdict, came = UNIMPLEMENTED, str(words)
    except Exception as error:
        verdict, came = FAILED, f"an error of the suite itself: {error!r}"
        run.seen += traceback.format_exc().splitlines()[-6:]
    try:
        target.after(run)
    except Failed as failure:
        if verdict != FAILED:
            verdict, expected, came = FAILED, failure.expected, failure.came
    except Exception as error:
        verdict, came = FAILED, f"an error of the suite itself: {error!r}"
    return Result(case, verdict, expected, came or "as expected", time.monotonic() - begun, run.seen)
