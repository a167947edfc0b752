"""Is every peer started alike, and does it say where it listens as our own server does?"""

from __future__ import annotations

import resource
import socket
import sys
from types import SimpleNamespace

import pytest

from benchmarks.peers.command import READ_SIZE, announce, arguments, listen, read_modestly
from benchmarks.processes import LISTENING


def test_host_port_and_the_flags_of_a_peer_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda what, pair: limits.append(pair))
    monkeypatch.setattr(sys, "argv", ["peer", "127.0.0.1", "0", "--uvloop"])
    options = arguments("--uvloop", "--slow")
    assert (options.host, options.port, options.uvloop, options.slow) == ("127.0.0.1", 0, True, False)
    assert limits == [(resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2], "as many descriptors as there may be"


def test_accepted_sockets_do_not_wait_for_more_to_send() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname(), timeout=20):
        sock, _ = listening.accept()
        with sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_where_it_listens_is_said_in_words_that_the_harness_reads(capsys: pytest.CaptureFixture[str]) -> None:
    announce(("127.0.0.1", 4711))
    found = LISTENING.search(capsys.readouterr().err)
    assert found is not None
    assert found[1] == "4711"


def test_a_transport_that_reads_too_much_at_once_is_made_to_read_less() -> None:
    asyncio_s, uvloop_s = SimpleNamespace(max_size=256 * 1024), SimpleNamespace()
    read_modestly(asyncio_s)
    read_modestly(uvloop_s)
    assert (asyncio_s.max_size, vars(uvloop_s)) == (READ_SIZE, {})
