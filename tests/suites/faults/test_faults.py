"""Whatever a system call of the server or the client fails with, the loop lives on.

A part of the whole: every error at the first call of each kind, in the thorough scenarios; a few of
them at the later calls, and in the other scenarios. All of it, with the figures in a table: `python -m suites.faults`.
"""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from eventloop import Listener, Transport
from libclient import Pool
from libclient.call import Call
from libserver import Message
from suites.faults.errnos import ERRORS
from suites.faults.kernel import Faults, SleepsForEver
from suites.faults.scenarios import ALL
from suites.faults.sweep import Tally, sweep

#: Between them they make every call of the table.
THOROUGH = ("server: pipeline", "server: large", "client: requests", "client: large", "start")


@pytest.mark.parametrize("name", ALL)
def test_the_loop_lives_on(name: str) -> None:
    thorough = name in THOROUGH
    tally = sweep(ALL[name], stride=6 if thorough else 12, thorough=thorough)
    print(f"\n{name}\n{tally}")
    assert max(tally.latest.values()) > 1, "no call was met more than once"
    if thorough:
        assert set(tally.fired) == {(call, error) for call in tally.latest for error in ERRORS[call]}


def test_the_thorough_scenarios_make_every_call_of_the_table() -> None:
    made: set[str] = set()
    for name in THOROUGH:
        faults = Faults()
        ALL[name](faults)
        made |= set(faults.counts)
    assert made == set(ERRORS)
    print(f"{len(ERRORS)} calls, {sum(map(len, ERRORS.values()))} pairs of call and errno")


# --- does it detect? -----------------------------------------------------------------------------


def breaks(name: str, call: str, match: str | None = None) -> None:
    with pytest.raises((AssertionError, OSError, SleepsForEver), match=match):
        sweep(ALL[name], [call])


def test_a_transport_that_lets_an_error_out_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(self: Transport) -> None:
        self.protocol.data_received(self.sock.recv(65536))

    monkeypatch.setattr(Transport, "on_readable", careless)
    breaks("server: pipeline", "recv")


def test_a_loss_that_is_not_told_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    lose = Transport._lose

    def silent(self: Transport, error: OSError | None) -> None:
        if error is None or error.errno != errno.EPIPE:
            lose(self, error)

    monkeypatch.setattr(Transport, "_lose", silent)
    breaks("server: pipeline", "send", "stuck")


def test_a_listener_that_stays_deaf_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listener, "_resume", lambda self: None)
    breaks("server: pipeline", "accept", "stuck")


def test_a_second_reason_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Message.connection_lost

    def twice(self: Message, error: Exception | None) -> None:
        lost(self, error)
        if error is not None:
            self.server.closed_by[next(iter(self.server.closed_by))] += 1

    monkeypatch.setattr(Message, "connection_lost", twice)
    breaks("server: pipeline", "recv")


def test_a_loss_counted_as_good_order_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a drain took a connection whose reply had just failed to leave for an idle one."""
    idle: Any = Message.idle.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(
        Message,
        "idle",
        property(lambda self: idle(self) or (self.transport.closed and self.state == "OPEN")),
    )
    breaks("server: drain", "send", "ended as {'shutdown'}")


def test_a_descriptor_that_is_left_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    lost = Message.connection_lost

    def leaking(self: Message, error: Exception | None) -> None:
        lost(self, error)
        if error is not None:
            left.append(os.dup(0))

    monkeypatch.setattr(Message, "connection_lost", leaking)
    try:
        breaks("server: pipeline", "send", "a descriptor is left")
    finally:
        for number in left:
            os.close(number)


def test_a_client_that_repeats_what_must_not_be_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    init = Call.__init__
    monkeypatch.setattr(Call, "__init__", lambda self, request, idempotent=False: init(self, request, True))
    breaks("client: pipeline", "recv")


def test_a_client_that_waits_for_ever_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pool, "_repeatable", lambda self, message, ending: [])
    breaks("client: requests", "send", "waits for what will not come")


def test_the_tally_counts_pairs_faults_and_runs() -> None:
    tally = Tally()
    tally.note("recv", "EPIPE", 2)
    tally.note("recv", "EPIPE", 1)
    tally.note("send", "EPIPE", 1)
    other = Tally()
    other.runs = 5
    other.note("recv", "EIO", 3)
    tally.add(other)
    assert str(tally).splitlines()[-1] == "2 calls, 3 pairs of call and errno, 4 faults in 5 runs"
    assert tally.latest["recv"] == 3
