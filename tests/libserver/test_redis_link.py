"""Tests of the connection to Redis: replies in order, errors, silence, nonsense; beside a peer that a test plays."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventloop import Endpoint, EventLoop
from libserver.redis_link import RedisGone, RedisLink, encode_command
from tests.support.peer import PATIENCE
from tests.support.scripted import unused_port

pytest.importorskip("hiredis", reason="hiredis is not installed (pip install '.[redis]')")


class Bench:
    """A link on a loop that the test turns, and a listener that the test answers for."""

    def __init__(self, timeout: float = PATIENCE) -> None:
        self.loop = EventLoop()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.opened = 0
        self.lost: list[Exception] = []
        self.replies: list[Any] = []
        endpoints = [Endpoint(socket.AF_INET, self.listener.getsockname())]
        self.link = RedisLink(self.loop, endpoints, self._opened, self.lost.append, timeout)

    def _opened(self) -> None:
        self.opened += 1

    def connect(self) -> socket.socket:
        self.link.connect()
        self.until(lambda: self.opened)
        sock, _ = self.listener.accept()
        sock.settimeout(PATIENCE)
        return sock

    def send(self, *words: bytes, patience: float = 0.0) -> None:
        self.link.send(words, lambda reply, error: self.replies.append(error or reply), patience)

    def until(self, done: Callable[[], object]) -> None:
        deadline = self.loop.clock() + PATIENCE
        while not done():
            assert self.loop.clock() < deadline
            self.loop.run_once(0.05)


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(**getattr(request, "param", {}))
    yield bench
    bench.link.close()
    bench.loop.run_once(0)
    bench.listener.close()
    bench.loop.close()


def test_a_command_is_an_array_of_bulk_strings() -> None:
    assert encode_command((b"SET", b"k", b"\r\n\x00")) == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n\r\n\x00\r\n"
    assert encode_command((b"PING",)) == b"*1\r\n$4\r\nPING\r\n"


def test_replies_come_to_their_commands_in_order_however_they_are_cut(bench: Bench) -> None:
    with bench.connect() as redis:
        for word in (b"one", b"two", b"three"):
            bench.send(word)
        bench.loop.run_once(0)
        got = b""
        while got.count(b"*1") < 3:
            got += redis.recv(4096)
        for byte in b"+OK\r\n:7\r\n*2\r\n$1\r\na\r\n$-1\r\n":
            redis.sendall(bytes([byte]))
        bench.until(lambda: len(bench.replies) == 3)
        assert bench.replies == [b"OK", 7, [b"a", None]]


def test_an_error_reply_is_its_command_s_alone(bench: Bench) -> None:
    with bench.connect() as redis:
        bench.send(b"BAD")
        bench.send(b"PING")
        redis.sendall(b"-ERR no such command\r\n+PONG\r\n")
        bench.until(lambda: len(bench.replies) == 2)
        assert "no such command" in str(bench.replies[0])
        assert bench.lost == []


def test_without_a_connection_nothing_is_sent(bench: Bench) -> None:
    assert not bench.link.connected
    assert not bench.link.has_room
    with pytest.raises(RedisGone, match="no connection"):
        bench.send(b"PING")


def test_where_nothing_listens_it_is_lost() -> None:
    loop, lost = EventLoop(), []
    link = RedisLink(loop, [Endpoint(socket.AF_INET, ("127.0.0.1", unused_port()))], lambda: None, lost.append)
    link.connect()
    for _ in range(50):
        if not lost:
            loop.run_once(0.05)
    assert isinstance(lost[0], ConnectionRefusedError)
    link.close()
    loop.close()


@pytest.mark.parametrize("end", ["fin", "reset"])
def test_when_the_connection_ends_every_command_without_a_reply_fails(bench: Bench, end: str) -> None:
    redis = bench.connect()
    bench.send(b"ONE")
    bench.send(b"TWO")
    redis.sendall(b"+1\r\n")
    bench.until(lambda: len(bench.replies) == 1)
    if end == "reset":
        redis.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    redis.close()
    bench.until(lambda: len(bench.replies) == 2)
    assert isinstance(bench.replies[1], RedisGone)
    assert len(bench.lost) == 1
    assert not bench.link.connected


@pytest.mark.parametrize("bench", [{"timeout": 0.05}], indirect=True)
def test_a_redis_that_has_vanished_without_a_word_is_found(bench: Bench) -> None:
    with bench.connect():
        bench.send(b"PING")
        bench.until(lambda: bench.lost)
        assert "no reply within" in str(bench.lost[0])
        assert isinstance(bench.replies[0], RedisGone)


@pytest.mark.parametrize("bench", [{"timeout": 0.05}], indirect=True)
def test_one_that_was_asked_to_wait_may(bench: Bench) -> None:
    with bench.connect() as redis:
        bench.send(b"XREAD", b"BLOCK", patience=PATIENCE)
        timer = threading.Timer(0.2, redis.sendall, [b"*-1\r\n"])
        timer.start()
        bench.until(lambda: bench.replies)
        timer.join()
        assert (bench.replies, bench.lost) == ([None], [])


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00{}"])
def test_what_is_no_redis_is_said_to_be_none(bench: Bench, said: bytes) -> None:
    with bench.connect() as redis:
        bench.send(b"PING")
        redis.sendall(said)
        bench.until(lambda: bench.lost)
        assert "does not speak RESP" in str(bench.lost[0])


def test_a_reply_to_nothing_ends_it(bench: Bench) -> None:
    with bench.connect() as redis:
        redis.sendall(b"+OK\r\n")
        bench.until(lambda: bench.lost)
        assert "nothing that was asked" in str(bench.lost[0])


def test_it_can_be_closed_while_it_connects_and_twice(bench: Bench) -> None:
    bench.link.connect()
    bench.link.close()
    bench.link.close()
    bench.loop.run_once(0.05)
    assert (bench.opened, bench.lost) == (0, [])
