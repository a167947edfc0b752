"""Does each ablation take out the trick it names, and leave a server that still answers rightly?

The real server in this process, its first connection's socket replaced by one that counts its calls. What a trick
does is asserted with it and without it: an ablation that took out nothing would fail the same test.
"""

from __future__ import annotations

import gc
import json
import os
import select
import selectors
import socket
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import libserver.dispatcher
import libserver.message
import multiconn.commands.server
import protocol.connection
from benchmarks.processes import ROOT
from benchmarks.requests import Variant, echoed, mixed, repeated, varied, with_ids
from benchmarks.tricks import NOTHING, TRICKS, TRIED
from eventloop.transport import _MORE
from libserver import CloseReason, Server
from libserver.message import Message
from multiconn.commands.server_options import build_parser
from multiconn.commands.tracing import instruments
from protocol.states import CLOSED, LINGERING
from tests.support.wire import take

TURNS = 2000
ONE_SHOT = repeated(keep=False)[0]
PLAIN = repeated()[0]


class Counting(socket.socket):
    """Counts what is asked of the kernel."""

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.setblocking(False)
        self.calls: Counter[str] = Counter()

    def send(self, data: Any, flags: int = 0) -> int:  # type: ignore[override]
        self.calls["send"] += 1
        self.calls["send, more to come"] += bool(flags & _MORE)
        return super().send(data, flags)

    def sendmsg(self, *arguments: object) -> int:  # type: ignore[override]
        self.calls["sendmsg"] += 1
        return super().sendmsg(*arguments)  # type: ignore[arg-type]

    def recv(self, *arguments: object) -> bytes:  # type: ignore[override]
        self.calls["recv"] += 1
        return super().recv(*arguments)  # type: ignore[arg-type]

    def recv_into(self, *arguments: object) -> int:  # type: ignore[override]
        self.calls["recv_into"] += 1
        return super().recv_into(*arguments)  # type: ignore[arg-type]


class Bench:
    """A server, and one client on a socket pair."""

    def __init__(self) -> None:
        self.server = Server(["tcp://127.0.0.1:0"])
        self.client, theirs = socket.socketpair()
        self.client.setblocking(False)
        self.sock = Counting(theirs.detach())
        self.message = Message(self.server, self.sock)
        self.server.connections[self.message] = 0.0

    def send(self, data: bytes) -> None:
        """As much as the kernel takes is sent now, the rest while the server's loop turns."""
        self.left = memoryview(data)
        self._push()

    def _push(self) -> None:
        try:
            while self.left:
                self.left = self.left[self.client.send(self.left) :]
        except BlockingIOError:
            pass

    def receive(self, count: int) -> list[tuple[bytes, bytes]]:
        """So many replies: header and content."""
        data = bytearray()
        replies: list[tuple[bytes, bytes]] = []
        for _ in range(TURNS):
            self.server.loop.run_once(0)
            self._push()
            try:
                data += self.client.recv(1 << 20)
            except BlockingIOError:
                pass
            while (taken := take(data)) is not None:
                replies.append((taken[0][2:], taken[2]))
            if len(replies) >= count:
                return replies
        raise AssertionError(f"{len(replies)} of {count} replies came")

    def ask(self, *variants: Variant) -> None:
        """All at once; every reply must be right."""
        self.send(b"".join(variant.request for variant in variants))
        for variant, (header, content) in zip(variants, self.receive(len(variants)), strict=True):
            assert content == variant.content
            assert variant.header_text in header

    def begin(self) -> None:
        """The first request, which is answered keep-alive."""
        self.message.start()
        self.ask(PLAIN)
        self.sock.calls.clear()

    def close(self) -> None:
        self.server.close()
        self.client.close()


Make = Callable[[str], Bench]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """`bench(name)`: without that trick, or without `nothing`."""
    made: list[Bench] = []

    def make(name: str) -> Bench:
        if name != NOTHING:
            trick = (TRICKS | TRIED)[name]
            if trick.missing:
                pytest.skip(trick.missing)
            trick.remove(monkeypatch.setattr)
        made.append(Bench())
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("name", [NOTHING, *TRICKS, *TRIED])
def test_without_it_every_request_is_still_answered_rightly(bench: Make, name: str) -> None:
    here = bench(name)
    here.begin()
    for asked in (mixed(40), varied(40), with_ids(40), echoed(300), echoed(200_000), mixed(3)):
        here.ask(*asked)


