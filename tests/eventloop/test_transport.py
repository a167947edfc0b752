"""The transport: nothing lost, nothing told twice, never spinning, whatever the kernel answers.

Three kinds of tests: real socket pairs (what a peer sees), FaultySocket around a real one (what
the kernel might answer, at each call in turn), FaultySocket alone on a fake selector (random
sequences, where every step is checked against a model).
"""

from __future__ import annotations

import errno
import itertools
import random
import selectors
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from eventloop import EventLoop, Transport, WaterMarks
from eventloop.loop import READ, WRITE
from eventloop.transport import _EOF_WANTED, _MORE, RECV_SIZE, SEND_BUFFERS
from tests.fakes.faulty_socket import AGAIN, BROKEN_PIPE, BYTES, INTERRUPTED, RESET, Errno, FaultySocket
from tests.fakes.protocol import RecordingProtocol
from tests.fakes.selector import FakeSelector

MARKS = WaterMarks()

#: Turns after which a loop that has nothing left to do is said to spin.
SPIN = 10_000


def registered(loop: EventLoop, sock: Any) -> int:
    """What the selector has of `sock`, found without its descriptor: it may be closed."""
    return next((key.events for key in loop.selector.get_map().values() if key.fileobj is sock), 0)


def settle(loop: EventLoop) -> None:
    """Turn until nothing happens any more; a loop that never comes to rest spins."""
    for _ in range(SPIN):
        if not loop.run_once(0):
            return
    pytest.fail("the loop spins")


class Wire:
    """A transport on one end of a real pair, its kernel scripted; the test is the peer."""

    def __init__(self, loop: EventLoop, pair: tuple[socket.socket, socket.socket], marks: WaterMarks = MARKS) -> None:
        self.loop = loop
        self.sock = FaultySocket(pair[0])
        self.peer = pair[1]
        for sock in pair:
            sock.setblocking(False)
        self.protocol = RecordingProtocol()
        self.transport = Transport(loop, self.sock, self.protocol, marks)

    def check(self) -> None:
        assert self.transport.interest() == registered(self.loop, self.sock)

    def settle(self) -> None:
        self.check()
        settle(self.loop)
        self.check()

    def peer_reads(self) -> bytes:
        """All that has arrived at the peer; raises if it was reset, stops at EOF."""
        data = bytearray()
        try:
            while part := self.peer.recv(1 << 20):
                data += part
        except BlockingIOError:
            pass
        return bytes(data)

    def peer_at_eof(self) -> bool:
        try:
            return self.peer.recv(1) == b""
        except BlockingIOError:
            return False

    def exchange(self, count: int) -> bytes:
        """Turn and read until the peer has `count` bytes."""
        data = bytearray()
        for _ in range(SPIN):
            data += self.peer_reads()
            if len(data) >= count:
                return bytes(data)
            self.loop.run_once(0)
            self.check()
        pytest.fail(f"the peer got {len(data)} of {count} bytes")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.fixture
def wire(real_loop: EventLoop, pair: tuple[socket.socket, socket.socket]) -> Iterator[Wire]:
    wire = Wire(real_loop, pair)
    yield wire
    wire.transport.abort()


