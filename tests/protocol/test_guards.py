"""What may happen if a driver gives any input that the rows allow?

A walk through all of it: both machines, their couplings, and the requests in flight, up to two. Whoever gives
LIFECYCLE's inputs is played by "anything that has a row, and whose guard holds". What the guards keep out is shown
by leaving each of them away.

Not here: each state against each input of one machine (test_states.py), what the drivers really do
(tests/libserver/test_lifecycle.py, suites.simulation).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from protocol import CLIENT, SERVER
from protocol.connection import Codec, Connection
from protocol.states import (
    CLOSED,
    CONNECTING,
    CONTENT,
    CONTENT_READ,
    COUPLED,
    DRAINING,
    FRAMING_LOST,
    JSONHEADER,
    LAST_CONTENT_READ,
    LIFECYCLE,
    LINGERING,
    LOST,
    OPEN,
    PROTOHEADER,
    READS,
    RECEIVE,
    RELEASED,
    SETTLED,
    SETTLED_AFTER_EOF,
    Guard,
    GuardedTransition,
    Machine,
    Row,
    UnlistedTransition,
    advance,
    begin,
)

MOST = 2  # requests in flight
IN_GOOD_ORDER = {RELEASED, SETTLED, SETTLED_AFTER_EOF}


class World(NamedTuple):
    """One connection, as far as rows and guards know it."""

    role: str
    receive: str
    life: str
    in_flight: int

    @property
    def owed(self) -> int:
        return self.in_flight + (self.receive in (JSONHEADER, CONTENT)) if self.role == SERVER else 0

    @property
    def expected(self) -> int:
        return self.in_flight if self.role == CLIENT else 0

    def steps(self, lifecycle: Machine) -> Iterator[tuple[Row | None, World]]:
        """All that may happen next. Raises `UnlistedTransition` where a coupling leads to no row."""
        if self.life in READS:
            for row in RECEIVE.rows:
                if row.state == self.receive:
                    yield from self._read(row, lifecycle)
        for row in lifecycle.rows:
            free = row.guard is None or row.guard.allows(self.receive, self.owed, self.expected)
            if row.state == self.life and row.input not in COUPLED.values() and free:
                yield row, self._replace(life=row.target)
        if self.life in READS and self.role == SERVER and self.in_flight:
            yield None, self._replace(in_flight=self.in_flight - 1)  # it replies
        if self.life == OPEN and self.role == CLIENT and self.in_flight < MOST:
            yield None, self._replace(in_flight=self.in_flight + 1)  # it asks

    def _read(self, row: Row, lifecycle: Machine) -> Iterator[tuple[Row | None, World]]:
        whole = row.input in (CONTENT_READ, LAST_CONTENT_READ)
        more = self.in_flight
        if self.role == SERVER and (whole or row.input == FRAMING_LOST):
            if more == MOST:
                return  # a server reads no more than it has room for
            more += 1
        elif self.role == CLIENT and whole:
            if not more:
                return  # a reply that nobody asked for loses the framing before
            more -= 1
        after = self._replace(receive=row.target, in_flight=more)
        yield row, after
        if row.target in COUPLED and row.target != row.state:
            coupled = lifecycle.row(self.life, COUPLED[row.target])
            yield coupled, after._replace(life=coupled.target)


def walked(lifecycle: Machine = LIFECYCLE) -> dict[World, list[tuple[Row | None, World]]]:
    """Each world that can be reached, and what may happen in it; a coupling's two steps are one."""
    begun = [World(SERVER, PROTOHEADER, OPEN, 0), World(CLIENT, PROTOHEADER, CONNECTING, 0)]
    found: dict[World, list[tuple[Row | None, World]]] = {}
    waiting = deque(begun)
    while waiting:
        world = waiting.popleft()
        if world in found:
            continue
        steps = list(world.steps(lifecycle))
        found[world] = steps
        for row, after in steps:
            coupled = row is not None and row in RECEIVE.rows and row.target in COUPLED and row.state != row.target
            if not coupled:  # it is the step behind it that counts
                waiting.append(after)
    return found


def without(guarded: Row) -> Machine:
    rows = tuple(row._replace(guard=None) if row == guarded else row for row in LIFECYCLE.rows)
    return Machine("LIFECYCLE", LIFECYCLE.initial, rows)


def cut_short(lifecycle: Machine = LIFECYCLE) -> list[str]:
    """What ends in good order in the middle of something, or leads where no row is."""
    try:
        found = walked(lifecycle)
    except UnlistedTransition as error:
        return [str(error)]
    wrong = []
    for world, steps in found.items():
        for row, _ in steps:
            if row is None or row.input not in IN_GOOD_ORDER or row.state not in (OPEN, DRAINING):
                continue
            waits = row.input == RELEASED and world.expected
            may_read = row.input == SETTLED_AFTER_EOF and world.receive == PROTOHEADER
            if world.owed or waits or may_read:
                wrong.append(f"{row.input} in {world}")
    return wrong