@pytest.mark.parametrize(("name", "sends"), [(NOTHING, 1), ("one-send", 5)])
def test_replies_of_one_read_leave_together_or_each_alone(bench: Make, name: str, sends: int) -> None:
    here = bench(name)
    here.begin()
    here.ask(*mixed(5))
    assert here.sock.calls["send"] == sends


@pytest.mark.parametrize(("name", "parsed"), [(NOTHING, 0), ("header-cache", 5)])
def test_headers_are_remembered_or_parsed_each_time(
    bench: Make, name: str, parsed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = bench(name)
    here.begin()
    asked: list[bytes] = []
    parse = protocol.frames.parse_header
    monkeypatch.setattr(protocol.frames, "parse_header", lambda raw, role: asked.append(raw) or parse(raw, role))
    here.ask(*[PLAIN] * 5)
    assert len(asked) == parsed
    assert bool(here.server.codec.headers) == (name == NOTHING)


@pytest.mark.parametrize(("name", "remembered"), [(NOTHING, True), ("id-cache", False), ("header-cache", False)])
def test_what_is_around_an_id_is_remembered_or_not(bench: Make, name: str, remembered: bool) -> None:
    here = bench(name)
    here.begin()
    here.ask(*with_ids(5))
    assert bool(here.server.codec.around_ids) == remembered
    assert bool(here.server.codec.headers) == (name != "header-cache")


@pytest.mark.parametrize(("name", "built"), [(NOTHING, 0), ("reply-headers", 5)])
def test_reply_headers_are_remembered_or_built_each_time(
    bench: Make, name: str, built: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = bench(name)
    here.begin()
    here.ask(PLAIN)
    lengths: list[int] = []
    encode = protocol.frames.encode_header

    def counted(content_type: str, encoding: str, length: int, **more: object) -> bytes:
        lengths.append(length)
        return encode(content_type, encoding, length, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(protocol.frames, "encode_header", counted)
    here.ask(*[PLAIN] * 5)
    assert len(lengths) == built


@pytest.mark.parametrize(("name", "calls"), [(NOTHING, 0), ("prepared-json", 5)])
def test_json_is_asked_for_each_content_or_never(
    bench: Make, name: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = bench(name)
    here.begin()
    counted: Counter[str] = Counter()
    loads, dumps = json.loads, json.dumps
    asked = mixed(5)
    with monkeypatch.context() as patch:
        patch.setattr(json, "loads", lambda *a, **k: counted.update(["loads"]) or loads(*a, **k))
        patch.setattr(json, "dumps", lambda *a, **k: counted.update(["dumps"]) or dumps(*a, **k))
        here.send(b"".join(variant.request for variant in asked))
        for _ in range(3):
            here.server.loop.run_once(0)
    here.receive(5)
    assert (counted["loads"], counted["dumps"]) == (calls, calls)


@pytest.mark.parametrize(("name", "calls"), [(NOTHING, 1), ("one-scan", 5)])
def test_contents_of_one_read_are_scanned_together_or_each_alone(
    bench: Make, name: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = bench(name)
    here.begin()
    here.ask(*mixed(5))  # all headers have been seen now
    scanned: list[str] = []
    scan = protocol.content.scan_once
    monkeypatch.setattr(protocol.content, "scan_once", lambda text, at: scanned.append(text) or scan(text, at))
    here.ask(*mixed(5))
    assert len(scanned) == calls


@pytest.mark.parametrize(("name", "sent"), [(NOTHING, 1), ("send-first", 0)])
def test_it_sends_at_once_or_waits_to_be_writable(bench: Make, name: str, sent: int) -> None:
    here = bench(name)
    here.begin()
    here.send(PLAIN.request)
    here.server.loop.run_once(0)
    assert here.sock.calls["send"] == sent
    assert bool(here.message.transport.queued) == (not sent)
    assert here.receive(1)[0][1] == PLAIN.content


@pytest.mark.parametrize(("name", "waiting"), [(NOTHING, 1), ("together", 0)])
def test_requests_wait_for_the_other_reads_or_are_answered_where_they_are_read(
    bench: Make, name: str, waiting: int
) -> None:
    here = bench(name)
    here.begin()
    sent = here.sock.calls["send"]
    here.server.loop.ready = 2
    here.message.data_received(PLAIN.request)
    assert len(here.server.batch) == waiting
    assert here.sock.calls["send"] == sent + 1 - waiting
    assert here.receive(1)[0][1] == PLAIN.content


@pytest.mark.parametrize(("name", "scans"), [(NOTHING, 1), ("one-step", 0)])
def test_what_waits_is_answered_in_one_step_or_one_by_one(
    bench: Make, name: str, scans: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = bench(name)
    here.begin()
    scanned: list[int] = []
    decode = libserver.dispatcher.decode_contents

    def counted(contents: list[bytes], longest: int) -> list[object]:
        scanned.append(len(contents))
        return decode(contents, longest)

    monkeypatch.setattr(libserver.dispatcher, "decode_contents", counted)
    client, theirs = socket.socketpair()
    other = Message(here.server, Counting(theirs.detach()))
    here.server.connections[other] = 0.0
    with client:
        client.sendall(PLAIN.request)
        other.start()
        assert other.connection is None
        here.server.loop.ready = 2
        for message in (here.message, other):
            message.data_received(PLAIN.request)
        assert here.receive(1)[0][1] == PLAIN.content
    assert other.transport.sock.calls["send"] == 2
    assert scanned == [2] * scans


@pytest.mark.parametrize(("name", "batched"), [(NOTHING, True), ("batch", False)])
def test_the_batch_serves_or_the_walk_alone(
    bench: Make, name: str, batched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = bench(name)
    calls: list[int] = []
    serve = libserver.dispatcher.Dispatcher.serve

    def counted(*arguments: Any) -> Any:
        served = serve(*arguments)
        calls.extend([1] * bool(served[0]))
        return served

    monkeypatch.setattr(libserver.dispatcher.Dispatcher, "serve", counted)
    here.begin()
    here.ask(*mixed(5))
    assert bool(calls) == batched


@pytest.mark.parametrize(("name", "accepted"), [(NOTHING, 3), ("accept-batch", 1)])
def test_one_event_accepts_all_who_wait_or_one(bench: Make, name: str, accepted: int) -> None:
    here = bench(name)
    address = here.server.addresses[0]
    clients = [socket.create_connection((address.host, address.port), 5) for _ in range(3)]
    here.server.loop.run_once(5)
    assert here.server.accepted == accepted
    for client in clients:
        client.close()


@pytest.mark.parametrize(("name", "lean"), [(NOTHING, True), ("lean-accept", False)])
def test_the_kind_of_a_socket_is_asked_once_or_by_each_accept(
    bench: Make, name: str, lean: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = bench(name)
    calls: list[int] = []
    accept = socket.socket.accept
    monkeypatch.setattr(socket.socket, "accept", lambda self: calls.append(1) or accept(self))
    address = here.server.addresses[0]
    with socket.create_connection((address.host, address.port), 5):
        here.server.loop.run_once(5)
    assert here.server.accepted == 1
    assert bool(calls) != lean


@pytest.mark.parametrize(("name", "read"), [(NOTHING, 1), ("read-at-accept", 0)])
def test_a_new_connection_is_read_at_once_or_when_the_selector_says_so(bench: Make, name: str, read: int) -> None:
    here = bench(name)
    here.send(PLAIN.request)
    here.message.start()
    assert here.sock.calls["recv"] == read
    assert here.receive(1)[0][1] == PLAIN.content


@pytest.mark.parametrize(("name", "state"), [(NOTHING, CLOSED), ("close-at-once", LINGERING)])
def test_after_a_whole_one_shot_it_closes_or_lingers(bench: Make, name: str, state: str) -> None:
    here = bench(name)
    here.send(ONE_SHOT.request)
    here.message.start()
    assert here.receive(1)[0][1] == ONE_SHOT.content
    assert here.message.state is state


@pytest.mark.parametrize(("name", "together"), [(NOTHING, 1), ("one-packet", 0)])
def test_the_last_reply_waits_for_the_end_or_leaves_at_once(bench: Make, name: str, together: int) -> None:
    here = bench(name)
    here.send(ONE_SHOT.request)
    here.message.start()
    assert here.sock.calls["send"] == 1
    assert here.sock.calls["send, more to come"] == together
    assert here.receive(1)[0][1] == ONE_SHOT.content


@pytest.mark.parametrize(("name", "polled"), [(NOTHING, True), ("poll-first", False)])
def test_whether_more_has_come_is_polled_or_read(
    bench: Make, name: str, polled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = bench(name)
    asked: list[int] = []
    poll = select.poll
    monkeypatch.setattr(select, "poll", lambda: asked.append(1) or poll())
    address = here.server.addresses[0]
    with socket.create_connection((address.host, address.port), 5) as client:
        client.sendall(ONE_SHOT.request)
        for _ in range(TURNS):
            here.server.loop.run_once(0.01)
            if here.server.closed_by:
                break
    assert here.server.closed_by == {CloseReason.SERVED: 1}
    assert bool(asked) == polled


@pytest.mark.parametrize(("name", "spins"), [(NOTHING, True), ("spin", False)])
def test_the_loop_spins_or_sleeps_at_once(bench: Make, name: str, spins: bool) -> None:
    assert bool(bench(name).server.loop._busy_poller.polls) == spins


@pytest.mark.parametrize(("name", "call"), [(NOTHING, True), ("in-place", False)])
def test_a_large_content_is_received_in_place_or_like_a_small_one(bench: Make, name: str, call: bool) -> None:
    here = bench(name)
    here.begin()
    here.ask(*echoed(1 << 20))
    assert bool(here.sock.calls["recv_into"]) == call


@pytest.mark.parametrize(("name", "call"), [(NOTHING, True), ("sendmsg", False)])
def test_a_large_reply_is_sent_in_parts_or_joined(bench: Make, name: str, call: bool) -> None:
    here = bench(name)
    here.begin()
    here.ask(*echoed(1 << 20))
    assert bool(here.sock.calls["sendmsg"]) == call


@pytest.mark.parametrize(("name", "freed"), [(NOTHING, True), ("keep-blocks", False)])
def test_a_server_frees_a_large_block_when_it_begins_or_does_not(bench: Make, name: str, freed: bool) -> None:
    libserver.server.keep_large_blocks.cache_clear()  # once per process: an earlier test's server was the first
    tracemalloc.start()
    try:
        bench(name)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (most > libserver.server.KEPT_BLOCK) == freed


@pytest.mark.parametrize(("name", "owns"), [(NOTHING, False), ("resting", True)])
def test_an_idle_connection_owns_no_connection_or_keeps_it(bench: Make, name: str, owns: bool) -> None:
    here = bench(name)
    here.begin()
    assert (here.message.connection is not None) == owns
    assert here.message.active is None


@pytest.mark.parametrize(("name", "size"), [(NOTHING, 65536), ("recv-16k", 16384), ("recv-256k", 262144)])
def test_a_recv_asks_for_so_much(bench: Make, name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    recv = Counting.recv
    monkeypatch.setattr(Counting, "recv", lambda self, count: asked.append(count) or recv(self, count))
    bench(name).begin()
    assert set(asked) == {size}


@pytest.mark.parametrize(("name", "calls"), [(NOTHING, 0), ("recv-into", 1)])
def test_a_small_request_is_received_as_bytes_or_into_a_buffer(bench: Make, name: str, calls: int) -> None:
    here = bench(name)
    here.begin()
    here.ask(PLAIN)
    assert here.sock.calls["recv_into"] == calls


@pytest.mark.parametrize(("name", "own"), [(NOTHING, False), ("own-selector", True)])
def test_the_selector_is_pythons_or_our_own(bench: Make, name: str, own: bool) -> None:
    here = bench(name)
    assert (type(here.server.loop.selector) is not selectors.EpollSelector) == own


def test_garbage_is_not_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[bool] = []
    monkeypatch.setattr(multiconn.commands.server, "main", lambda argv: served.append(gc.isenabled()) or 0)
    TRIED["no-gc"].remove(monkeypatch.setattr)
    try:
        assert multiconn.commands.server.main([]) == 0
    finally:
        gc.enable()
    assert served == [False]


def test_an_unknown_trick_is_refused_with_those_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tricks", "magic"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "one-send, header-cache" in done.stderr


class Listening:
    """An observer that counts."""

    def __init__(self) -> None:
        self.rows = 0

    def transition(self, subject: object, machine: object, row: object) -> None:
        self.rows += 1


@pytest.mark.parametrize(("name", "told"), [(NOTHING, 3), ("unobserved", 0)])
def test_who_watches_is_told_or_nobody_is_asked_for(bench: Make, name: str, told: int) -> None:
    here = bench(name)
    here.begin()
    observer = Listening()
    here.message.connection = protocol.connection.Connection(here.server.codec, observer)
    here.message.connection.persistent = here.message.connection.granted = True
    here.ask(*mixed(1))
    assert observer.rows == told


def test_with_trace_every_connection_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[list[str]] = []
    monkeypatch.setattr(multiconn.commands.server, "main", lambda argv: served.append(argv) or 0)
    TRIED["trace"].remove(monkeypatch.setattr)
    assert multiconn.commands.server.main(["127.0.0.1", "0"]) == 0
    [argv] = served
    assert argv == ["127.0.0.1", "0", "--trace", os.devnull]
    with instruments(build_parser().parse_args(argv), "server", print) as seen:
        seen.begin()
        assert seen.observer is not None
        assert seen.observer() is not None