@pytest.fixture
def tcp(real_loop: EventLoop) -> Iterator[Wire]:
    """Over TCP, where closing with unread input sends a RST."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as stack:
        peer = stack.enter_context(socket.create_connection(listening.getsockname()))
        mine = stack.enter_context(listening.accept()[0])
        wire = Wire(real_loop, (mine, peer))
        yield wire
        wire.transport.abort()


class Alone:
    """A transport whose socket and selector are both made up."""

    def __init__(self, loop: EventLoop, selector: FakeSelector, marks: WaterMarks = MARKS) -> None:
        self.loop = loop
        self.selector = selector
        self.sock = FaultySocket()
        self.protocol = RecordingProtocol()
        self.transport = Transport(loop, self.sock, self.protocol, marks)

    def turn(self, events: int = READ | WRITE) -> None:
        if not self.sock.closed:
            self.selector.ready(self.sock, events)
        self.loop.run_once(0)
        self.check()

    def check(self) -> None:
        assert self.transport.interest() == registered(self.loop, self.sock)


@pytest.fixture
def alone(loop: EventLoop, selector: FakeSelector) -> Alone:
    return Alone(loop, selector, WaterMarks(high=100, low=40))


class Sink:
    """Room for `size` bytes, given out at most `step` at a time."""

    def __init__(self, size: int, step: int | None = None) -> None:
        self.size = size
        self.step = step or size
        self.content = bytearray()
        self.offered = bytearray()
        self.log: list[int] = []

    def get_buffer(self) -> memoryview | None:
        room = min(self.step, self.size - len(self.content))
        if not room:
            return None
        self.offered = bytearray(room)
        return memoryview(self.offered)

    def buffer_updated(self, count: int) -> None:
        self.offered.append(0)  # a BufferError, if the transport still held the space
        self.content += self.offered[:count]
        self.log.append(count)


# --- reading -------------------------------------------------------------------------


def test_what_the_peer_sends_is_received(wire: Wire) -> None:
    assert registered(wire.loop, wire.sock) == READ
    wire.peer.send(b"hello")
    wire.settle()
    assert wire.protocol.data == b"hello"
    assert wire.protocol.heard == ["data"]


def test_one_readiness_is_one_recv(wire: Wire) -> None:
    """A connection that sends much must not hold up the others."""
    sent = wire.peer.send(bytes(RECV_SIZE + 1))
    assert sent == RECV_SIZE + 1
    wire.loop.run_once(0)
    assert wire.protocol.data == bytes(RECV_SIZE)
    wire.settle()
    assert wire.protocol.data == bytes(RECV_SIZE + 1)


@pytest.mark.parametrize("step", [AGAIN, INTERRUPTED])
@pytest.mark.parametrize("into", [False, True], ids=["recv", "recv_into"])
def test_spurious_readiness_is_survived(wire: Wire, step: Errno, into: bool) -> None:
    if into:
        wire.transport.read_into(Sink(2))
    wire.sock.script("recv_into" if into else "recv", step, step)
    wire.peer.send(b"hi")
    wire.loop.run_once(0)
    wire.loop.run_once(0)
    assert wire.protocol.heard == []
    wire.settle()
    assert wire.protocol.heard == (["filled"] if into else ["data"])
    assert not wire.transport.closed


def test_a_paused_connection_is_not_in_the_selector_and_hears_nothing(wire: Wire) -> None:
    wire.transport.pause_reading()
    wire.transport.pause_reading()
    assert not wire.transport.reading
    assert registered(wire.loop, wire.sock) == 0
    wire.peer.send(b"later")
    wire.settle()
    assert wire.protocol.heard == []
    wire.transport.resume_reading()
    wire.transport.resume_reading()
    assert wire.transport.reading
    wire.settle()
    assert wire.protocol.data == b"later"


def test_a_paused_connection_whose_peer_hangs_up_does_not_spin(tcp: Wire) -> None:
    tcp.transport.pause_reading()
    tcp.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    tcp.peer.close()  # a RST: epoll would report it to any mask, even 0
    wait_readable(tcp)
    assert tcp.loop.run_once(0) == 0
    tcp.transport.resume_reading()
    tcp.settle()
    assert [error.errno for error in tcp.protocol.losses] == [errno.ECONNRESET]  # type: ignore[union-attr]


def test_pausing_within_a_batch_makes_its_own_event_stale(alone: Alone) -> None:
    alone.sock.feed(b"x")
    other = FaultySocket()

    class Pauser(RecordingProtocol):
        def data_received(self, data: bytes) -> None:
            alone.transport.pause_reading()

    first = Transport(alone.loop, other, Pauser())
    other.feed(b"y")
    alone.selector.ready(other, READ)
    alone.turn(READ)
    assert alone.protocol.heard == []
    assert alone.sock.calls == []
    first.abort()


def test_eof_is_told_once_and_does_not_spin(wire: Wire) -> None:
    wire.peer.send(b"last")
    wire.peer.shutdown(socket.SHUT_WR)
    wire.settle()
    assert wire.protocol.heard == ["data", "eof"]
    assert wire.transport.peer_eof
    assert registered(wire.loop, wire.sock) == 0
    wire.transport.pause_reading()
    wire.transport.resume_reading()  # is no way back into the selector
    wire.settle()
    assert wire.protocol.heard == ["data", "eof"]


def test_after_the_peers_eof_replies_still_go_out(wire: Wire) -> None:
    wire.peer.shutdown(socket.SHUT_WR)
    wire.settle()
    wire.transport.write(b"reply")
    wire.transport.write_eof()
    assert wire.peer_reads() == b"reply"
    assert wire.peer_at_eof()
    assert not wire.transport.closed  # for its protocol to decide
    wire.settle()


def test_eof_while_output_is_kept_watches_for_writing_alone(wire: Wire) -> None:
    wire.sock.script("send", AGAIN)
    wire.transport.write(b"kept")
    wire.peer.shutdown(socket.SHUT_WR)
    wire.sock.script("send", AGAIN)
    wire.loop.run_once(0)
    assert wire.protocol.heard == ["eof"]
    assert registered(wire.loop, wire.sock) == WRITE
    wire.settle()
    assert wire.peer_reads() == b"kept"


@pytest.mark.parametrize("into", [False, True], ids=["recv", "recv_into"])
def test_a_reset_while_reading_is_told_in_a_later_callback(alone: Alone, into: bool) -> None:
    if into:
        alone.transport.read_into(Sink(10))
    alone.sock.script("recv_into" if into else "recv", RESET)
    alone.transport.on_readable()
    assert alone.transport.closed
    assert alone.sock.closed
    assert alone.protocol.losses == []
    alone.turn()
    assert [type(error) for error in alone.protocol.losses] == [ConnectionResetError]


# --- reading straight into a buffer --------------------------------------------------


def test_a_large_content_is_received_straight_into_its_buffer(wire: Wire) -> None:
    content = random.Random(3).randbytes(1 << 20)
    sink = Sink(len(content))
    wire.transport.read_into(sink)
    left = memoryview(content)
    while left:
        left = left[wire.peer.send(left) :]
        wire.loop.run_once(0)
    wire.settle()
    assert sink.content == content
    assert wire.protocol.data == b""
    assert wire.protocol.heard == ["filled"] * len(sink.log)
    assert wire.sock.count("recv") == 0


def test_a_sink_that_runs_out_of_space_falls_back_to_data_received(wire: Wire) -> None:
    sink = Sink(10, step=7)
    wire.transport.read_into(sink)
    wire.peer.send(b"0123456789abcdef")
    wire.settle()
    assert sink.content == b"0123456789"
    assert sink.log == [7, 3]
    assert wire.protocol.data == b"abcdef"
    assert wire.protocol.heard == ["filled", "filled", "data"]
    sink.size = 100  # it has been given up: offering space again changes nothing
    wire.peer.send(b"g")
    wire.settle()
    assert wire.protocol.data == b"abcdefg"


def test_a_sink_with_no_room_at_all_is_not_mistaken_for_eof(wire: Wire) -> None:
    class Empty(Sink):
        def get_buffer(self) -> memoryview | None:
            return memoryview(b"")

    wire.transport.read_into(Empty(0))
    wire.peer.send(b"data")
    wire.settle()
    assert wire.protocol.heard == ["data"]
    assert not wire.transport.peer_eof


def test_taking_the_sink_away_goes_back_to_data_received(wire: Wire) -> None:
    wire.transport.read_into(Sink(100))
    wire.transport.read_into(None)
    wire.peer.send(b"data")
    wire.settle()
    assert wire.protocol.data == b"data"


def test_eof_inside_a_sink_is_told_once_and_does_not_spin(wire: Wire) -> None:
    sink = Sink(10)
    wire.transport.read_into(sink)
    wire.peer.send(b"half")
    wire.peer.shutdown(socket.SHUT_WR)
    wire.settle()
    assert sink.content == b"half"
    assert wire.protocol.heard == ["filled", "eof"]
    assert registered(wire.loop, wire.sock) == 0


def test_a_sink_offered_after_the_end_is_not_kept(alone: Alone) -> None:
    alone.transport.abort()
    alone.transport.read_into(Sink(1))
    assert alone.transport._busy is None


# --- writing -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_the_kernel_takes_is_sent_at_once_and_never_registered_for(
    wire: Wire, kind: Callable[[bytes], bytes]
) -> None:
    wire.transport.write(kind(b"hello"))
    assert wire.peer_reads() == b"hello"
    assert wire.transport.queued == 0
    assert wire.sock.calls == [("send", 5)]
    assert registered(wire.loop, wire.sock) == READ
    wire.settle()
    assert wire.protocol.heard == []


@pytest.mark.parametrize("refusal", [AGAIN, INTERRUPTED])
def test_what_the_kernel_refuses_is_kept_and_sent_when_writable(wire: Wire, refusal: Errno) -> None:
    wire.sock.script("send", refusal)
    wire.transport.write(b"hello")
    assert wire.transport.queued == 5
    assert registered(wire.loop, wire.sock) == READ | WRITE
    wire.settle()
    assert wire.peer_reads() == b"hello"
    assert wire.transport.queued == 0
    assert registered(wire.loop, wire.sock) == READ
    assert wire.protocol.heard == [("flushed", 0)]


def test_only_the_rest_of_a_partial_send_is_kept(wire: Wire) -> None:
    wire.sock.script("send", 2)
    wire.transport.write(b"hello")
    assert wire.transport.queued == 3
    assert wire.peer_reads() == b"he"
    wire.settle()
    assert wire.peer_reads() == b"llo"


def test_what_is_offered_is_sent_as_what_is_written(wire: Wire) -> None:
    assert wire.transport.offer(b"hello")
    wire.sock.script("send", 2, AGAIN)
    assert wire.transport.offer(b"partial ")
    assert wire.transport.queued == 6
    assert wire.transport.offer(b"behind ")
    assert wire.transport.queued == 13
    wire.settle()
    assert wire.peer_reads() == b"hellopartial behind "
    wire.sock.script("send", AGAIN)
    assert wire.transport.offer(b"refused")
    wire.settle()
    assert wire.peer_reads() == b"refused"


def test_above_the_high_water_mark_nothing_that_is_offered_is_taken(wire: Wire) -> None:
    wire.transport.marks = WaterMarks(4, 2)
    wire.sock.script("send", AGAIN)
    assert wire.transport.offer(b"hello")
    assert not wire.transport.offer(b"more")
    assert wire.transport.queued == 5
    wire.settle()
    assert wire.transport.offer(b"again")
    assert wire.peer_reads() == b"helloagain"


def test_on_a_broken_or_closed_connection_an_offer_is_a_write_that_does_nothing(wire: Wire) -> None:
    wire.sock.script("send", RESET)
    assert wire.transport.offer(b"hello")
    assert wire.transport.closed
    assert wire.transport.offer(b"hello")
    assert wire.sock.calls.count(("send", RESET)) == 1


def test_while_something_is_kept_later_writes_wait_behind_it_without_a_call(wire: Wire) -> None:
    wire.sock.script("send", AGAIN)
    wire.transport.write(b"one ")
    wire.transport.write(b"two ")
    wire.transport.write(b"")
    wire.transport.writelines([b"three ", b"four"])
    assert wire.sock.calls == [("send", AGAIN)]
    assert wire.transport.queued == len(b"one two three four")
    wire.settle()
    assert wire.peer_reads() == b"one two three four"
    assert wire.sock.calls[1:] == [("sendmsg", 18)]


def test_writing_nothing_keeps_nothing(wire: Wire) -> None:
    wire.transport.write(b"")
    wire.transport.writelines([])
    wire.transport.writelines([b"", b""])
    assert wire.transport.queued == 0
    assert registered(wire.loop, wire.sock) == READ
    wire.transport.write(b"still works")
    assert wire.peer_reads() == b"still works"


@pytest.mark.parametrize("method", ["write", "writelines"])
def test_one_byte_at_a_time_loses_nothing(wire: Wire, method: str) -> None:
    wire.sock.always("send", 1).always("sendmsg", 1)
    content = bytes(range(256)) * 4
    if method == "write":
        wire.transport.write(content)
    else:
        wire.transport.writelines([content[i : i + 5] for i in range(0, len(content), 5)])
    wire.transport.write(b"tail")
    assert wire.exchange(len(content) + 4) == content + b"tail"
    assert wire.transport.queued == 0
    queued = [what[1] for what in wire.protocol.heard]
    assert queued == list(range(len(content) + 2, -1, -1))


def test_eagain_at_every_second_call_loses_nothing(wire: Wire) -> None:
    for method in ("send", "sendmsg"):
        wire.sock.script(method, *[AGAIN, 3] * 500)
    content = bytes(range(250)) * 2
    for i in range(0, len(content), 50):
        wire.transport.write(content[i : i + 50])
    assert wire.exchange(len(content)) == content


def test_no_progress_is_no_flush(wire: Wire) -> None:
    wire.sock.script("send", AGAIN, AGAIN, INTERRUPTED)
    wire.transport.write(b"x")
    wire.loop.run_once(0)
    wire.loop.run_once(0)
    assert wire.protocol.heard == []
    assert registered(wire.loop, wire.sock) == READ | WRITE
    wire.settle()
    assert wire.protocol.heard == [("flushed", 0)]


def test_flushed_tells_how_much_is_still_kept(wire: Wire) -> None:
    wire.sock.script("send", 1, 4, 2)
    wire.transport.write(b"0123456789")
    wire.settle()
    assert wire.protocol.heard == [("flushed", 5), ("flushed", 3), ("flushed", 0)]


def test_writelines_sends_several_parts_with_one_call(wire: Wire) -> None:
    wire.transport.writelines([b"a", b"", bytearray(b"b"), memoryview(b"c")])
    assert wire.peer_reads() == b"abc"
    assert wire.sock.calls == [("sendmsg", 3)]
    wire.transport.writelines([b"alone"])
    assert wire.sock.calls[1:] == [("send", 5)]
    assert registered(wire.loop, wire.sock) == READ


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_send_cut_anywhere_inside_the_parts_loses_nothing(wire: Wire, cut: int) -> None:
    wire.sock.script("sendmsg", cut)
    wire.transport.writelines(iter([b"ab", b"c", b"", b"def", b"gh", b"i"]))
    assert wire.peer_reads() == b"abcdefghi"[:cut]
    assert wire.transport.queued == 9 - cut
    wire.settle()
    assert wire.peer_reads() == b"abcdefghi"[cut:]


@pytest.mark.parametrize("count", [SEND_BUFFERS, SEND_BUFFERS + 1, 1025, 3000])
def test_more_parts_than_one_call_takes_all_arrive(wire: Wire, count: int) -> None:
    parts = [str(i).encode() + b"," for i in range(count)]
    wire.transport.writelines(parts)
    first = sum(map(len, parts[:SEND_BUFFERS]))
    assert wire.sock.calls == [("sendmsg", first)]
    assert wire.exchange(sum(map(len, parts))) == b"".join(parts)
    assert wire.transport.queued == 0


def test_parts_larger_than_any_kernel_buffer_all_arrive(wire: Wire) -> None:
    parts = [bytes([i]) * (1 << 20) for i in range(5)]
    wire.transport.writelines(parts)
    assert 0 < wire.transport.queued < 5 << 20
    assert registered(wire.loop, wire.sock) == READ | WRITE
    assert wire.exchange(5 << 20) == b"".join(parts)


@pytest.mark.parametrize("kept", [5, 150], ids=["below high", "above high"])
def test_a_reset_while_what_is_kept_is_sent_is_told_as_a_loss_and_as_nothing_else(alone: Alone, kept: int) -> None:
    alone.sock.script("send", AGAIN, RESET)
    alone.transport.write(bytes(kept))
    alone.turn()
    assert alone.protocol.heard == (["pause"] if kept > 100 else []) + ["lost"]
    assert alone.transport.queued == 0


@pytest.mark.parametrize("method", ["write", "writelines"])
def test_kept_tells_how_much_the_kernel_did_not_take(alone: Alone, method: str) -> None:
    alone.sock.script("send", 4).script("sendmsg", 4)
    alone.transport.write(b"all ")
    VERBS[method](alone.transport)
    assert alone.protocol.kept_back == []
    alone.sock.script("send", 4).script("sendmsg", 4)
    getattr(alone.transport, method)([b"01234", b"56789"] if method == "writelines" else b"0123456789")
    assert alone.protocol.kept_back == [6]
    alone.transport.write(b"behind")
    assert alone.protocol.kept_back == [6, 12]


def test_a_protocol_that_aborts_when_too_much_is_kept_is_not_paused_as_well(alone: Alone) -> None:
    alone.sock.script("send", AGAIN)
    alone.protocol.on["kept"] = alone.transport.abort
    alone.transport.write(bytes(200))
    alone.turn()
    assert alone.protocol.heard == ["lost"]


# --- water marks ---------------------------------------------------------------------


def test_pausing_is_told_once_above_high_and_resuming_once_at_low(alone: Alone) -> None:
    alone.sock.script("send", AGAIN)
    alone.transport.write(bytes(100))
    assert alone.protocol.heard == []  # at the mark is not above it
    assert not alone.transport.above_high
    alone.transport.write(b"x")
    alone.transport.write(b"x")
    alone.transport.writelines([b"x"])
    assert alone.protocol.heard == ["pause"]
    assert alone.transport.above_high
    assert not alone.transport.has_room
    alone.sock.script("sendmsg", 62, 1)
    alone.turn()
    assert alone.transport.queued == 41
    assert alone.protocol.heard == ["pause", ("flushed", 41)]
    alone.turn()
    assert alone.transport.queued == 40  # drained is at the low mark, not at zero
    assert alone.protocol.heard == ["pause", ("flushed", 41), "resume", ("flushed", 40)]
    assert not alone.transport.above_high
    assert alone.transport.has_room
    alone.turn()
    assert alone.protocol.heard[4:] == [("flushed", 0)]
    alone.transport.abort()
    assert not alone.transport.has_room


def test_after_resuming_it_can_be_paused_again(alone: Alone) -> None:
    for _ in range(3):
        alone.sock.script("send", AGAIN)
        alone.transport.write(bytes(101))
        alone.turn()
    assert alone.protocol.heard == ["pause", "resume", ("flushed", 0)] * 3


def test_writelines_above_high_pauses_too(alone: Alone) -> None:
    alone.sock.script("sendmsg", 1)
    alone.transport.writelines([bytes(100), b"xx"])
    assert alone.transport.queued == 101
    assert alone.protocol.heard == ["pause"]


def test_what_is_written_on_resuming_counts_and_may_pause_again(alone: Alone) -> None:
    alone.sock.script("send", AGAIN)
    alone.protocol.on["resume_writing"] = lambda: alone.transport.write(bytes(200))
    alone.transport.write(bytes(200))
    alone.sock.script("send", 160)
    alone.turn()
    assert alone.protocol.heard == ["pause", "resume", "pause", ("flushed", 240)]
    del alone.protocol.on["resume_writing"]
    alone.turn()
    assert alone.protocol.heard[4:] == ["resume", ("flushed", 0)]


def test_a_protocol_that_aborts_on_resuming_hears_no_flush_of_a_closed_transport(alone: Alone) -> None:
    alone.sock.script("send", AGAIN)
    alone.protocol.on["resume_writing"] = alone.transport.abort
    alone.transport.write(bytes(101))
    alone.turn()
    assert alone.protocol.heard == ["pause", "resume", "lost"]


def test_the_default_marks_are_256_and_64_kib(alone: Alone) -> None:
    transport = Transport(alone.loop, FaultySocket(), RecordingProtocol())
    assert transport.marks == (256 * 1024, 64 * 1024)


# --- starting late -------------------------------------------------------------------


def test_unwatched_it_does_nothing_until_it_is_watched(alone: Alone) -> None:
    sock = FaultySocket()
    protocol = RecordingProtocol()
    transport = Transport(alone.loop, sock, protocol, watch=False)
    assert transport.interest() == 0 == registered(alone.loop, sock)
    transport.watch()
    assert transport.interest() == READ == registered(alone.loop, sock)
    transport.abort()
    assert registered(alone.loop, sock) == 0


def test_what_has_come_can_be_read_before_it_is_watched(alone: Alone) -> None:
    sock = FaultySocket()
    sock.feed(b"early")
    protocol = RecordingProtocol()
    transport = Transport(alone.loop, sock, protocol, watch=False)
    transport.on_readable()
    assert protocol.heard == ["data"]
    assert registered(alone.loop, sock) == 0
    transport.watch()
    assert registered(alone.loop, sock) == READ
    transport.abort()


def test_what_is_served_and_closed_before_it_is_watched_never_meets_the_selector(alone: Alone) -> None:
    sock = FaultySocket()
    sock.feed(b"one request")
    protocol = RecordingProtocol()
    transport = Transport(alone.loop, sock, protocol, watch=False)
    protocol.on["data_received"] = transport.close
    calls: list[object] = []
    alone.loop.selector.register = lambda *args: calls.append(args)  # type: ignore[assignment,method-assign]
    transport.on_readable()
    transport.watch()
    alone.loop.run_once(0)
    assert protocol.heard == ["data", "lost"]
    assert calls == []


def test_output_kept_before_it_is_watched_is_watched_from_then_on(alone: Alone) -> None:
    sock = FaultySocket().script("send", Errno(errno.EAGAIN))
    transport = Transport(alone.loop, sock, RecordingProtocol(), watch=False)
    transport.write(b"hello")
    assert registered(alone.loop, sock) == 0
    transport.watch()
    assert registered(alone.loop, sock) == READ | WRITE
    transport.abort()


def test_nothing_unread_is_known_by_asking_for_one_byte_more(wire: Wire) -> None:
    assert wire.transport.nothing_unread()
    wire.peer.send(b"xy")
    assert not wire.transport.nothing_unread()
    assert not wire.transport.nothing_unread()
    assert wire.transport.nothing_unread()
    wire.peer.shutdown(socket.SHUT_WR)
    assert wire.transport.nothing_unread()  # the peer's end is no byte


def test_nothing_unread_is_asked_of_a_real_socket_without_reading_in_vain(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = socket.socketpair()
    one.setblocking(False)
    with other:
        transport = Transport(alone.loop, one, RecordingProtocol())
        assert transport.nothing_unread()
        other.send(b"xy")
        assert not transport.nothing_unread()
        assert not transport.nothing_unread()
        assert transport.nothing_unread()
        other.shutdown(socket.SHUT_WR)
        assert transport.nothing_unread()  # the peer's end is no byte
        transport.abort()
    alone.loop.run_once(0)


class FlagsNoted(FaultySocket):
    """Notes the flags of each send."""

    def __init__(self) -> None:
        super().__init__()
        self.flags: list[int] = []

    def send(self, data: Any, flags: int = 0) -> int:
        self.flags.append(flags)
        return super().send(data, flags)


def test_the_last_write_waits_for_the_end(alone: Alone) -> None:
    sock = FlagsNoted()
    transport = Transport(alone.loop, sock, RecordingProtocol())
    transport.write(b"one")
    transport.write(b"two", last=True)
    transport.close()
    assert (bytes(sock.sent), sock.flags) == (b"onetwo", [0, _MORE])


def test_of_a_last_write_that_is_not_taken_whole_the_rest_waits_for_nothing(alone: Alone) -> None:
    sock = FlagsNoted()
    sock.script("send", 2)
    transport = Transport(alone.loop, sock, RecordingProtocol())
    transport.write(b"hello", last=True)
    assert transport.queued == 3
    transport.close()
    transport.on_writable()
    assert (bytes(sock.sent), sock.flags) == (b"hello", [_MORE, 0])
    assert transport.closed


def test_nothing_unread_trusts_an_end_that_was_seen_and_no_paused_or_broken_socket(wire: Wire, alone: Alone) -> None:
    wire.peer.shutdown(socket.SHUT_WR)
    wire.settle()
    assert wire.transport.nothing_unread()
    alone.transport.pause_reading()
    assert not alone.transport.nothing_unread()
    alone.transport.resume_reading()
    alone.sock.script("recv", Errno(errno.ECONNRESET))
    assert not alone.transport.nothing_unread()


def test_a_break_is_seen_where_nobody_reads_and_a_mere_end_of_input_is_none(alone: Alone) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for goodbye, broken in (("none", False), ("shutdown", False), ("reset", True)):
            peer = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
            ours.setblocking(False)
            transport = Transport(alone.loop, ours, RecordingProtocol())
            transport.pause_reading()
            if goodbye == "shutdown":
                peer.shutdown(socket.SHUT_WR)
            elif goodbye == "reset":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.close()
            assert transport.is_broken() is broken
            peer.close()
            transport.abort()
            assert not transport.is_broken()  # it is closed, which is known
    alone.loop.run_once(0)


def test_a_break_of_a_socket_that_is_none_of_the_systems_is_asked_of_itself(alone: Alone) -> None:
    assert not alone.transport.is_broken()
    alone.sock.options[socket.SOL_SOCKET, socket.SO_ERROR] = errno.ECONNRESET
    assert alone.transport.is_broken()
    alone.sock.script("getsockopt", Errno(errno.EBADF))
    assert alone.transport.is_broken()


# --- half-close ----------------------------------------------------------------------


def test_write_eof_is_seen_by_the_peer_and_reading_goes_on(wire: Wire) -> None:
    wire.transport.write(b"done")
    wire.transport.write_eof()
    wire.transport.write_eof()
    assert wire.transport.eof_sent
    assert wire.sock.count("shutdown") == 1
    assert wire.peer_reads() == b"done"
    assert wire.peer_at_eof()
    wire.peer.send(b"answer")
    wire.settle()
    assert wire.protocol.data == b"answer"
    assert not wire.transport.closed


def test_write_eof_waits_for_what_is_kept(wire: Wire) -> None:
    wire.sock.script("send", 1, AGAIN)
    wire.transport.write(b"abc")
    wire.transport.write_eof()
    wire.loop.run_once(0)
    assert not wire.transport.eof_sent
    assert wire.sock.count("shutdown") == 0
    wire.settle()
    assert wire.transport.eof_sent
    assert wire.peer_reads() == b"abc"
    assert wire.peer_at_eof()


def test_after_write_eof_nothing_more_is_written(wire: Wire) -> None:
    wire.sock.script("send", AGAIN)
    wire.transport.write(b"kept")
    wire.transport.write_eof()
    wire.transport.write(b"not this")
    wire.transport.writelines([b"nor", b"this"])
    wire.settle()
    assert wire.peer_reads() == b"kept"


def test_a_half_close_that_fails_is_a_loss(wire: Wire) -> None:
    wire.sock.script("shutdown", Errno(errno.ENOTCONN))
    wire.transport.write_eof()
    assert wire.transport.closed
    assert wire.protocol.losses == []
    wire.settle()
    assert [error.errno for error in wire.protocol.losses] == [errno.ENOTCONN]  # type: ignore[union-attr]


# --- lingering close -----------------------------------------------------------------


def test_linger_delivers_the_last_reply_although_input_is_unread(tcp: Wire) -> None:
    tcp.transport.pause_reading()
    tcp.peer.send(bytes(100_000))
    tcp.protocol.on["eof_received"] = tcp.transport.close
    tcp.transport.write(b"last reply")
    tcp.transport.linger()
    tcp.settle()
    tcp.peer.send(b"more that nobody reads")
    tcp.settle()
    assert read_to_eof(tcp.peer) == b"last reply"  # a RST would have raised
    assert tcp.protocol.heard == []
    assert not tcp.transport.closed
    tcp.peer.shutdown(socket.SHUT_WR)
    wait_readable(tcp)
    tcp.settle()
    assert tcp.transport.closed
    assert tcp.protocol.heard == ["eof", "lost"]
    assert tcp.protocol.losses == [None]


def test_closing_with_unread_input_resets_which_is_why_linger_exists(tcp: Wire) -> None:
    tcp.transport.pause_reading()
    tcp.peer.send(bytes(100_000))
    tcp.transport.write(b"last reply")
    tcp.transport.close()
    with pytest.raises(ConnectionResetError):
        read_to_eof(tcp.peer)


def test_linger_waits_for_what_is_kept_and_throws_away_what_comes_meanwhile(wire: Wire) -> None:
    wire.transport.read_into(Sink(1000))
    wire.sock.script("send", AGAIN, 2, AGAIN)
    wire.transport.write(b"reply")
    wire.transport.linger()
    wire.transport.read_into(Sink(1000))  # thrown away means that too
    wire.peer.send(b"noise")
    wire.settle()
    assert wire.peer_reads() == b"reply"
    assert wire.peer_at_eof()
    assert wire.sock.count("recv") == 1
    assert wire.sock.count("recv_into") == 0
    assert "data" not in wire.protocol.heard
    assert "filled" not in wire.protocol.heard


def test_linger_after_the_peers_eof_half_closes_and_does_not_spin(wire: Wire) -> None:
    wire.peer.shutdown(socket.SHUT_WR)
    wire.settle()
    wire.transport.linger()
    wire.settle()
    assert wire.peer_at_eof()
    assert registered(wire.loop, wire.sock) == 0
    assert not wire.transport.closed


def test_a_reset_while_lingering_is_a_loss_once(wire: Wire) -> None:
    wire.transport.linger()
    wire.sock.script("recv", RESET)
    wire.peer.send(b"x")
    wire.settle()
    assert [type(error) for error in wire.protocol.losses] == [ConnectionResetError]


# --- close and abort -----------------------------------------------------------------


def test_close_with_nothing_kept_closes_at_once_and_tells_later(wire: Wire) -> None:
    wire.transport.close()
    assert wire.transport.closed
    assert wire.sock.closed
    assert wire.peer_at_eof()
    assert wire.protocol.heard == []
    wire.settle()
    assert wire.protocol.losses == [None]


def test_close_sends_what_is_kept_first_and_reads_no_more(wire: Wire) -> None:
    wire.sock.script("send", AGAIN)
    wire.transport.write(b"kept")
    wire.transport.close()
    wire.transport.close()
    assert wire.transport.closing
    assert not wire.transport.closed
    assert registered(wire.loop, wire.sock) == WRITE
    wire.transport.write(b"too late")
    wire.transport.writelines([b"too", b"late"])
    wire.transport.resume_reading()
    wire.check()
    wire.peer.send(b"unheard")
    wire.settle()
    assert wire.transport.closed
    assert wire.protocol.heard == [("flushed", 0), "lost"]
    assert wire.protocol.losses == [None]
    assert wire.sock.sent == b"kept"


def test_close_after_linger_still_sends_what_is_kept(wire: Wire) -> None:
    wire.sock.script("send", AGAIN)
    wire.transport.write(b"kept")
    wire.transport.linger()
    wire.transport.close()
    wire.settle()
    assert wire.transport.closed
    assert wire.peer_reads() == b"kept"
    assert wire.sock.count("shutdown") == 0


def test_linger_after_close_is_too_late_to_read(wire: Wire) -> None:
    wire.sock.script("send", AGAIN)
    wire.transport.write(b"kept")
    wire.transport.close()
    wire.transport.linger()
    assert registered(wire.loop, wire.sock) == WRITE
    wire.settle()
    assert wire.transport.closed
    assert wire.peer_reads() == b"kept"


def test_a_closing_connection_whose_peer_is_gone_ends_with_the_error(wire: Wire) -> None:
    wire.sock.script("send", AGAIN)
    wire.transport.write(b"kept")
    wire.transport.close()
    wire.peer.close()
    wire.settle()
    assert [type(error) for error in wire.protocol.losses] == [BrokenPipeError]


def test_abort_loses_what_is_kept_and_closes_now(wire: Wire) -> None:
    wire.sock.script("send", AGAIN)
    wire.transport.write(b"lost")
    wire.transport.abort()
    wire.transport.abort()
    assert wire.transport.closed
    assert wire.transport.closing
    assert wire.transport.queued == 0
    assert wire.peer_at_eof()
    assert wire.protocol.losses == []
    wire.settle()
    assert wire.protocol.losses == [None]


VERBS: dict[str, Callable[[Transport], object]] = {
    "write": lambda t: t.write(b"x"),
    "write the last": lambda t: t.write(b"x", last=True),
    "writelines": lambda t: t.writelines([b"x", b"y"]),
    "pause_reading": lambda t: t.pause_reading(),
    "resume_reading": lambda t: t.resume_reading(),
    "read_into": lambda t: t.read_into(None),
    "write_eof": lambda t: t.write_eof(),
    "linger": lambda t: t.linger(),
    "close": lambda t: t.close(),
    "abort": lambda t: t.abort(),
    "on_readable": lambda t: t.on_readable(),
    "on_writable": lambda t: t.on_writable(),
}


@pytest.mark.parametrize("paused", [False, True], ids=["reading", "paused"])
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_a_no_op_once_closed(alone: Alone, verb: str, paused: bool) -> None:
    if paused:
        alone.transport.pause_reading()
    alone.transport.abort()
    calls = list(alone.sock.calls)
    alone.turn()
    VERBS[verb](alone.transport)
    VERBS[verb](alone.transport)
    alone.turn()
    assert alone.sock.calls == calls == [("close", calls[0][1])]
    assert alone.protocol.heard == ["lost"]
    assert alone.transport.closed
    assert alone.transport.queued == 0
    assert repr(alone.transport) == "<Transport closed>"


@pytest.mark.parametrize("verb", ["write", "writelines", "write_eof", "linger"])
def test_a_verb_that_meets_a_reset_tells_it_later_never_inside_the_call(alone: Alone, verb: str) -> None:
    for method in ("send", "sendmsg", "shutdown"):
        alone.sock.script(method, BROKEN_PIPE)
    VERBS[verb](alone.transport)
    assert alone.transport.closed
    assert alone.transport.interest() == 0
    assert alone.protocol.heard == []
    alone.turn()
    assert [type(error) for error in alone.protocol.losses] == [BrokenPipeError]


def test_closing_inside_its_own_callback_is_told_after_the_callback(alone: Alone) -> None:
    for verb in ("close", "abort"):
        wire = Alone(alone.loop, alone.selector)
        wire.sock.feed(b"x")
        wire.protocol.on["data_received"] = getattr(wire.transport, verb)
        wire.turn()
        assert wire.protocol.heard == ["data", "lost"]
        assert wire.protocol.reentered == 0


def test_events_of_a_transport_closed_earlier_in_the_batch_are_ignored(alone: Alone) -> None:
    killer = Alone(alone.loop, alone.selector)
    killer.sock.feed(b"x")
    killer.protocol.on["data_received"] = alone.transport.abort
    alone.sock.script("send", AGAIN)
    alone.transport.write(b"kept")
    alone.sock.feed(b"never read")
    killer.selector.ready(killer.sock, READ)
    alone.turn(READ | WRITE)
    assert alone.protocol.heard == ["lost"]
    assert alone.sock.count("recv") == 0
    assert alone.sock.count("send") == 1


def test_repr_tells_the_facts(alone: Alone) -> None:
    alone.sock.script("send", AGAIN)
    alone.transport.write(b"abc")
    assert repr(alone.transport) == "<Transport interest=3 queued=3>"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (("127.0.0.1", 5000), "127.0.0.1:5000"),
        (("::1", 5000, 0, 0), "[::1]:5000"),
        ("", "unix"),
        (b"\0abstract", "unix"),
    ],
)
def test_the_peer_is_named_as_people_write_it(alone: Alone, name: Any, text: str) -> None:
    alone.sock.peername = name
    assert alone.transport.peer_name() == text


def test_a_peer_that_is_gone_has_no_name(alone: Alone) -> None:
    alone.transport.abort()
    assert alone.transport.peer_name() == "?"


# --- a fault at each call in turn ----------------------------------------------------

REQUEST = bytes(range(200))
REPLY = bytes(range(255, 55, -1))


def converse(loop: EventLoop, prepare: Callable[[FaultySocket], object]) -> tuple[Wire, bytes, Sink]:
    """A whole life: read, read into a sink, write, writelines, half-close, the peer's end, close.

    Returns the wire, what the peer got and what the sink did. The peer forgives everything.
    """
    one, other = socket.socketpair()
    with one, other:
        wire = Wire(loop, (one, other), WaterMarks(high=64, low=16))
        prepare(wire.sock)
        transport, protocol = wire.transport, wire.protocol
        protocol.on["eof_received"] = transport.close
        sink, got = Sink(100), bytearray()

        def peer(act: Callable[[], object]) -> None:
            try:
                act()
            except OSError:
                pass

        def verb(act: Callable[[], object]) -> None:
            lost = list(protocol.losses)
            act()
            assert protocol.losses == lost  # never from inside the protocol's own call
            wire.check()

        for step in (
            lambda: peer(lambda: wire.peer.send(REQUEST[:50])),
            lambda: verb(lambda: transport.read_into(sink)),
            lambda: peer(lambda: wire.peer.send(REQUEST[50:])),
            lambda: verb(lambda: transport.write(REPLY[:90])),
            lambda: verb(lambda: transport.writelines([REPLY[90:120], REPLY[120:190]])),
            lambda: verb(lambda: transport.write(REPLY[190:])),
            lambda: verb(transport.write_eof),
            lambda: peer(lambda: wire.peer.shutdown(socket.SHUT_WR)),
        ):
            step()
            wire.settle()
            peer(lambda: got.extend(wire.peer_reads()))
        return wire, bytes(got), sink


def test_a_whole_life_without_faults(real_loop: EventLoop) -> None:
    wire, got, sink = converse(real_loop, lambda sock: None)
    assert got == REPLY
    assert wire.protocol.data + sink.content == REQUEST[:50] + REQUEST[150:] + REQUEST[50:150]
    assert wire.protocol.losses == [None]


@pytest.mark.parametrize("error", [AGAIN, INTERRUPTED])
@pytest.mark.parametrize("partial", [None, 7], ids=["whole", "partial"])
def test_a_refusal_at_each_call_in_turn_changes_nothing_that_is_seen(
    real_loop: EventLoop, error: Errno, partial: int | None
) -> None:
    def prepare(sock: FaultySocket, call: int) -> None:
        if partial is not None:
            for method in BYTES:
                sock.always(method, partial)
        sock.fail_at_call(call, error, among=BYTES)

    for call in itertools.count(1):
        wire, got, sink = converse(real_loop, lambda sock, k=call: prepare(sock, k))
        assert got == REPLY
        assert wire.protocol.data == REQUEST[:50] + REQUEST[150:]
        assert sink.content == REQUEST[50:150]
        assert wire.protocol.losses == [None]
        if not wire.sock.fired:
            break
    assert call > (60 if partial else 6)


@pytest.mark.parametrize("error", [RESET, BROKEN_PIPE, Errno(errno.ETIMEDOUT), Errno(errno.EIO)])
@pytest.mark.parametrize("stays", [False, True], ids=["once", "stays"])
def test_a_failure_at_each_call_in_turn_is_one_loss_told_later(real_loop: EventLoop, error: Errno, stays: bool) -> None:
    for call in itertools.count(1):
        wire, got, _sink = converse(real_loop, lambda sock, k=call: sock.fail_at_call(k, error, stays=stays))
        assert len(wire.protocol.losses) == 1
        assert wire.protocol.reentered == 0
        assert wire.protocol.heard[-1] == "lost"
        assert wire.transport.closed
        assert wire.sock.closed
        assert REPLY.startswith(got)
        if not wire.sock.fired:
            assert wire.protocol.losses == [None]
            break
        (loss,) = wire.protocol.losses
        assert isinstance(loss, OSError)
        assert loss.errno == error.number
    failed_methods = {"recv", "recv_into", "send", "sendmsg", "shutdown"}
    assert call > len(failed_methods)


# --- random sequences, checked at every step -----------------------------------------


def act_at_random(alone: Alone, chance: random.Random, expected: bytearray, fed: bytearray) -> None:
    """One step: an operation, a script for the kernel, or a turn with random readiness."""
    transport, sock = alone.transport, alone.sock
    writable = not transport.closing and not transport._facts & _EOF_WANTED
    data = chance.randbytes(chance.choice((1, 30, 70, 300)))
    match chance.choices(range(10), weights=(20, 10, 6, 6, 30, 20, 10, 1, 0.7, 0.7))[0]:
        case 0:
            expected += data if writable else b""
            transport.write(data)
        case 1:
            parts = [data[i : i + 20] for i in range(0, len(data), 20)]
            expected += data if writable else b""
            transport.writelines(parts)
        case 2:
            transport.pause_reading()
        case 3:
            transport.resume_reading()
        case 4:
            alone.turn(chance.choice((READ, WRITE, READ | WRITE)))
        case 5:
            for method in ("send", "sendmsg"):
                sock.script(method, chance.choice((AGAIN, INTERRUPTED, 1, 25, 80)))
        case 6:
            fed += data
            sock.feed(data)
        case 7:
            transport.write_eof()
        case 8:
            sock.script(chance.choice(("recv", "send", "sendmsg", "shutdown")), RESET)
        case _:
            getattr(transport, chance.choice(("linger", "close", "abort")))()


@pytest.mark.parametrize("seed", range(200))
def test_at_every_step_of_a_random_sequence_the_selector_has_what_the_facts_call_for(
    loop: EventLoop, selector: FakeSelector, seed: int
) -> None:
    chance = random.Random(seed)
    alone = Alone(loop, selector, WaterMarks(high=200, low=50))
    transport, sock, protocol = alone.transport, alone.sock, alone.protocol
    expected, fed = bytearray(), bytearray()
    for _ in range(80):
        heard = len(protocol.heard)
        before = transport.above_high
        act_at_random(alone, chance, expected, fed)
        alone.check()
        # Nothing is lost, doubled or out of order, on its way out or in.
        assert expected.startswith(sock.sent)
        assert transport.closed or len(sock.sent) + transport.queued == len(expected)
        assert fed.startswith(protocol.data)
        # Pauses and resumes alternate, and say what is so.
        marks = [what for what in protocol.heard if what in ("pause", "resume")]
        assert marks == (["pause", "resume"] * len(marks))[: len(marks)]
        if not transport.closed:
            assert transport.above_high == (len(marks) % 2 == 1)
            assert not transport.queued > 200 or transport.above_high
            assert not transport.above_high or transport.queued > 50
        assert before == transport.above_high or len(protocol.heard) > heard
    transport.abort()
    alone.turn()
    assert len(protocol.losses) == 1
    assert protocol.heard[-1] == "lost"
    assert protocol.reentered == 0


def read_to_eof(peer: socket.socket) -> bytes:
    """All there is until the end, waiting for it; raises if the end is a RST."""
    peer.settimeout(10)
    data = bytearray()
    while part := peer.recv(1 << 16):
        data += part
    return bytes(data)


def wait_readable(wire: Wire) -> None:
    """Until the kernel has carried the peer's segment over: TCP on loopback needs not be at once."""
    with selectors.DefaultSelector() as selector:
        selector.register(wire.sock.real, READ)
        assert selector.select(10)


# --- what is unread ----------------------------------------------------------------------


def test_unread_is_what_the_kernel_has_and_takes_nothing(loop: EventLoop, pair: Any) -> None:
    wire = Wire(loop, pair)
    assert wire.transport.unread() == 0
    wire.peer.sendall(b"x" * 1000)
    assert wire.transport.unread() == 1000
    wire.transport.pause_reading()
    assert wire.transport.unread() == 1000  # nobody is going to read it, and it is there
    wire.transport.resume_reading()
    wire.transport.on_readable()
    assert wire.protocol.data == b"x" * 1000
    assert wire.transport.unread() == 0
    wire.peer.sendall(b"x")
    wire.transport.abort()
    assert wire.transport.unread() == 0


def test_unread_is_nothing_where_nobody_can_tell(loop: EventLoop, pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(loop, pair)
    wire.peer.sendall(b"x")
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert wire.transport.unread() == 0


def test_what_only_stands_for_a_socket_says_itself_what_is_unread(loop: EventLoop, pair: Any) -> None:
    wire = Wire(loop, pair)
    wire.sock.unread = lambda: 7  # type: ignore[attr-defined]
    assert wire.transport.unread() == 7
