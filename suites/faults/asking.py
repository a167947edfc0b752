"""Does the client live on when a system call fails?

One run: a server and a client on one loop and one clock, moved by hand; the fault falls on the
client's sockets. Then must hold:

* a call that was declared idempotent succeeds: one fault is less than it has tries;
* any other call gives the right result, or raises a `ConnectionFailed`, whose sentence is not
  empty; the server carried it out once at most, and not at all unless the error says it may have;
* the client asks on and is served, without being made anew; another client never notices;
* nobody waits for ever, the loop does not spin, and no descriptor is left.

Not here: which call fails with what (`suites.faults.sweep`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import eventloop.connector
from eventloop import EventLoop
from libclient import Client, ConnectionFailed
from libserver import Actions, Server
from libserver.reasons import CloseReason
from suites.faults.kernel import Faults, Jumping, quick_server
from tests.fakes.clock import FakeClock
from tests.support.descriptors import no_descriptor_left
from tests.support.server import ANY_PORT, caught, check_books

__all__ = ["SCENARIOS"]

LARGE = bytes(range(256)) * 1200  # 300 kB


class House:
    """A server that notes what it carried out, and a client of it."""

    def __init__(self, server: Server, client: Client, done: Counter[Any]) -> None:
        self.server = server
        self.client = client
        self.done = done

    def call(self, value: Any, ask: Callable[[], Any], idempotent: bool) -> None:
        """One call of the client: what must hold of it."""
        answer = _outcome(ask)
        if isinstance(answer, ConnectionFailed):
            assert not idempotent, answer
            assert str(answer)
            assert self.done[value] <= answer.maybe_carried_out
        else:
            assert answer == value
            assert self.done[value] == 1 or idempotent

    def note(self, value: Any, idempotent: bool = False) -> None:
        self.call(value, lambda: self.client.request("note", value, idempotent=idempotent), idempotent)

    def hang_up(self) -> None:
        """The server ends every connection but the other client's."""
        for message in list(self.server.connections)[1:]:
            message.abort(CloseReason.CUT)


def _one_by_one(house: House) -> None:
    for value in range(3):
        house.note(value)


def _pipeline(house: House, idempotent: bool) -> None:
    values = list(range(10))
    answers = house.client.pipeline([("note", v) for v in values], idempotent=idempotent, return_exceptions=True)
    for value, answer in zip(values, answers, strict=True):
        house.call(value, partial(_given, answer), idempotent)


def _given(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def _outcome(ask: Callable[[], Any]) -> Any:
    """The answer, or the one kind of exception that may stand for it."""
    try:
        return ask()
    except ConnectionFailed as error:
        return error


def _large(house: House) -> None:
    house.note("small")  # it grants keep-alive
    for idempotent in (False, True):
        call = partial(house.client.request_binary, "binary/echo", LARGE, idempotent=idempotent)
        answer = _outcome(call)
        assert answer == LARGE or (isinstance(answer, ConnectionFailed) and str(answer) and not idempotent)


def _reconnect(house: House) -> None:
    house.note("first")
    house.hang_up()
    house.note("second")
    house.hang_up()
    house.note("third", idempotent=True)


#: What the client is made with, and what it is asked.
SCENARIOS: dict[str, Callable[[Faults], None]] = {}


def _scenario(name: str, act: Callable[[House], None], most: int = 1 << 30, **options: Any) -> None:
    def run(faults: Faults) -> None:
        faults.most = min(faults.most, most)
        _run(faults, act, **options)

    SCENARIOS[name] = run


_scenario("requests", _one_by_one)
_scenario("pipeline", lambda house: _pipeline(house, False), depth=3)
_scenario("idempotent pipeline", lambda house: _pipeline(house, True), depth=3)
_scenario("one-shot", _one_by_one, keep_alive=False)
_scenario("large", _large, most=64 * 1024)
_scenario("reconnect", _reconnect)


def _run(faults: Faults, act: Callable[[House], None], **options: Any) -> None:
    clock = FakeClock()
    done: Counter[Any] = Counter()
    with no_descriptor_left(), caught() as log:
        loop = EventLoop(Jumping(clock, faults), clock)
        try:
            with quick_server([ANY_PORT], _noting(done), loop=loop) as server:
                with Client(server.addresses[0], loop=loop, random=lambda: 0.5) as other:
                    assert other.request("echo", "before") == "before"
                    client = Client(server.addresses[0], loop=loop, random=lambda: 0.5, **options)
                    _ask(faults, House(server, client, done), act)
                    assert other.request("echo", "after") == "after"
                check_books(server)
        finally:
            loop.close()
    assert not log.raised(), log.raised()


def _noting(done: Counter[Any]) -> Actions:
    actions = Actions()

    @actions.add("note")
    def note(request: dict[str, Any]) -> Any:
        done[request["value"]] += 1
        return request["value"]

    return actions


def _ask(faults: Faults, house: House, act: Callable[[House], None]) -> None:
    """Ask with faults, then once without, then close with faults again: that is part of a client's life."""
    client = house.client
    with mock.patch.object(eventloop.connector, "socket", faults.module), client:
        faults.armed = True
        act(house)
        faults.armed = False
        assert client.request("echo", "again") == "again"
        faults.armed = True
        client.close()
        faults.armed = False
