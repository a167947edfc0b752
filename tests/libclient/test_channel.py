"""`libclient.channel`: one connection that is opened again, and what becomes of requests and events; on fakes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from eventloop import Address
from libclient import Backoff, BadReply, ConnectionFailed, ConnectionReset, ErrorReply, UnknownHost, action_request
from libclient.channel import Channel
from protocol import Notification
from tests.fakes.faulty_socket import RESET
from tests.libclient.bench import FakeNetwork
from tests.support.wire import error_reply, granting, json_message, message, reply

ADDRESS = Address("tcp", "192.0.2.1", 80)
HEARTBEAT = 30.0


class ChannelBench(FakeNetwork):
    """A channel on fakes. `heard` is all that it told, in order; `hello` what it says on each new connection."""

    def __init__(self, hello: str | None = None, heartbeat: float = HEARTBEAT) -> None:
        super().__init__()
        self.heard: list[Any] = []
        self.hello = hello
        self.channel = Channel(
            self.shared,
            ADDRESS,
            opened=self._opened,
            notified=self._notified,
            lost=lambda error, final: self.heard.append(("lost", error, final)),
            backoff=Backoff(1.0, 8.0, lambda: 1.0),
            heartbeat=heartbeat,
            resolve=self.resolve,
        )

    def _opened(self) -> None:
        self.heard.append("opened")
        if self.hello is not None:
            self.send(self.hello, here=True)

    def _notified(self, event: Notification) -> None:
        self.heard.append(("event", event.header.event, event.content))

    def send(self, name: str, here: bool = False) -> None:
        def done(value: Any, error: Exception | None) -> None:
            self.heard.append((name, value, error))

        self.channel.send(action_request(name), done, here=here)
        self.turn()

    def open(self) -> None:
        self.channel.open()
        self.turn()

    def take(self) -> list[Any]:
        heard, self.heard = self.heard, []
        return heard

    def actions(self) -> list[str]:
        return [content["action"] for content in self.asked()]


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[ChannelBench]:
    bench = ChannelBench(**getattr(request, "param", {}))
    yield bench
    bench.channel.close()
    bench.turn()
    assert bench.channel.settled
    bench.loop.close()


def given(**more: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bench", [more], indirect=True)


EVENT = json_message({"topic": "t"}, event="message")


# --- opening ------------------------------------------------------------------------------


def test_nothing_is_opened_before_it_is_wanted(bench: ChannelBench) -> None:
    bench.turn()
    assert bench.sockets == []
    assert bench.channel.settled
    bench.open()
    bench.channel.open()
    bench.turn()
    assert (len(bench.sockets), bench.channel.connected, bench.take()) == (1, True, ["opened"])
    assert not bench.channel.settled


@given(hello="hello")
def test_what_must_be_said_on_a_connection_comes_before_what_waited_for_one(bench: ChannelBench) -> None:
    bench.send("early")
    bench.open()
    assert bench.actions() == ["hello"], "alone, until keep-alive is granted"
    bench.feed(granting(1))
    assert bench.actions() == ["hello", "early"]
    bench.feed(reply(2))
    assert bench.take() == ["opened", ("hello", {"result": 1}, None), ("early", {"result": 2}, None)]


def test_connecting_is_tried_again_with_growing_pauses_without_an_end(bench: ChannelBench) -> None:
    bench.refuse = 6
    bench.open()
    for pause in (1.0, 2.0, 4.0, 8.0, 8.0):
        tried = len(bench.sockets)
        bench.wait(pause - 0.01)
        assert len(bench.sockets) == tried
        bench.wait(0.02)
        assert len(bench.sockets) == tried + 1
    bench.wait(8.1)
    told = bench.take()
    assert told[-1] == "opened"
    assert [final for _, error, final in told[:-1] if isinstance(error, ConnectionFailed)] == [False] * 6


def test_a_name_that_can_not_be_resolved_is_looked_up_again(bench: ChannelBench) -> None:
    fails = iter([True, False])
    resolve = bench.resolve

    def unknown_once(address: Address) -> Any:
        if next(fails):
            raise UnknownHost("no such host")
        return resolve(address)

    bench.channel._resolve = unknown_once
    bench.open()
    ((word, error, final),) = bench.take()
    assert (word, type(error), final) == ("lost", UnknownHost, False)
    bench.wait(1.1)
    assert bench.take() == ["opened"]


# --- events and replies -------------------------------------------------------------------------


@given(hello="hello")
def test_events_and_replies_come_in_the_order_they_were_sent(bench: ChannelBench) -> None:
    bench.open()
    bench.feed(granting(1) + EVENT)
    bench.send("ask")
    bench.feed(EVENT + reply(2) + EVENT)
    event = ("event", "message", {"topic": "t"})
    assert bench.take() == [
        "opened",
        ("hello", {"result": 1}, None),
        event,
        event,
        ("ask", {"result": 2}, None),
        event,
    ]


def test_an_error_reply_is_the_error(bench: ChannelBench) -> None:
    bench.open()
    bench.send("ask")
    bench.feed(error_reply("forbidden", connection="keep-alive"))
    (_, (name, value, error)) = bench.take()
    assert (name, value["error"]["code"], type(error), error.code) == ("ask", "forbidden", ErrorReply, "forbidden")


def test_a_reply_that_can_not_be_read_is_an_error_and_the_connection_goes_on(bench: ChannelBench) -> None:
    bench.open()
    bench.send("ask")
    bench.feed(message(b"\xff", connection="keep-alive"))
    (_, (_, value, error)) = bench.take()
    assert (value, type(error)) == (None, BadReply)
    assert bench.channel.connected


# --- lost, and opened again ------------------------------------------------------------------------


@given(hello="hello")
def test_a_request_that_had_left_fails_and_one_that_had_not_waits_for_the_next_connection(bench: ChannelBench) -> None:
    bench.open()
    bench.send("waits")  # behind the first, whose reply is to grant keep-alive
    assert bench.actions() == ["hello"]
    bench.end(fault=RESET)
    told = bench.take()
    assert [one if one == "opened" else one[0] for one in told] == ["opened", "hello", "lost"]
    assert isinstance(told[1][2], ConnectionReset)
    assert not bench.channel.connected
    bench.wait(1.1)
    bench.feed(granting(1))
    assert bench.actions() == ["hello", "waits"]
    bench.feed(reply(2))
    assert bench.take() == ["opened", ("hello", {"result": 1}, None), ("waits", {"result": 2}, None)]


@given(hello="hello")
def test_what_belongs_to_one_connection_fails_with_it(bench: ChannelBench) -> None:
    bench.open()
    bench.send("only here", here=True)
    bench.send("anywhere")
    bench.end()
    assert [one[0] for one in bench.take() if isinstance(one[-1], ConnectionFailed)] == ["hello", "only here"]
    bench.wait(1.1)
    bench.feed(granting(1))
    assert bench.actions() == ["hello", "anywhere"]


@given(hello="hello")
def test_after_a_reply_the_next_pause_is_the_first_one_again(bench: ChannelBench) -> None:
    bench.refuse = 3
    bench.open()
    for pause in (1.1, 2.1, 4.1):
        bench.wait(pause)
    bench.feed(granting(1))
    assert bench.channel.failures == 0
    bench.end()
    bench.wait(1.1)
    assert bench.channel.connected


def test_a_server_that_keeps_no_connection_is_given_up(bench: ChannelBench) -> None:
    bench.open()
    bench.send("ask")
    bench.feed(reply("once"))
    bench.end()
    _, _, (word, error, final) = bench.take()
    assert (word, final) == ("lost", True)
    assert "keeps no connection open" in str(error)
    bench.wait(60.0)
    assert len(bench.sockets) == 1


def test_what_a_server_says_before_it_cuts_is_the_reason(bench: ChannelBench) -> None:
    bench.open()
    bench.send("ask")
    bench.feed(granting(1))
    bench.take()
    bench.feed(error_reply("overloaded"))
    ((word, error, final),) = bench.take()
    assert (word, error.code, final) == ("lost", "overloaded", False)


# --- reading pauses, and ends ---------------------------------------------------------------------


def test_while_reading_is_paused_nothing_is_read_on_this_connection_or_the_next(bench: ChannelBench) -> None:
    bench.open()
    bench.send("ask")
    bench.feed(granting(1))
    bench.channel.pause_reading()
    bench.take()
    bench.sockets[-1].feed(EVENT)
    assert bench.selector.interest(bench.sockets[-1]) == 0
    bench.channel.resume_reading()
    bench.feed(b"")
    assert bench.take() == [("event", "message", {"topic": "t"})]


def test_a_channel_that_is_paused_while_it_has_no_connection_pauses_the_next(bench: ChannelBench) -> None:
    bench.channel.pause_reading()
    bench.open()
    assert bench.selector.interest(bench.sockets[-1]) == 0
    bench.channel.resume_reading()
    assert bench.selector.interest(bench.sockets[-1]) == 1


@pytest.mark.parametrize("asked", [False, True])
def test_closing_ends_the_connection_and_opens_no_other(bench: ChannelBench, asked: bool) -> None:
    bench.open()
    if asked:
        bench.send("ask")
    bench.channel.close()
    assert not bench.channel.settled
    bench.turn()
    assert bench.channel.settled
    bench.wait(60.0)
    assert (len(bench.sockets), bench.take()) == (1, ["opened"])


def test_closing_in_a_pause_ends_that(bench: ChannelBench) -> None:
    bench.refuse = 1
    bench.open()
    bench.channel.close()
    bench.wait(60.0)
    assert len(bench.sockets) == 1
    bench.open()
    assert bench.channel.connected, "and it can be opened again"


# --- heartbeat --------------------------------------------------------------------------------


@given(hello="hello")
def test_a_silent_server_is_asked_for_a_word_and_found_to_be_gone(bench: ChannelBench) -> None:
    bench.open()
    bench.feed(granting(1))
    bench.wait(HEARTBEAT)
    assert bench.actions() == ["hello"], "it had said something"
    bench.wait(HEARTBEAT)
    assert bench.actions() == ["hello", "ping"]
    bench.wait(9.9)
    assert bench.channel.connected
    bench.take()
    bench.wait(0.2)
    ((word, _, final),) = bench.take()
    assert (word, final) == ("lost", False)
    bench.wait(1.1)
    assert bench.channel.connected


@given(hello="hello")
def test_a_server_that_answers_or_speaks_is_left_alone(bench: ChannelBench) -> None:
    bench.open()
    bench.feed(granting(1))
    for _ in range(3):
        bench.wait(HEARTBEAT - 1.0)
        bench.feed(EVENT)
        bench.wait(1.0)
    assert bench.actions() == ["hello"]
    bench.wait(HEARTBEAT)
    bench.feed(reply("pong"))
    bench.wait(HEARTBEAT)
    assert bench.actions() == ["hello", "ping"]
    assert bench.channel.connected


@given(hello="hello", heartbeat=0.0)
def test_without_a_heartbeat_it_asks_nothing(bench: ChannelBench) -> None:
    bench.open()
    bench.feed(granting(1))
    bench.wait(3600.0)
    assert bench.actions() == ["hello"]
    assert bench.channel.connected
