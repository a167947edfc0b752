"""Is the right answer right, in time from when its request was due, and everything else counted?"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from benchmarks.soak.good import Good
from tests.support.scripted import Caller, ScriptedServer
from tests.support.wire import error_reply

PATIENCE = 20.0


def right(peer: Caller) -> None:
    while True:
        request = peer.request()
        peer.reply(peer.right(request), peer.header.get("connection"))
        if "connection" not in peer.header:
            return


@contextmanager
def traffic(serve: Callable[[Caller], None], rate: float = 200.0, newcomers: float = 50.0) -> Iterator[Good]:
    with ScriptedServer(serve) as server:
        good = Good(server.port, rate, newcomers, 2, 1)
        try:
            yield good
        finally:
            good.give_up()


def until(good: Good, done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, good.report()
        good.turn(time.monotonic() + 0.05)


def test_a_right_server_is_right_and_every_connection_is_given_back() -> None:
    with traffic(right) as good:
        until(good, lambda: good.right >= 30)
        good.finish()
        until(good, lambda: not good.open)
    assert (good.failed, good.refused, good.failures) == (0, 0, [])
    assert good.made > 2, "newcomers come with a connection each"
    line = json.loads(good.report())
    assert line["right"] == len(line["latencies"]) == good.right
    assert all(latency > 0 for latency in line["latencies"])
    assert json.loads(good.report())["latencies"] == [], "each is told once"


def test_a_server_that_makes_its_client_wait_is_seen_to() -> None:
    """From when it was due: not from when its connection had room for it."""
    go = threading.Event()

    def late(peer: Caller) -> None:
        request = peer.request()
        go.wait(PATIENCE)
        peer.reply(peer.right(request))
        while True:
            peer.reply(peer.right(peer.request()))

    with traffic(late, rate=100.0, newcomers=1e-9) as good:
        begun = time.monotonic()
        until(good, lambda: time.monotonic() > begun + 0.3)
        go.set()
        until(good, lambda: good.right >= 10)
        assert max(good.latencies) > 250_000
        assert sum(latency > 50_000 for latency in good.latencies) > 3, "those that were due meanwhile waited, too"


def wrong(peer: Caller) -> None:
    while True:
        peer.request()
        peer.reply({"result": "no"}, peer.header.get("connection"))


def closing(peer: Caller) -> None:
    peer.request()


def ungranting(peer: Caller) -> None:
    peer.reply(peer.right(peer.request()), None)


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (wrong, "a wrong reply"),
        (closing, "closed without an answer"),
        (ungranting, "keep-alive was not granted"),
        (lambda peer: peer.send(b"\0\2{}"), "no reply's header"),
    ],
)
def test_what_is_no_right_answer_is_a_failure(serve: Callable[[Caller], None], words: str) -> None:
    with traffic(serve) as good:
        until(good, lambda: good.failed > 3)
        assert any(words in failure for failure in good.failures)


def test_who_is_new_may_be_refused_and_that_is_counted_by_itself() -> None:
    def full(peer: Caller) -> None:
        peer.request()
        peer.send(error_reply("overloaded"))

    with traffic(full) as good:
        until(good, lambda: good.refused > 3)
        assert (good.failed, good.right) == (0, 0)


def test_what_is_still_open_in_the_end_has_failed() -> None:
    def silent(peer: Caller) -> None:
        while peer.sock.recv(4096):
            pass

    with traffic(silent) as good:
        until(good, lambda: good.made > 3)
    assert good.failed >= 3
    assert good.open == 0
    assert any("no reply in time" in failure for failure in good.failures)