GUARDED = [row for row in LIFECYCLE.rows if row.guard is not None]


def test_whatever_a_driver_does_nothing_ends_in_good_order_in_the_middle_of_something() -> None:
    assert cut_short() == []


@pytest.mark.parametrize("row", GUARDED, ids=lambda row: f"{row.state} {row.input}")
def test_each_guard_keeps_something_out(row: Row) -> None:
    assert cut_short(without(row)) != []


def test_without_its_guard_settled_leads_to_a_pair_that_no_row_lists() -> None:
    (row,) = (row for row in GUARDED if row.input == SETTLED)
    (words,) = cut_short(without(row))
    assert words.startswith("LIFECYCLE: no row for input ")
    assert words.endswith(" in state LINGERING")


def test_every_row_can_be_taken_and_every_connection_can_end() -> None:
    found = walked()
    taken = {row for steps in found.values() for row, _ in steps if row is not None}
    assert [row for row in (*RECEIVE.rows, *LIFECYCLE.rows) if row not in taken] == []
    ends = {world for world in found if world.life == CLOSED}
    before: dict[World, set[World]] = {}
    for world, steps in found.items():
        for _, after in steps:
            before.setdefault(after, set()).add(world)
    waiting, can_end = deque(ends), set(ends)
    while waiting:
        for world in before.get(waiting.popleft(), ()):
            if world not in can_end:
                can_end.add(world)
                waiting.append(world)
    assert set(found) - can_end == set()


# --- when the code runs ------------------------------------------------------------------------------


class Subject:
    """In LIFECYCLE, with a connection, and watched."""

    state: str

    def __init__(self, role: str, observed: bool = True) -> None:
        self.connection = Connection(Codec(role))
        self.expected = 0
        self.told: list[str] = []
        self.observer = self if observed else None
        begin(self, LIFECYCLE, OPEN)

    def transition(self, subject: object, machine: Machine, row: Row) -> None:
        self.told.append(row.input)


def test_a_guard_that_does_not_hold_is_an_error_and_leaves_the_state_alone() -> None:
    subject = Subject(SERVER)
    advance(subject, LIFECYCLE, "SHUTDOWN")
    with pytest.raises(GuardedTransition) as caught:
        advance(subject, LIFECYCLE, SETTLED)
    assert str(caught.value) == (
        "LIFECYCLE: input SETTLED in state DRAINING needs RECEIVE in FINISHED, FAILED; no reply owed"
    )
    assert caught.value.pair == (DRAINING, SETTLED)
    assert (subject.state, subject.told) == (DRAINING, ["SHUTDOWN"])
    subject.connection.give_up()
    advance(subject, LIFECYCLE, SETTLED)
    assert (subject.state, subject.told) == (LINGERING, ["SHUTDOWN", SETTLED])


def test_a_client_is_not_released_while_it_expects_a_reply() -> None:
    subject = Subject(CLIENT)
    subject.expected = 1
    assert subject.connection.owed == 0
    with pytest.raises(GuardedTransition, match="no reply owed; no reply expected"):
        advance(subject, LIFECYCLE, RELEASED)
    subject.expected = 0
    advance(subject, LIFECYCLE, RELEASED)


def test_a_server_owes_what_is_in_flight() -> None:
    subject = Subject(SERVER)
    subject.connection.in_flight = 3
    assert subject.connection.owed == 3
    subject.connection.feed(b"\0")
    assert subject.connection.owed == 4, "a request has begun to arrive"


def test_where_nobody_watches_nothing_is_asked() -> None:
    """The drivers are the same; it would cost each connection a hundredth of what it costs."""
    subject = Subject(SERVER, observed=False)
    subject.connection.in_flight = 1
    advance(subject, LIFECYCLE, RELEASED)
    assert subject.state == CLOSED


def test_a_subject_without_a_connection_has_no_facts_to_ask_for() -> None:
    """A tool may have a subject that reads nothing."""
    subject = Subject(SERVER)
    del subject.connection
    advance(subject, LIFECYCLE, RELEASED)
    assert subject.told == [RELEASED]


def test_a_guard_says_what_it_needs() -> None:
    assert str(Guard((PROTOHEADER, CONTENT), nothing_owed=False)) == "RECEIVE in PROTOHEADER, CONTENT"
    assert Guard((CONTENT,), nothing_owed=False).allows(CONTENT, 1, 1)
    assert not Guard((CONTENT,)).allows(PROTOHEADER, 0, 0)
    assert LOST not in {row.input for row in GUARDED}
