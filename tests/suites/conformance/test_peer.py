"""Does the suite's own end of a connection see what is wrong, and say what came instead?

A suite that reads a wrong reply as a right one would find everything OK.

Not here: whole cases against broken servers (`suites/detection/`), bytes without a connection (`test_wire.py`).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from suites.conformance.case import Case, Failed, Options, Run
from suites.conformance.peer import Peer, exchange
from suites.conformance.wire import ABSENT, RING, binary, framed, header, message, search
from tests.support.wire import error_reply, reply

QUICK = 0.05
CASE = Case("T1", "a title", "a mechanism", "a section", "what is expected", lambda run: None)


class Line:
    """A peer and its other end."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.run = Run(CASE, Options())
        self.peer = Peer(self.run, ours)

    def sends(self, data: bytes) -> Peer:
        self.theirs.sendall(data)
        return self.peer


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.peer.close()
    line.theirs.close()


def came(act: Callable[[], object]) -> str:
    with pytest.raises(Failed) as failed:
        act()
    return failed.value.came


def test_a_right_reply_is_taken_and_the_next_begins_where_it_ends(line: Line) -> None:
    peer = line.sends(reply(RING, id=1) + reply([1], id="1") + binary(b"abc"))
    peer.result(RING, id=1)
    peer.result([1], id="1")
    peer.content(b"abc", "binary/echo")
    assert line.run.deviations == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (framed(b"\xff"), "xff"),
        (framed(b"[]"), "[]"),
        (header(ABSENT), "content-type"),
        (header(-1), "-1"),
        (header(True), "true"),
        (header("3") + b"abc", '"3"'),
        (message(b"{"), "b'{'"),
        (message(b"[]"), "[]"),
        (message(b"{}"), "{}"),
        (reply(1, connection="maybe"), "maybe"),
        (reply("x")[:-3], "silence after"),
        (b"", "silence"),
    ],
)
def test_a_reply_that_is_none_is_failed_with_what_came(data: bytes, words: str, line: Line) -> None:
    assert words in came(lambda: line.sends(data).reply(within=QUICK))


def test_an_event_is_no_reply_and_is_given_where_it_may_come_with_all_its_bytes(line: Line) -> None:
    notice = message(b'{"topic": "t"}', event="message")
    peer = line.sends(notice + reply(RING) + notice)
    event = peer.next_message()
    assert (event.is_event, event.frame, event.value) == (True, notice, {"topic": "t"})
    assert not peer.next_message().is_event
    assert came(lambda: peer.reply(within=QUICK)) == "event: 'message' {'topic': 't'}"
    assert line.run.deviations == []


def test_values_are_told_apart_as_json_tells_them(line: Line) -> None:
    peer = line.sends(reply(True) + reply(1.0) + reply(RING, id=True) + reply(RING, id="1") + reply(RING))
    assert "True" in came(lambda: peer.result(1))
    assert "1.0" in came(lambda: peer.result(1))
    assert "True" in came(lambda: peer.result(RING, id=1))
    assert "'1'" in came(lambda: peer.result(RING, id=1))
    assert ABSENT in came(lambda: peer.result(RING, id=1))


def test_an_error_is_no_result_and_another_error_is_another(line: Line) -> None:
    peer = line.sends(error_reply("bad-header") + error_reply("bad-header") + reply(RING))
    assert "bad-header" in came(lambda: peer.result("Error: bad-header"))
    assert "bad-header" in came(lambda: peer.error("bad-content"))
    assert "result" in came(lambda: peer.error("bad-content"))


@pytest.mark.parametrize(
    "data",
    [
        reply(RING, encoding="UTF-8"),
        message(b'{"result": "Error: x", "error": {"code": "c"}}'),
        message(b'{"result": "x", "error": {"code": "c", "message": "x"}}'),
    ],
)
def test_a_reply_that_is_legible_but_not_to_the_letter_is_noted(data: bytes, line: Line) -> None:
    line.sends(data).reply()
    assert len(line.run.deviations) == 1


def test_fin_is_told_from_rst_bytes_and_silence(line: Line) -> None:
    assert came(lambda: line.peer.fin(QUICK)).startswith("neither")
    assert came(lambda: line.sends(b"x").fin(QUICK)).startswith("1 bytes more")
    line.peer.unread.clear()
    line.theirs.close()
    line.peer.fin(QUICK)


def test_a_reset_is_no_fin() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        run = Run(CASE, Options())
        peer = Peer(run, socket.create_connection(listener.getsockname()))
        theirs, _ = listener.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        assert came(peer.fin) == "RST"
        assert came(peer.reply) == "RST"
        peer.close()


def test_silence_is_told_from_bytes_and_fin(line: Line) -> None:
    line.peer.silence(QUICK)
    assert "1 bytes" in came(lambda: line.sends(b"x").silence(QUICK))
    line.peer.unread.clear()
    line.theirs.close()
    assert came(lambda: line.peer.silence(QUICK)) == "FIN"


def test_an_exchange_that_ends_early_says_after_how_many_replies(line: Line) -> None:
    line.sends(reply(1) + reply(2) + reply(3)[:-1])
    line.theirs.shutdown(socket.SHUT_WR)
    assert came(lambda: exchange([line.peer], [search("x")], 3, 1.0)) == "FIN after 2"


def test_an_exchange_gives_each_peer_its_replies() -> None:
    lines = [Line(), Line()]
    for number, line in enumerate(lines):
        line.sends(reply(number) + reply([number]))
    got = exchange([line.peer for line in lines], [search("x")] * 2, 2, 1.0)
    assert [[one.result for one in replies] for replies in got] == [[0, [0]], [1, [1]]]
    for line in lines:
        line.peer.close()
        line.theirs.close()
