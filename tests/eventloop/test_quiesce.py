"""Does a listener that takes nobody new still take those that have begun?

On the real kernel: that is what is asked. Each waits for what it expects, not for a time.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from eventloop.quiesce import HANDSHAKE, refuse_new

linux = pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")


@pytest.fixture(params=["127.0.0.1", "::1"])
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as sock:
        try:
            sock.bind((request.param, 0))
        except OSError as error:
            pytest.skip(f"no {request.param} here: {error}")
        sock.listen(64)
        sock.setblocking(False)
        yield sock


def client_of(listening: socket.socket, timeout: float = 20.0) -> socket.socket:
    client = socket.socket(listening.family)
    client.settimeout(timeout)
    try:
        client.connect(listening.getsockname())
    except BaseException:
        client.close()
        raise
    return client


@linux
def test_who_has_connected_is_accepted_and_served_and_a_newcomer_hears_nothing(listening: socket.socket) -> None:
    with client_of(listening) as before:
        assert refuse_new(listening) == HANDSHAKE
        with pytest.raises(TimeoutError):
            client_of(listening, 0.2)
        accepted, _ = listening.accept()
        with accepted:
            before.sendall(b"hello")
            accepted.settimeout(20)
            assert accepted.recv(5) == b"hello"
            accepted.sendall(b"there")
            assert before.recv(5) == b"there"
        with pytest.raises(BlockingIOError):
            listening.accept()


@linux
def test_a_newcomer_that_tries_again_finds_the_successor(listening: socket.socket) -> None:
    """Its SYN is sent again after a second; refused at once, it would have given up."""
    refuse_new(listening)
    name = listening.getsockname()
    waiting = socket.socket(listening.family)
    waiting.setblocking(False)
    with waiting:
        assert waiting.connect_ex(name) == errno.EINPROGRESS  # the SYN has been dropped
        listening.close()
        with socket.socket(waiting.family) as successor:
            successor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            successor.bind(name)
            successor.listen()
            successor.settimeout(20)
            successor.accept()[0].close()


def test_a_unix_listener_refuses_newcomers_and_loses_none_that_waits(tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(64)
        listening.setblocking(False)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        for number, client in enumerate(waiting):
            client.connect(path)
            client.sendall(bytes([number]))
        assert refuse_new(listening) == 0.0
        with socket.socket(socket.AF_UNIX) as late, pytest.raises(ConnectionRefusedError):
            late.connect(path)
        for number, client in enumerate(waiting):
            accepted, _ = listening.accept()
            assert accepted.recv(1) == bytes([number])
            accepted.close()
            client.close()
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_where_the_system_can_not_nothing_happens(monkeypatch: pytest.MonkeyPatch, listening: socket.socket) -> None:
    monkeypatch.setattr(sys, "platform", "other")
    assert refuse_new(listening) == 0.0
    with client_of(listening):
        listening.accept()[0].close()
    listening.close()
    monkeypatch.setattr(sys, "platform", "linux")
    assert refuse_new(listening) == 0.0  # EBADF, as any error
