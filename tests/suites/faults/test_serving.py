"""Would it be noticed if the server did not live on?"""

from __future__ import annotations

import errno
import os

import pytest

from eventloop import Listener, Transport
from libserver import Message
from libserver.ending import Ending
from suites.faults.kernel import SleepsForEver
from suites.faults.scenarios import ALL
from suites.faults.sweep import sweep


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
    """A connection that was told to end is lost before its last reply has left."""
    monkeypatch.setattr(Ending, "_cut_short", Ending.set_reason)
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
