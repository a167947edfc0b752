"""Is a server started on its core, watched from outside, and stopped?"""

from __future__ import annotations

import os
import socket
import sys

import pytest

from benchmarks import processes
from benchmarks.peers import PEERS
from benchmarks.processes import CannotStart, ServerProcess, cores, on_core, resident_bytes


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(CannotStart, match="No module named"):
        ServerProcess([*PEERS["asyncio"].command_line("127.0.0.1", 0)[:2], "benchmarks.peers.nobody"], cores()[0])


def test_a_server_says_where_it_listens_is_watched_and_ends_in_order() -> None:
    before = os.sched_getaffinity(0)
    with ServerProcess(PEERS["ours"].command_line("127.0.0.1", 0), cores()[0]) as server:
        assert os.sched_getaffinity(server.pid) == {cores()[0]}
        socket.create_connection(("127.0.0.1", server.port), timeout=20).close()
        assert server.cpu_seconds() > 0
        assert resident_bytes(server.pid) > 1 << 20
        assert not server.ended
        assert server.end() == 0
        assert server.ended
        assert "Closed: accepted 1" in server.said()
    assert os.sched_getaffinity(0) == before


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "START_SECONDS", 0.1)
    with pytest.raises(CannotStart, match="did not say where it listens within 0 s"):
        ServerProcess([sys.executable, "-c", "import threading; threading.Event().wait()"], cores()[0])


def test_a_server_that_does_not_end_is_killed() -> None:
    stubborn = (
        "import signal, threading; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('Listening on 127.0.0.1:1', flush=True); threading.Event().wait()"
    )
    with ServerProcess([sys.executable, "-c", stubborn], cores()[0]) as server:
        assert server.end(patience=0.05) is None
        assert server.ended


def test_what_is_started_on_a_core_stays_there_and_we_come_back() -> None:
    before = os.sched_getaffinity(0)
    with on_core(cores()[1]):
        assert os.sched_getaffinity(0) == {cores()[1]}
    assert os.sched_getaffinity(0) == before
