"""What a connection does is written down as it happened, and writing it down never harms the connection."""

from __future__ import annotations

import errno
import io
import selectors
import socket
from typing import Any

import pytest

from protocol import SERVER, Codec, Connection
from protocol.states import CLOSED, LIFECYCLE, OPEN, RELEASED, Guarded, advance, begin
from study.recorder import FLUSH_EVERY, Recorder
from study.trace import Trace, load
from study.tracing_io import TracedSocket
from tests.fakes.clock import FakeClock
from tests.support.wire import request

R, W = selectors.EVENT_READ, selectors.EVENT_WRITE


class File(io.BytesIO):
    """Keeps what was written after it was closed; `full_after` bytes it has no room for more."""

    full_after = 1 << 30
    kept = b""
    flushed = 0

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.full_after:
            raise OSError(errno.ENOSPC, "no space left")
        return super().write(data)

    def flush(self) -> None:
        self.flushed += 1

    def close(self) -> None:
        self.kept = self.getvalue()
        super().close()


class Message:
    """What the recorder asks of a message, and no more."""

    state: str

    def __init__(self, trail: Any) -> None:
        self.observer = trail
        self.connection = Connection(Codec(SERVER), trail)
        self.levels: dict[str, Any] = {"buffered": 0, "reason": None}
        begin(self, LIFECYCLE, OPEN)

    def gauges(self) -> dict[str, Any]:
        return dict(self.levels)


class Bench:
    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.file = File()
        self.failures: list[Exception] = []
        self.recorder = Recorder(
            self.file, "server", clock=self.clock, wall_clock=lambda: 5.0, failed=self.failures.append, **options
        )
        self.selector = self.recorder.selector(selectors.DefaultSelector())
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.message = Message(self.recorder.observer())
        self.sock: Any = self.recorder.tap(self.message, self.ours)

    def turn(self) -> None:
        self.selector.select(0)

    def trace(self) -> Trace:
        self.recorder.close()
        return load(io.BytesIO(self.file.kept))

    def names(self) -> list[str]:
        return [event.name for event in self.trace().events]

    def close(self) -> None:
        self.selector.close()
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def bench():
    it = Bench()
    yield it
    it.close()


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


def test_each_change_of_the_mask_is_told_once(bench):
    bench.selector.register(bench.sock, R, 1)
    bench.selector.modify(bench.sock, R | W, 1)
    bench.selector.modify(bench.sock, R | W, 2)
    bench.selector.unregister(bench.sock)
    bench.selector.register(bench.theirs, R, 3)  # not one that is traced
    masks = [(e.data["before"], e.data["after"]) for e in bench.trace().events if e.name == "mask"]
    assert masks == [("", "r"), ("r", "rw"), ("rw", "")]


def test_calls_that_fail_are_told_by_the_errno_and_raise_as_before(bench):
    with pytest.raises(BlockingIOError):
        bench.sock.recv(10)
    with pytest.raises(BlockingIOError):
        bench.sock.recv_into(bytearray(10))
    bench.theirs.close()
    for verb in (lambda: bench.sock.send(b"x"), lambda: bench.sock.sendmsg([b"x", b"y"])):
        with pytest.raises(BrokenPipeError):
            verb()
    bench.ours.detach()
    with pytest.raises(OSError, match="descriptor"):
        bench.sock.shutdown(socket.SHUT_WR)
    calls = [(e.data["call"], e.data["result"]) for e in bench.trace().events if e.name == "syscall"]
    assert calls == [
        *[("recv", "EAGAIN"), ("recv_into", "EAGAIN"), ("send", "EPIPE"), ("sendmsg", "EPIPE"), ("shutdown", "EBADF")]
    ]


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


def test_connecting_is_told(bench):
    with socket.socket() as listener, socket.socket() as sock:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        traced = bench.recorder.tap(bench.message, sock)
        assert traced.connect_ex(listener.getsockname()) == 0
        assert traced.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert traced.getpeername() == listener.getsockname()  # what it does not name goes straight through
    calls = [event.data for event in bench.trace().events if event.name == "syscall"]
    assert [(c["call"], c["result"]) for c in calls] == [("connect", 0), ("getsockopt", 0)]


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


def test_a_trail_that_is_guarded_is_found(bench):
    message = Message(Guarded(bench.recorder.observer(), bench.failures.append))
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


def test_a_selector_that_traces_is_a_selector(bench):
    bench.selector.register(bench.sock, R, "data")
    number = bench.sock.fileno()
    assert bench.selector.get_map()[number].data == "data"
    assert bench.selector.get_key(number).events == R
    assert bench.selector.unregister(bench.sock).data == "data"


def test_a_closed_file_is_a_failure_that_is_told_once(bench):
    bench.file.close()
    bench.sock.send(b"x")
    bench.sock.send(b"x")
    assert len(bench.failures) == 1
    assert isinstance(bench.sock, TracedSocket)
