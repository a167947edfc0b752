"""Each limit that is met has a line that says which, whose, and what the connection had done."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from libserver import Actions
from libserver.notices import TOLD, WITHIN
from multiconn.commands.server_log import TextFormatter
from tests.support.peer import small_buffers
from tests.support.server import Turned, turned
from tests.support.wire import ask, binary, framed, keep

MEGABYTE = 1 << 20


def header_is_late(home: Turned) -> None:
    home.peer().send(b"\0")
    home.advance(11.0)


def content_is_late(home: Turned) -> None:
    home.peer().send(binary(bytes(100_000))[:90_000])
    home.advance(61.0)


def message_is_slow(home: Turned) -> None:
    home.peer().send(binary(bytes(100))[:-1])
    home.advance(7.0)


def replies_are_not_read(home: Turned) -> None:
    peer = home.peer(small_buffers)
    peer.send(binary(bytes(8 * MEGABYTE), connection="keep-alive"))
    home.advance(61.0)


def replies_are_not_read_and_too_many(home: Turned) -> None:
    peer = home.peer(small_buffers)
    peer.send(binary(bytes(20 * MEGABYTE), connection="keep-alive"))
    home.until(lambda: not home.server.connections)


def one_too_many(home: Turned) -> None:
    for _ in range(3):
        home.peer()


def content_is_too_large(home: Turned) -> None:
    header = {"byteorder": "big", "content-type": "x/y", "content-encoding": "binary", "content-length": 10**9}
    home.peer().send(framed(header))


def header_is_too_large(home: Turned) -> None:
    home.peer().send(b"\xff\xff")


def header_is_bad(home: Turned) -> None:
    home.peer().send(framed(b"{}"))


def the_pool_is_full(home: Turned) -> None:
    home.peer().send(ask("block", connection="keep-alive") * 4)


MET: list[tuple[Callable[[Turned], None], str, str]] = [
    (header_is_late, "header-timeout", "--header-timeout"),
    (content_is_late, "content-timeout", "--content-timeout"),
    (message_is_slow, "slow", "--min-data-rate"),
    (replies_are_not_read, "send-timeout", "--send-timeout"),
    (replies_are_not_read_and_too_many, "output-limit", "--output-limit"),
    (one_too_many, "overloaded", "all the 2 connections it may have"),
    (content_is_too_large, "bad-framing", "content-too-large"),
    (header_is_too_large, "bad-framing", "header-too-large"),
    (header_is_bad, "bad-framing", "bad-header"),
    (the_pool_is_full, "pool-full", "--handler-threads"),
]


@pytest.fixture
def actions() -> Iterator[Actions]:

    door = threading.Event()
    actions = Actions()
    actions.add("block", blocking=True)(lambda request: door.wait(20))
    yield actions
    door.set()


@pytest.mark.parametrize(("meet", "event", "words"), MET, ids=[meet.__name__ for meet, _, _ in MET])
def test_a_limit_that_is_met_is_told(actions: Actions, meet: Callable[[Turned], None], event: str, words: str) -> None:
    limits: dict[str, Any] = {"max_connections": 2, "output_limit": 10 * MEGABYTE, "handler_threads": 1}
    if meet is header_is_late:
        limits["min_data_rate"] = 0
    if meet is header_is_too_large:
        from protocol import Limits

        limits["sizes"] = Limits(max_header=1000)
    with turned(actions, **limits) as home:
        meet(home)
        home.until(lambda: home.log.records)
        (record,) = home.log.records
        assert record.levelno == logging.WARNING
        assert words in record.getMessage()
        fields = vars(record)
        assert fields["event"] == event
        if event not in ("pool-full",):
            assert fields["reason"] == event
        peer = home.peers[-1]
        host, port = peer.sock.getsockname()
        assert fields["peer"] == f"{host}:{port}"
        assert fields["seconds"] >= 0
        assert f" warning: {record.getMessage()}; event={event} connection=" in TextFormatter().format(record)


def test_a_flood_of_refusals_is_told_some_times_and_then_as_a_number() -> None:
    with turned(max_connections=1) as home:
        home.peer()
        for _ in range(TOLD + 30):
            peer = home.peer()
            assert peer.reply().code == "overloaded"
        assert len(home.log.records) == TOLD
        home.advance(WITHIN)
        assert home.log.texts()[TOLD:] == [f"overloaded: 30 more within {WITHIN:g} s"]


def test_without_a_thread_for_the_pool_the_request_is_answered_overloaded_and_all_else_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    actions = Actions()
    actions.add("block", blocking=True)(lambda request: "done")
    with turned(actions) as home:
        peer = home.peer()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            peer.send(keep("block"), keep("echo", 1))
            first, second = peer.replies(2)
        assert (first.code, second.result) == ("overloaded", 1)
        (record,) = home.log.records
        assert record.getMessage().startswith("action 'block' is not run: can't start new thread (ulimit -u")
        assert vars(record)["event"] == "no-thread"
        peer.send(keep("block"))
        assert peer.reply().result == "done"
        assert int(home.only.requests) == 3
