"""Is an operator told who speaks another protocol to a listener, and what that one wants?"""

from __future__ import annotations

import logging

import pytest

from libserver.foreign import advice_for
from libserver.notices import TOLD, WITHIN
from tests.support.server import Turned, turned

HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def said(home: Turned) -> list[str]:
    return [text for text in home.log.texts(logging.WARNING) if "looks like" in text]


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (HTTP, "it looks like an HTTP request; this listener speaks messages"),
        (b"HTTP/1.1 200 OK\r\n", "it looks like an HTTP reply; this listener speaks messages"),
        (b"\x16\x03\x01\x06\xc0", "it looks like TLS; there is no listener for TLS: let a proxy in front end it"),
        (b"PROXY TCP4 ", "it looks like a PROXY header; there is no listener for it: switch it off"),
        (b"Message 1 from client.", "it looks like raw text; what echoes raw bytes is --listen echo://HOST:PORT"),
        (b'{"action": "search"}', "it looks like JSON without prefix and header; a message has a prefix and a header"),
        (b"SSH-2.0-x\r\n", "it looks like SSH; this listener speaks messages"),
    ],
)
def test_who_speaks_another_protocol_is_refused_at_once_and_told_in_the_log(sent: bytes, words: str) -> None:
    with turned() as home:
        peer = home.peer()
        peer.send(sent)
        assert peer.reply().code == "bad-header"
        peer.eof()
        peer.close()
        assert home.ended() == {"bad-framing": 1}
        (line,) = said(home)
        (record,) = [record for record in home.log.records if record.levelno == logging.WARNING]
    assert line.startswith("no message came: ")
    assert words in line
    assert vars(record)["event"] == "foreign"
    assert vars(record)["peer"].startswith("127.0.0.1:")


def test_a_flood_of_them_is_counted() -> None:
    with turned() as home:
        for _ in range(TOLD + 3):
            peer = home.peer()
            peer.send(HTTP)
            peer.reply()
            peer.close()
        assert len(said(home)) == TOLD
        home.advance(WITHIN)
        assert home.log.texts(logging.WARNING)[-1] == f"foreign: 3 more within {WITHIN:g} s"


def test_a_broken_header_is_no_other_protocol() -> None:
    with turned() as home:
        peer = home.peer()
        peer.send(b"\0\x05{nope")
        assert peer.reply().code == "bad-header"
        peer.close()
        assert said(home) == []


def test_what_nobody_knows_gets_advice_too() -> None:
    assert advice_for("a riddle") == "this listener speaks messages (docs/look-up/wire.md): check the port"
