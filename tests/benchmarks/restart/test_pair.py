"""Is one of two servers always up, and is it told what one of them did that it should not?"""

from __future__ import annotations

import socket
import threading
from array import array
from pathlib import Path
from typing import Any

import pytest

from benchmarks.processes import CannotStart
from benchmarks.restart import pair
from benchmarks.restart.pair import HOST, Pair, keep_port
from benchmarks.restart.served import ACCEPTED, CARRIED
from tests.support.peer import dialled
from tests.support.wire import keep

PATIENCE = 20.0


def test_a_port_that_is_kept_is_free_for_a_server_and_for_nobody_else() -> None:
    with keep_port() as keeper:
        port = keeper.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port), timeout=PATIENCE)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((HOST, port))
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            server.bind((HOST, port))
            server.listen()
            socket.create_connection((HOST, port), timeout=PATIENCE).close()


def test_two_servers_are_restarted_in_turn_and_their_books_are_added_up(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    twice = threading.Event()

    def after(number: int) -> None:
        told.append(("after", number))
        if number == 1:
            twice.set()

    with keep_port() as keeper:
        port = keeper.getsockname()[1]
        with Pair([port], tmp_path, before=lambda number: told.append(("before", number)), after=after) as both:
            with dialled(port) as client:
                assert client.ask(keep("mark", 41)).result == 41
                asking = client.sock.getsockname()[1]
            assert not both.over
            both.begin()
            assert twice.wait(PATIENCE)
            both.stop_restarting()
            assert both.over
            with dialled(port) as client:
                assert client.ask(keep("mark", 42)).result == 42
        accepted, carried = both.books()
    assert told[:4] == [("before", 0), ("after", 0), ("before", 1), ("after", 1)]
    assert both.restarts >= 2
    assert both.wrong == []
    assert carried == [41, 42]
    assert asking in [came for came, _ in accepted]
    assert len(accepted) == 2


class Ending:
    """A server that ends as a test says, where `Pair` starts one."""

    def __init__(self, code: int | None = 0, words: str = "") -> None:
        self._code, self._words = code, words

    def __call__(self, command: list[str], core: int) -> Any:
        for name in (ACCEPTED, CARRIED):
            Path(command[3] + name).write_bytes(array("q", [7, 8]).tobytes())
        return self

    def end(self, patience: float) -> int | None:
        return self._code

    def said(self) -> str:
        return self._words

    def stop(self) -> None: ...


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (Ending(), None),
        (Ending(1, "no"), "a server ended with 1: no"),
        (Ending(None), "a server ended with None: "),
        (Ending(0, "Traceback (most recent call last)"), "a server ended with 0: Traceback"),
        (Ending(0, "Cut while draining: 3"), "a server ended with 0: Cut while"),
    ],
)
def test_an_end_that_is_not_in_order_is_told(
    server: Ending, words: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair, "ServerProcess", server)
    with Pair([1, 2], tmp_path) as both:
        pass
    assert len(both.wrong) == (0 if words is None else 2)
    assert all(one.startswith(words or "") for one in both.wrong)
    assert both.books() == ([(7, 8), (7, 8)], [7, 8, 7, 8])


def test_a_server_that_does_not_come_back_ends_the_restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Ending()
    started: list[object] = []

    def start(command: list[str], core: int) -> Any:
        started.append(command)
        if len(started) > 2:
            raise CannotStart("the port is taken")
        return good(command, core)

    monkeypatch.setattr(pair, "ServerProcess", start)
    with Pair([1, 2], tmp_path) as both:
        both.begin()
        both._thread.join(PATIENCE)
        assert both.over
    assert both.restarts == 0
    assert both.wrong == ["a server does not come back: the port is taken"]
