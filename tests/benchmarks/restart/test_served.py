"""Does the server with books note whom it accepted, and what it carried out?"""

from __future__ import annotations

import sys
import time
from array import array
from pathlib import Path

from benchmarks.processes import ServerProcess, cores
from benchmarks.restart.served import ACCEPTED, CARRIED
from tests.support.peer import dialled
from tests.support.wire import keep


def noted(path: Path) -> list[int]:
    found = array("q")
    found.frombytes(path.read_bytes())
    return list(found)


def test_the_books_hold_each_connection_with_its_time_and_each_mark(tmp_path: Path) -> None:
    books = tmp_path / "books"
    begun = time.monotonic_ns()
    command = [sys.executable, "-m", "benchmarks.restart.served", str(books), "127.0.0.1", "0"]
    with ServerProcess(command, cores()[0]) as server:
        ports = []
        for values in ([1 << 40, 7], [9]):
            with dialled(server.port) as client:
                ports.append(client.sock.getsockname()[1])
                for value in values:
                    assert client.ask(keep("mark", value)).result == value
        assert server.end() == 0
    accepted = noted(tmp_path / f"books{ACCEPTED}")
    assert accepted[::2] == ports
    times = [begun, *accepted[1::2], time.monotonic_ns()]
    assert times == sorted(times)
    assert noted(tmp_path / f"books{CARRIED}") == [1 << 40, 7, 9]


def test_the_books_of_a_server_that_nobody_asked_are_empty(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.restart.served", str(tmp_path / "books"), "127.0.0.1", "0"]
    with ServerProcess(command, cores()[0]) as server:
        assert server.end() == 0
    assert noted(tmp_path / f"books{ACCEPTED}") == noted(tmp_path / f"books{CARRIED}") == []
