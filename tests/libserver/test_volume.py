"""A line about a close says what the connection carried."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from libserver.volume import Remembering, volume
from tests.support.server import ANY_PORT, turned
from tests.support.wire import ask, keep


@pytest.fixture
def debugging() -> Iterator[None]:
    logger = logging.getLogger("multiconn.server")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    yield
    logger.setLevel(before)


@pytest.mark.parametrize("goodbye", ["finish", "reset"])
def test_a_line_about_a_close_says_what_the_connection_carried(debugging: None, goodbye: str) -> None:
    with turned() as home:
        peer = home.peer()
        host, port = peer.sock.getsockname()
        request = keep("echo", "x" * 5000)
        peer.send(request, ask("echo"))
        peer.replies(2)
        sent = volume(next(iter(home.server.connections)).transport.sock)["sent"]
        getattr(peer, goodbye)()
        home.ended()
        (record,) = home.log.records
    fields = vars(record)
    assert record.getMessage() == f"connection closed: {fields['reason']}"
    assert fields["event"] == "closed"
    assert fields["peer"] == f"{host}:{port}"
    assert fields["requests"] == 2
    assert fields["received"] == len(request) + len(ask("echo"))
    assert fields["sent"] == sent
    assert sent > 5000


def test_of_one_that_is_served_at_once_the_peers_fin_is_no_byte(debugging: None) -> None:
    with turned() as home:
        for _ in range(2):  # the second's header was seen before
            peer = home.peer()
            peer.send(ask("ping"))
            peer.finish()
            reply = peer.reply()
            peer.eof()
            home.until(lambda: not home.server.connections)
            fields = vars(home.log.records[-1])
            assert (fields["reason"], fields["received"]) == ("served", len(ask("ping")))
            assert fields["sent"] > len(reply.content)


def test_a_unix_socket_keeps_no_count_so_its_lines_go_without(debugging: None, tmp_path: Path) -> None:
    with turned(listen=(f"unix:{tmp_path}/s",)) as home:
        peer = home.peer()
        peer.send(keep("echo"))
        peer.reply()
        peer.close()
        home.ended()
        (record,) = home.log.records
    assert vars(record)["peer"] == "unix"
    assert not hasattr(record, "received")


def test_only_where_each_close_has_a_line_the_sockets_remember() -> None:
    with turned(listen=(ANY_PORT,)) as home:
        home.peer()
        assert not isinstance(home.only.transport.sock, Remembering)
