"""Does the machine take the same transitions again?

    python -m study replay TRACE

A trace has every received byte. `replay` gives them, in the same pieces, to a new
`protocol.Connection` of the same role, and compares the rows of RECEIVE it takes with the recorded
ones, and the inputs that its couplings give to LIFECYCLE. So a trace from production is a
regression test.

It asks the machine for an event where the trace has one, so a paused connection's unread bytes stay
unread. It takes from the trace the inputs that the bytes do not hold: GIVEN_UP (a timer, a drain), and
the owner's inputs of LIFECYCLE (SETTLED, RELEASED, LOST, SHUTDOWN ...) and of each subscription's DELIVERY. Of these
it checks that the table has the row, and that each begins in the state that the last one led to.

Not here: sockets, timers, handlers. A replay needs the bytes: `--trace-bytes` must have kept all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol import CLIENT, SERVER, Codec, Connection, Limits
from protocol.states import (
    COUPLED,
    CURRENT,
    DELIVERY,
    GIVEN_UP,
    LIFECYCLE,
    OVER,
    RECEIVE,
    Machine,
    Row,
    UnlistedTransition,
)

from .trace import SYSCALL, TRANSITION, Event, Trace

__all__ = ["CannotReplay", "Verdict", "replay"]


class CannotReplay(Exception):
    """The trace does not hold what a replay needs; the text says what, and what to do."""


@dataclass(slots=True)
class Verdict:
    """`compared` transitions of RECEIVE, `checked` of the others; `differences` in words, none if all is well."""

    group: str
    compared: int = 0
    checked: int = 0
    differences: list[str] = field(default_factory=list)


class _Taken:
    """An observer that remembers the rows."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def transition(self, subject: object, machine: Machine, row: Row) -> None:
        self.rows.append(row)


def replay(trace: Trace) -> Iterable[Verdict]:
    """A verdict for each connection. Raises `CannotReplay`."""
    for group, events in trace.groups.items():
        yield _replay(trace, group, events)


def _replay(trace: Trace, group: str, events: list[Event]) -> Verdict:
    verdict = Verdict(group)
    taken = _Taken()
    role = SERVER if trace.vantage == "server" else CLIENT
    connection = Connection(Codec(role, _limits(trace)), taken)
    receive: list[dict[str, str]] = []
    lifecycle: list[dict[str, str]] = []
    deliveries: dict[str, list[dict[str, str]]] = {}
    for event in events:
        data = event.data
        if event.name == SYSCALL and data.get("direction") == "in" and isinstance(data["result"], int):
            _feed(connection, event)
        elif event.name == TRANSITION and data["machine"] == LIFECYCLE.name:
            lifecycle.append(data)
        elif event.name == TRANSITION and data["machine"] == DELIVERY.name and "topic" in data:
            deliveries.setdefault(data["topic"], []).append(data)
        elif event.name == TRANSITION and data["machine"] == RECEIVE.name:
            receive.append(data)
            if data["input"] == GIVEN_UP:
                connection.give_up()
            elif len(taken.rows) < len(receive):
                connection.next_event()
            if not _agree(verdict, taken.rows, receive):
                break
    verdict.compared = len(receive)
    if not verdict.differences and len(taken.rows) > len(receive):
        verdict.differences.append(f"RECEIVE now also takes {_arrow(taken.rows[len(receive)][:3])}")
    _check_rows(verdict, LIFECYCLE, lifecycle)
    for recorded in deliveries.values():
        _check_rows(verdict, DELIVERY, recorded, CURRENT)
    _check_couplings(verdict, receive, lifecycle)
    return verdict


def _limits(trace: Trace) -> Limits:
    """The limits of the recorded endpoint: they decide what is too large."""
    fields = trace.head["trace"]["common_fields"]
    default = Limits()
    max_content = fields.get("max_content", default.max_content)
    # A trace that does not name it is older than that limit.
    return Limits(fields.get("max_header", default.max_header), max_content, fields.get("max_json", max_content))


def _agree(verdict: Verdict, rows: list[Row], recorded: list[dict[str, str]]) -> bool:
    """Is the last recorded transition of RECEIVE what the machine took there?"""
    number = len(recorded)
    then = _row(recorded[-1])
    if len(rows) < number:
        verdict.differences.append(f"transition {number} of RECEIVE was {_arrow(then)}, and is not taken now")
    elif rows[number - 1][:3] != then:
        now = rows[number - 1]
        verdict.differences.append(f"transition {number} of RECEIVE was {_arrow(then)}, and is now {_arrow(now[:3])}")
    return not verdict.differences


def _arrow(row: tuple[str, str, str]) -> str:
    state, given, target = row
    return f"{state} --{given}--> {target}"


def _feed(connection: Connection, event: Event) -> None:
    data = bytes.fromhex(event.data.get("bytes", ""))
    if len(data) != event.data["result"]:
        raise CannotReplay(
            f"connection {event.group}: {event.data['result']} bytes came in at {event.time} ms and the trace kept "
            f"{len(data)}: record with a larger --trace-bytes"
        )
    if data:
        connection.feed(data)
    else:
        connection.feed_eof()


def _check_rows(verdict: Verdict, machine: Machine, recorded: list[dict[str, str]], state: str | None = None) -> None:
    """It began in `state`, if that is known. Where a subscription is over another one to its topic may begin."""
    for data in recorded:
        verdict.checked += 1
        if state is not None and data["state"] != state:
            verdict.differences.append(f"{machine.name} was {state}, and then {_arrow(_row(data))}")
        state = CURRENT if data["target"] == OVER else data["target"]
        try:
            row = machine.row(data["state"], data["input"])
        except UnlistedTransition as error:
            verdict.differences.append(str(error))
            continue
        if row.target != data["target"]:
            verdict.differences.append(f"{_arrow(_row(data))} was recorded; the table says {row.target}")


def _row(data: dict[str, str]) -> tuple[str, str, str]:
    return data["state"], data["input"], data["target"]


def _check_couplings(verdict: Verdict, receive: list[dict[str, str]], lifecycle: list[dict[str, str]]) -> None:
    """Each state of RECEIVE that is coupled gave its input, unless the connection had ended before."""
    changes = [data for data in receive if data["target"] != data["state"]]
    owed = [COUPLED[data["target"]] for data in changes if data["target"] in COUPLED]
    given = [data["input"] for data in lifecycle if data["input"] in COUPLED.values()]
    if given != owed[: len(given)]:
        verdict.differences.append(f"the couplings gave LIFECYCLE {owed}; recorded are {given}")
