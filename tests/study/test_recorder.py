"""What a connection does is written down as it happened, and writing it down never harms the connection."""

from __future__ import annotations

import errno
import selectors
import socket
from typing import Any

import pytest

from protocol.states import (
    ABORTED,
    ABOVE_HIGH,
    CLOSED,
    CURRENT,
    DELIVERY,
    LIFECYCLE,
    RELEASED,
    IsolatedObserver,
    advance,
    begin,
)
from study.recorder import FLUSH_EVERY
from study.tracing_io import TracedSocket
from tests.study.bench import Bench, Message
from tests.support.wire import request

R = selectors.EVENT_READ


def test_a_request_is_told_from_the_readiness_to_the_levels(bench):
    bench.selector.register(bench.sock, R, "handler")
    bench.theirs.send(request({"action": "search", "value": "x"}, connection="keep-alive"))
    bench.turn()
    bench.clock.advance(0.25)
    data = bench.sock.recv(65536)
    bench.message.connection.receive_data(data)
    bench.message.levels["buffered"] = 3
    bench.turn()
    trace = bench.trace()
    assert [event.name for event in trace.events] == [
        *["connection", "mask", "levels", "wake", "syscall"],
        *["part"] * 3,
        *["transition"] * 3,
        "levels",
    ]
    assert [event.data["step"] for event in trace.events] == [1] * 3 + [2] * 9
    wake, call, prefix, header, content, first, *_, levels = trace.events[3:]
    assert wake.data["ready"] == "r"
    assert call.time == 250.0
    assert call.data["call"] == "recv"
    assert call.data["asked"] == 65536
    assert call.data["result"] == len(data)
    assert bytes.fromhex(call.data["bytes"]) == data
    assert call.data["source"].startswith("study/test_recorder.py:")
    assert prefix.data["value"] == header.data["length"]
    assert header.data["value"]["connection"] == "keep-alive"
    assert content.data["offset"] + content.data["length"] == len(data)
    assert (first.data["state"], first.data["target"]) == ("PROTOHEADER", "JSONHEADER")
    assert first.data["source"].startswith("protocol/connection.py:")
    assert levels.data["buffered"] == 3


def test_bytes_are_bounded_and_counts_are_not():
    bench = Bench(max_bytes=4)
    bench.theirs.send(b"\x00\x10" + b"z" * 100)
    space = bytearray(60)
    assert bench.sock.recv_into(memoryview(space)) == 60
    assert bench.sock.sendmsg([b"\x00", b"\x10abcdef", b"g"]) == 9
    bench.sock.shutdown(socket.SHUT_WR)
    calls = [event.data for event in bench.trace().events if event.name == "syscall"]
    assert [(c["call"], c["result"], c.get("offset"), c.get("bytes")) for c in calls] == [
        ("recv_into", 60, 0, "00107a7a"),
        ("sendmsg", 9, 0, "00106162"),
        ("shutdown", 0, None, None),
    ]
    bench.close()


def test_a_sample_is_every_nth_connection():
    bench = Bench(sample=3)
    trails = [bench.recorder.observer() for _ in range(6)]
    assert [trail is not None for trail in trails] == [False, False, True, False, False, True]
    plain = Message(None)
    assert bench.recorder.tap(plain, bench.theirs) is bench.theirs
    bench.close()


def test_the_end_is_told_with_its_reason(bench):
    bench.message.levels["reason"] = "idle-timeout"
    advance(bench.message, LIFECYCLE, RELEASED)
    assert bench.message.state is CLOSED
    bench.sock.close()
    assert not bench.recorder.trails
    bench.turn()
    bench.turn()
    events = bench.trace().events
    assert [event.name for event in events] == ["connection", "transition", "syscall", "levels", "ended"]
    assert events[-1].data["reason"] == "idle-timeout"


def test_a_full_disk_ends_the_recording_and_nothing_else(bench):
    bench.file.full_after = bench.file.tell() + 300
    bench.selector.register(bench.sock, R, None)
    for _ in range(20):
        bench.theirs.send(b"x")
        bench.turn()
        assert bench.sock.recv(10) == b"x"
        assert bench.sock.send(b"y") == 1
    assert [error.errno for error in bench.failures if isinstance(error, OSError)] == [errno.ENOSPC]
    assert not bench.recorder.on
    assert bench.recorder.observer() is None
    bench.selector.unregister(bench.sock)
    bench.sock.close()


