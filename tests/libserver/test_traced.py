"""A server that is watched asks the same of the kernel, and takes the same rows, as one that is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eventloop import listener
from libserver import Actions
from protocol.limits import DIRECT_CONTENT
from protocol.states import LIFECYCLE, Machine, Row
from tests.support.peer import Peer
from tests.support.server import Turned, turned
from tests.support.wire import ask, binary, framed, json_message, keep, message

Calls = list[tuple[str, object]]
NOTED = ("recv", "recv_into", "send", "sendmsg", "shutdown", "close")


class Noting:
    """A socket that writes down what is asked of it, and what came of that."""

    def __init__(self, sock: socket.socket, calls: Calls) -> None:
        self._sock = sock
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._sock, name)
        if name not in NOTED:
            return method

        def noted(*arguments: Any) -> Any:
            try:
                result = method(*arguments)
            except OSError as error:
                self._calls.append((name, error.errno))
                raise
            self._calls.append((name, len(result) if isinstance(result, bytes) else result))
            return result

        return noted


class Silent:
    def transition(self, subject: object, machine: Machine, row: Row) -> None: ...


def actions() -> Actions:
    made = Actions()
    made.add("slow", blocking=True)(lambda request: "slow")
    made.add("fails")(lambda request: 1 / 0)
    made.add("counts")(lambda request, session: len(session))
    return made


def cut(data: bytes, size: int = 30_000) -> list[bytes]:
    """Pieces that each come whole: one recv takes all of it."""
    return [data[at : at + size] for at in range(0, len(data), size)]


#: What a client sends, piece by piece: each is answered, as far as it can be, before the next is sent.
STREAMS: dict[str, list[bytes]] = {
    "one-shot": [ask("echo", 1)],
    "one-shot and more": [ask("echo", 1) + b"more"],
    "kept alive": [keep("echo", 1), keep("echo", 2)],
    "pipelined": [keep("echo", 1), keep("echo", 2) * 16],
    "in pieces": [keep("echo", 1)[:20], keep("echo", 1)[20:60], keep("echo", 1)[60:] + keep("echo", 2)[:1]],
    "ids": [keep("echo", 1, id="a"), keep("echo", 2, id=5) * 3],
    "blocking": [keep("slow", 1)],
    "a blocking one-shot": [ask("slow", 1)],
    "a session": [keep("counts"), keep("counts") + ask("counts")],
    "a deadline": [keep("echo", 1, deadline_ms=0) + keep("echo", 1, deadline_ms=60_000)],
    "errors": [keep("none") + keep("fails") + message(b"{", connection="keep-alive") + json_message([])],
    "bytes": [binary(b"some bytes", connection="keep-alive") * 2],
    "large": [*cut(binary(bytes(DIRECT_CONTENT), connection="keep-alive")), *cut(keep("echo", "x" * DIRECT_CONTENT))],
    "close": [keep("echo", 1) * 3 + ask("echo", 1, connection="close")],
    "framing lost": [keep("echo", 1) + framed(b"[]")],
    "another protocol": [b"GET / HTTP/1.1\r\n\r\n"],
}


@contextmanager
def written_down(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Calls, list[tuple[str, str]]]]:
    """What is asked of accepted sockets, and the rows of LIFECYCLE that are looked up."""
    calls: Calls = []
    rows: list[tuple[str, str]] = []
    acceptor, row = listener.acceptor, Machine.row

    def noting(listening: Any) -> Any:
        accept = acceptor(listening)

        def accepted() -> Any:
            sock, peer = accept()
            return Noting(sock, calls), peer

        return accepted

    def looked_up(machine: Machine, state: str, given: str) -> Row:
        if machine is LIFECYCLE:
            rows.append((state, given))
        return row(machine, state, given)

    with monkeypatch.context() as patch:
        patch.setattr(listener, "acceptor", noting)
        patch.setattr(Machine, "row", looked_up)
        yield calls, rows


def played(home: Turned, peer: Peer, pieces: list[bytes]) -> None:
    """All pieces, each when nothing happens any more behind the one before; then the client finishes."""
    home.quiet()
    for piece in pieces:
        peer.sock.sendall(piece)
        home.until(lambda: not peer_has_unread(home))
        home.quiet()
        home.until(lambda: not home.server.pool.outstanding)
        home.quiet()
    peer.finish()
    home.ended()


def peer_has_unread(home: Turned) -> bool:
    return any(message.transport.unread() for message in home.server.connections)


@pytest.mark.parametrize("name", STREAMS)
def test_the_calls_and_rows_of_a_traced_server_are_those_of_an_untraced_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    for observer in (None, Silent):
        with written_down(monkeypatch) as (calls, rows), turned(actions(), observer=observer) as home:
            played(home, home.peer(), STREAMS[name])
            told.append((calls, rows))
    untraced, traced = told
    assert traced == untraced
    assert ("close", None) in traced[0]
    assert traced[1]
