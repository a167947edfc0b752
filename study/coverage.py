"""Which rows of the tables did the traces take, how often, and which never?

    python -m study coverage TRACE...

Like a coverage report of code, but of the state machines: a row that no trace has taken is an
untried situation. The test suite as a whole must take every row
(tests/study/test_every_row.py), by bytes and results of system calls, never by calling the lookup.

Not here: the rows (`protocol.states`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from protocol.states import MACHINES, Machine

from .trace import TRANSITION, Trace

__all__ = ["Taken", "count", "never", "report"]

#: How often each row was taken: by machine, state and input.
Taken = Counter[tuple[str, str, str]]


def count(traces: Iterable[Trace]) -> Taken:
    """The rows that the traces took."""
    taken: Taken = Counter()
    for trace in traces:
        taken.update(
            (event.data["machine"], event.data["state"], event.data["input"])
            for event in trace.events
            if event.name == TRANSITION
        )
    return taken


def never(taken: Taken) -> list[tuple[str, str, str]]:
    """The rows not taken, in the tables' order."""
    return [key for machine in MACHINES for key in _keys(machine) if not taken[key]]


def _keys(machine: Machine) -> Iterator[tuple[str, str, str]]:
    return ((machine.name, row.state, row.input) for row in machine.rows)


def report(taken: Taken) -> Iterator[str]:
    """A table in lines, and at its end how many rows of how many."""
    for machine in MACHINES:
        yield machine.name
        for row in machine.rows:
            times = taken[machine.name, row.state, row.input]
            shown = f"{times:>9,}" if times else "    never"
            yield f"{shown}  {row.state} --{row.input}--> {row.target}"
    rows = sum(len(machine.rows) for machine in MACHINES)
    missing = len(never(taken))
    yield f"{rows - missing} of {rows} rows taken" + (f", {missing} never" if missing else "")
    unknown = sorted(set(taken) - {key for machine in MACHINES for key in _keys(machine)})
    for name, state, given in unknown:
        yield f"not in today's tables: {name} {state} on {given} (a trace of another version)"