@pytest.mark.parametrize("what", ["gauges", "feed"])
def test_a_mistake_of_the_recorder_ends_the_recording_and_nothing_else(bench, monkeypatch, what):
    def broken(*_: Any) -> None:
        raise RuntimeError("a mistake")

    if what == "gauges":
        bench.message.gauges = broken
    else:
        monkeypatch.setattr("study.frame_parts.Splitter.feed", broken)
    bench.theirs.send(b"abc")
    assert bench.sock.recv(10) == b"abc"
    bench.turn()
    bench.turn()
    assert [str(error) for error in bench.failures] == ["a mistake"]
    bench.theirs.send(b"abc")
    assert bench.sock.recv(10) == b"abc"


def test_a_broken_transition_note_does_not_reach_the_machine(bench, monkeypatch):
    monkeypatch.setattr("study.recorder._caller", lambda: 1 / 0)
    bench.message.connection.receive_data(request({"action": "echo"}))
    assert bench.message.connection.state == "FINISHED"
    assert len(bench.failures) == 1


def test_a_trail_that_is_isolated_is_found(bench):
    message = Message(IsolatedObserver(bench.recorder.observer(), bench.failures.append))
    traced = bench.recorder.tap(message, bench.theirs)
    assert isinstance(traced, TracedSocket)
    message.connection.receive_data(request({"action": "echo"}))
    rows = [event.data for event in bench.trace().groups["2"] if event.name == "transition"]
    assert [row["source"].split(":")[0] for row in rows] == ["protocol/connection.py"] * 3


def test_the_file_is_flushed_now_and_then(bench):
    before = bench.file.flushed
    bench.turn()
    assert bench.file.flushed == before
    bench.clock.advance(FLUSH_EVERY)
    bench.turn()
    bench.turn()
    assert bench.file.flushed == before + 1


def test_a_closed_file_is_a_failure_that_is_told_once(bench):
    bench.file.close()
    bench.sock.send(b"x")
    bench.sock.send(b"x")
    assert len(bench.failures) == 1
    assert isinstance(bench.sock, TracedSocket)


class Subscription:
    state: str

    def __init__(self, topic: str, observer: Any) -> None:
        self.topic = topic
        self.observer = observer
        begin(self, DELIVERY, CURRENT)


def test_a_row_of_a_subscription_says_to_which_topic(bench):
    topics = ["room/*", "x" * 200, "\x1b[31m\ud800"]
    for topic in topics:
        advance(Subscription(topic, bench.message.observer), DELIVERY, ABOVE_HIGH)
    bench.message.connection.receive_data(request({"action": "echo"}))
    rows = [event.data for event in bench.trace().events if event.name == "transition"]
    assert [row.get("topic") for row in rows] == [*topics[:2], r"\x1b[31m\ud800", None, None, None]
    assert {row["machine"] for row in rows} == {"DELIVERY", "RECEIVE"}


def test_what_waits_is_noted_in_each_turn_in_which_others_publish(bench):
    other = Message(bench.recorder.observer())
    bench.recorder.tap(other, bench.theirs)
    bench.turn()
    advance(Subscription("t", bench.message.observer), DELIVERY, ABOVE_HIGH)
    for waits in (1, 2, 2, 3):
        bench.message.levels |= {"subscriptions": 1, "undelivered": waits}
        other.levels |= {"buffered": 7}  # nothing happens on it
        bench.turn()
    advance(bench.message, LIFECYCLE, ABORTED)
    bench.message.levels["undelivered"] = 4
    for _ in range(3):
        bench.turn()
    trace = bench.trace()
    noted = [event.data for event in trace.groups["1"] if event.name == "levels" and "undelivered" in event.data]
    assert [(levels["step"], levels["undelivered"]) for levels in noted] == [(2, 1), (3, 2), (4, 3), (5, 4)]
    assert "levels" not in [event.name for event in trace.groups["2"]][2:]
