"""How is one scenario run with a fault at its first call, its second, ... until there is none left?

SQLite's habit. `sweep` runs a scenario without any fault, to see which calls it makes; then, for
each call, with each error that the call can return, at the first such call, the second and so on,
until the scenario ends without having met it. A run raises `AssertionError` if the loop did not
live on as it should. What was exercised is in the `Tally`.

Not here: the scenarios (`suites.faults.scenarios`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from suites.faults.errnos import ERRORS
from suites.faults.kernel import Faults

__all__ = ["Tally", "sweep"]

#: More calls of one kind than any scenario makes; a scenario that goes on has gone mad.
MOST_CALLS = 60

Scenario = Callable[[Faults], None]


class Tally:
    """Which call failed with which error, how often, and how late in a scenario."""

    def __init__(self) -> None:
        self.runs = 0
        self.fired: Counter[tuple[str, str]] = Counter()
        self.latest: Counter[str] = Counter()

    def note(self, call: str, error: str, nth: int) -> None:
        self.fired[call, error] += 1
        self.latest[call] = max(self.latest[call], nth)

    def add(self, other: Tally) -> None:
        self.runs += other.runs
        self.fired += other.fired
        for call, nth in other.latest.items():
            self.latest[call] = max(self.latest[call], nth)

    def __str__(self) -> str:
        lines = [f"{'call':14} {'errors':>6} {'faults':>6} {'latest':>6}"]
        for call in sorted(self.latest):
            errors = [count for (name, _), count in self.fired.items() if name == call]
            lines.append(f"{call:14} {len(errors):6} {sum(errors):6} {self.latest[call]:6}")
        lines.append(
            f"{len(self.latest)} calls, {len(self.fired)} pairs of call and errno, "
            f"{sum(self.fired.values())} faults in {self.runs} runs"
        )
        return "\n".join(lines)


def sweep(scenario: Scenario, calls: Iterable[str] = ERRORS, stride: int = 1, thorough: bool = True) -> Tally:
    """Every error at every call of the scenario, in turn; of these `calls` only.

    With a `stride` above 1 each call meets only every `stride`-th of its errors, beginning elsewhere
    each time; with `thorough` the first call of each kind meets all of them.
    """
    tally = Tally()
    clean = Faults()
    scenario(clean)
    tally.runs += 1
    for call in calls:
        if not clean.counts[call]:
            continue
        errors = ERRORS[call]
        for nth in range(1, MOST_CALLS + 1):
            chosen = errors if thorough and nth == 1 else errors[nth % min(stride, len(errors)) :: stride]
            fired = [error for error in chosen if _run(scenario, Faults(call, error, nth), tally, error)]
            if not fired:
                break
        else:
            raise AssertionError(f"{call} is called more than {MOST_CALLS} times")
        assert tally.latest[call] >= clean.counts[call] // 2, f"{call} was made more often than it was met"
    return tally


def _run(scenario: Scenario, faults: Faults, tally: Tally, error: str) -> bool:
    try:
        scenario(faults)
    except BaseException as failure:
        failure.add_note(f"with {error} at call {faults.nth} of {faults.call}")
        raise
    tally.runs += 1
    if faults.fired:
        tally.note(faults.call, error, faults.nth)
    return bool(faults.fired)
