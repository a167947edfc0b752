"""A trace in sentences has every call, every row with its reason, and the end."""

from __future__ import annotations

import re

import pytest

from protocol.push import Gap, encode_gap, encode_published
from study.explain import explain, explain_together, wrapped
from study.trace import SYSCALL, TRANSITION, Event, Trace
from tests.study.recording import CONVERSATION, recorded
from tests.study.scribe import Scribe
from tests.support.wire import request


@pytest.fixture
def trace() -> Trace:
    return recorded(CONVERSATION)


def test_the_story_has_every_call_every_row_and_the_end(trace):
    text = "\n".join(explain(trace))
    assert text.startswith("Connection 1, seen by the server at 127.0.0.1:")
    assert "The selector says: there is something to read." in text
    assert "recv -> 1 byte." in text
    assert "recv -> 0: the peer has finished sending (EOF)." in text
    assert "send -> " in text
    for event in trace.events:
        if event.name == TRANSITION:
            assert event.data["reason"] in text
            assert event.data["source"] in text
    assert text.endswith("ms.")
    assert "Ended (peer-closed): 3 messages in, 3 out" in text


def test_refusals_and_errors_are_explained():
    def told(call: str, result: object, **more: object) -> str:
        event = Event(0, SYSCALL, "1", {"step": 1, "call": call, "result": result} | more)
        return "\n".join(explain(Trace("server", {}, [event])))

    assert "nothing has come yet" in told("recv", "EAGAIN", direction="in")
    assert "the peer reads too slowly" in told("send", "EAGAIN", direction="out")
    assert "10 of 20 bytes" in told("send", 10, asked=20, direction="out")
    assert "reset" in told("recv", "ECONNRESET", direction="in")
    assert "it failed" in told("send", "EIO", direction="out")
    assert "handshake is under way" in told("connect", "EINPROGRESS")
    assert "connected at once" in told("connect", 0, to="127.0.0.1:1")
    assert "handshake is done" in told("getsockopt", 0)
    assert "FIN" in told("shutdown", 0)
    assert "Not ended when the trace did" in told("close", 0)


def test_connections_are_told_together_in_the_order_of_their_steps():
    def event(time: float, group: str, step: int, count: int) -> Event:
        data = {"step": step, "call": "recv", "result": count, "direction": "in"}
        return Event(time, SYSCALL, group, data)

    events = [event(1, "1", 1, 10), event(2, "2", 1, 20), event(3, "1", 2, 30), event(3, "1", 2, 1)]
    told = list(explain_together(Trace("server", {}, events)))
    assert [line.split("Connection ")[1][0] for line in told[:2]] == ["1", "2"]
    assert [line for line in told if "recv" in line or " ms  " in line] == [
        "1       1.0 ms  A timer, a callback or its owner woke it.",
        "               recv -> 10 bytes.",
        "2       2.0 ms  A timer, a callback or its owner woke it.",
        "               recv -> 20 bytes.",
        "1       3.0 ms  A timer, a callback or its owner woke it.",
        "               recv -> 30 bytes.",
        "               recv -> 1 byte.",
    ]
    assert [line[:4] for line in told[-2:]] == ["1 No", "2 No"]


@pytest.mark.parametrize(
    ("line", "below"),
    [
        ("      1.0 ms  It begins, and this is long", 16),
        ("12    103.0 ms  It begins, and this is long", 18),
        ("  RECEIVE: one two three four five six seven eight", 4),
        ("one two three four five six seven eight nine", 2),
    ],
)
def test_what_does_not_fit_is_indented_further_than_it_began(line: str, below: int) -> None:
    first, second, *_ = wrapped(line, 36).splitlines()
    assert line.startswith(first)
    assert len(second) - len(second.lstrip()) == below


def test_a_word_longer_than_the_terminal_is_not_cut() -> None:
    assert wrapped("  " + "x" * 30, 20).split() == ["x" * 30]


def test_a_header_that_is_none_and_one_with_more_fields_are_told():
    def told(value: object) -> str:
        part = {"step": 1, "direction": "in", "part": "header", "message": 0, "offset": 2, "length": 9, "value": value}
        return "\n".join(explain(Trace("server", {}, [Event(0, "part", "1", part)])))

    assert "In it: header that is no JSON object." in told([1])
    fields = {"content-type": "text/json", "connection": "close", "id": 7, "content-length": 3}
    assert "In it: header (text/json, connection 'close', id 7)." in told(fields)


def pushed() -> Scribe:
    """A subscriber that falls behind, and is sent a gap and a reply."""
    server = Scribe("server")
    server.begin("1", "a", "b")
    server.moved("1", "in", request({"action": "subscribe", "topic": "t"}))
    server.moved("1", "out", request({"result": {}}) + encode_published("t", 1, b"1"))
    server.levels("1", subscriptions=1, undelivered=0)
    server.turn("1")
    server.deliver("1", "t", "ABOVE_HIGH")
    server.levels("1", subscriptions=2, undelivered=1)
    server.turn("1")
    server.levels("1", subscriptions=2, undelivered=2)
    server.turn("1")
    server.deliver("1", "\x1b[31m", "REPLY_OWED")
    server.moved("1", "out", encode_gap(Gap("t", 2, 3, 2)))
    return server


def test_a_row_of_delivery_says_which_subscription_did_what():
    text = "\n".join(explain(pushed().trace()))
    assert (
        "DELIVERY: subscription to 't' fell behind, CURRENT -> BEHIND on ABOVE_HIGH: "
        "more is kept for it than the high-water mark: messages wait as references. [" in text
    )
    assert r"subscription to '\x1b[31m' has to wait" in text


def test_events_are_told_and_counted_apart_from_replies():
    text = "\n".join(explain(pushed().trace()))
    assert re.search(r"header \(text/json, event 'message'\), content of \d+ bytes \(seq 1 of 't'\)", text)
    assert re.search(r"event 'gap'\), content of \d+ bytes \(gap: seq 2 to 3 of 't', 2 left out\)", text)
    assert "1 message in, 3 out (2 events), in " in text
    client = Scribe("client")
    client.begin("1", "a", "b")
    client.moved("1", "in", encode_published("t", 1, b"1") + request(1) + encode_published("t", 2, b"1")[:-1])
    assert "2 messages in (1 event), 0 out, in " in "\n".join(explain(client.trace()))


def test_levels_tell_what_waits_only_where_there_are_subscriptions(trace):
    text = "\n".join(explain(pushed().trace()))
    assert "0 messages waiting for 1 subscription, no timer" in text
    assert "1 message waiting for 2 subscriptions, no timer" in text
    assert "It takes no step: what others publish waits for it.\n             Left behind: " in text
    assert "subscription" not in "\n".join(explain(trace))
