"""Does what goes into `echo://` and `echo+udp://` come out again?"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from libserver.echo import DATAGRAMS_PER_EVENT, EchoDatagrams
from tests.fakes.faulty_socket import Errno, FaultySocket
from tests.support.peer import Peer, connected, small_buffers
from tests.support.server import Turned, serving, turned
from tests.support.wire import ask, keep

ECHO = "echo://127.0.0.1:0"
UDP = "echo+udp://127.0.0.1:0"
MESSAGES = "tcp://127.0.0.1:0"


@pytest.fixture
def home() -> Iterator[Turned]:
    with turned(listen=(ECHO, UDP, MESSAGES), send_timeout=60.0) as house:
        yield house


def received(peer: Peer, count: int) -> bytes:
    peer._wait(lambda: bool(peer.read() and False) or len(peer.received) >= count, f"{count} bytes")
    data = bytes(peer.received[:count])
    del peer.received[:count]
    return data


def test_bytes_come_back_as_they_were_until_the_peer_finishes(home: Turned) -> None:
    peer = home.peer()
    for data in (b"a", b"Hello, world", os.urandom(1_000_000)):
        peer.send(data)
        assert received(peer, len(data)) == data
    peer.send(b"last words")
    peer.finish()
    assert received(peer, 10) == b"last words"
    peer.eof()
    home.until(lambda: not home.server.connections)


def test_a_message_is_only_bytes_there(home: Turned) -> None:
    peer = home.peer()
    request = ask("search", "ring")
    peer.send(request)
    assert received(peer, len(request)) == request


def test_many_at_once_beside_messages(home: Turned) -> None:
    peers = [home.peer() for _ in range(50)]
    speaker = home.peer(listener=2)
    for n, peer in enumerate(peers):
        peer.send(b"%d" % n * 100)
    speaker.send(keep("echo", 1))
    for n, peer in enumerate(peers):
        expected = b"%d" % n * 100
        assert received(peer, len(expected)) == expected
    assert speaker.reply().result == 1
    assert len(home.server.connections) == 51


def test_a_peer_that_never_reads_is_paused_then_goes_on_and_loses_nothing(home: Turned) -> None:
    peer = home.peer(small_buffers)
    (connection,) = home.server.connections
    sent = 0
    block = os.urandom(65536)
    while connection.transport.reading:
        try:
            sent += peer.sock.send(block[sent % len(block) :])
        except BlockingIOError:
            home.turn()
    assert connection.transport.queued < 512 * 1024
    assert sum(home.turn() for _ in range(5)) == 0
    data = received(peer, sent)
    assert data == (block * (sent // len(block) + 1))[:sent]
    home.quiet()
    assert connection.transport.reading


@pytest.mark.parametrize("amount", ["little", "much"])
def test_a_peer_that_never_reads_at_all_is_cut_at_the_send_timeout(home: Turned, amount: str) -> None:
    peer = home.peer(small_buffers)
    (connection,) = home.server.connections
    while not connection.transport.queued or (amount == "much" and connection.transport.reading):
        try:
            peer.sock.send(bytes(4096))
        except BlockingIOError:
            home.turn()
        home.server.loop.run_once(0)
    if amount == "little":
        peer.finish()
    home.advance(59.0)
    assert home.server.connections
    home.advance(2.0)
    assert not home.server.connections
    peer.gone()


def test_a_reset_is_no_event(home: Turned) -> None:
    peer = home.peer()
    peer.send(b"x")
    assert received(peer, 1) == b"x"
    peer.reset()
    home.until(lambda: not home.server.connections)
    assert home.log.texts() == []


def test_echo_connections_count_for_the_cap_and_one_too_many_is_closed() -> None:
    with turned(listen=(ECHO, MESSAGES), max_connections=2) as home:
        first, second = home.peer(), home.peer(listener=1)
        from tests.support.peer import connected

        extra = Peer(connected(home.server.addresses[0]), home.turn)
        home.peers.append(extra)
        extra.eof()  # raw bytes have no way to say why
        refused = home.peer(listener=1)
        assert refused.reply().code == "overloaded"
        first.send(b"x")
        assert received(first, 1) == b"x"
        second.send(keep("echo", 1))
        assert second.reply().result == 1


def test_a_drain_finishes_what_is_being_echoed_and_a_cut_does_not(home: Turned) -> None:
    idle, busy = home.peer(), home.peer(small_buffers)
    busy.send(b"x" * 100)
    home.quiet()
    home.server.drain()
    idle.eof()
    assert received(busy, 100) == b"x" * 100
    busy.eof()
    home.until(lambda: not home.server.connections)
    assert home.server.cut == 0


def test_an_echo_that_is_stuck_is_cut_at_the_drain_timeout_and_counted() -> None:
    with turned(listen=(ECHO,), drain_timeout=10.0) as home:
        peer = home.peer(small_buffers)
        (connection,) = home.server.connections
        while connection.transport.reading:
            try:
                peer.sock.send(bytes(65536))
            except BlockingIOError:
                home.turn()
        home.server.drain()
        home.advance(9.0)
        assert home.server.connections
        home.advance(2.0)
        assert not home.server.connections
        assert home.server.cut == 1
        peer.gone()


def test_a_bug_met_in_an_echo_costs_that_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from libserver.echo import EchoConnection

    with turned(listen=(ECHO,), internal_errors=1) as home:
        victim, other = home.peer(), home.peer()
        with monkeypatch.context() as patch:

            def fail(self: EchoConnection, data: bytes) -> None:
                raise RuntimeError("a bug")

            patch.setattr(EchoConnection, "data_received", fail)
            victim.send(b"x")
            victim.gone()
        other.send(b"y")
        assert received(other, 1) == b"y"


# --- datagrams -------------------------------------------------------------------------------


def udp_peer(home: Turned) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    address = home.server.addresses[1]
    sock.connect((address.host, address.port))
    sock.setblocking(False)
    return sock


@pytest.mark.parametrize("data", [b"", b"x", os.urandom(1400), os.urandom(60_000)])
def test_each_datagram_goes_back_to_where_it_came_from(home: Turned, data: bytes) -> None:
    with udp_peer(home) as one, udp_peer(home) as two:
        one.send(data)
        two.send(b"two")
        for sock, expected in ((one, data), (two, b"two")):
            got: list[bytes] = []

            def arrived(sock: socket.socket = sock, got: list[bytes] = got) -> bool:
                try:
                    got.append(sock.recv(65536))
                except BlockingIOError:
                    return False
                return True

            home.until(arrived)
            assert got == [expected]


def test_a_flood_of_datagrams_leaves_room_for_the_others(home: Turned) -> None:
    with udp_peer(home) as sock:
        for _ in range(DATAGRAMS_PER_EVENT + 10):
            sock.send(b"x")
        home.server.loop.run_once(0)
        echoed = 0
        try:
            while sock.recv(10):
                echoed += 1
        except BlockingIOError:
            pass
        assert echoed == DATAGRAMS_PER_EVENT


def test_a_sender_that_has_gone_costs_the_others_nothing(home: Turned) -> None:
    with udp_peer(home) as gone:
        gone.send(b"x")
    home.quiet()  # its port is closed: ICMP says so, later
    with udp_peer(home) as sock:
        sock.send(b"y")
        home.quiet()
        assert sock.recv(10) == b"y"
    assert home.log.texts() == []


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.EMSGSIZE, errno.ENOBUFS, errno.EPERM])
def test_an_error_of_one_datagram_is_survived(home: Turned, number: int) -> None:
    datagrams = next(listener for listener in home.server._listeners if isinstance(listener, EchoDatagrams))

    class Failing(FaultySocket):
        """UDP is not among what FaultySocket scripts: the first sendto fails."""

        failed = False

        def recvfrom(self, size: int) -> tuple[bytes, object]:
            return self.real.recvfrom(size)  # type: ignore[no-any-return]

        def sendto(self, data: bytes, peer: object) -> None:
            if not self.failed:
                self.failed = True
                raise Errno(number).error()
            self.real.sendto(data, peer)

    datagrams.sock = Failing(datagrams.sock)
    with udp_peer(home) as sock:
        sock.send(b"lost")
        sock.send(b"kept")
        home.quiet()
        assert sock.recv(10) == b"kept"


def test_echo_in_a_thread_as_the_tutorials_clients_use_it() -> None:
    with serving(listen=(ECHO,)) as home:
        peers = [home.peer() for _ in range(10)]
        for peer in peers:
            peer.send(b"Message 1 from client.", b"Message 2 from client.")
        for peer in peers:
            assert received(peer, 44) == b"Message 1 from client.Message 2 from client."
            peer.finish()
            peer.eof()


def test_echo_connections_are_counted_by_reason_and_listed(home: Turned) -> None:
    stays, leaves, breaks = home.peer(), home.peer(), home.peer()
    for peer in (stays, leaves, breaks):
        peer.send(b"hello")
        assert received(peer, 5) == b"hello"
    assert [line.split()[1] for line in home.server.describe_connections()] == ["state=ECHO"] * 3
    messages = Peer(connected(home.server.addresses[2]), home.turn)
    home.peers.append(messages)
    home.until(lambda: home.server.accepted == 4)
    fields = [[field.partition("=")[0] for field in line.split()] for line in home.server.describe_connections()]
    assert fields[0] == fields[-1] == ["peer", "state", "age", "idle", "in", "out", "in-flight", "requests"]
    messages.close()
    leaves.finish()
    leaves.eof()
    breaks.reset()
    home.until(lambda: len(home.server.connections) == 1)
    home.server.drain()
    home.until(lambda: not home.server.connections)
    stays.eof()
    assert home.reasons == {"peer-closed": 1, "silent": 1, "reset": 1, "shutdown": 1}
    assert home.server.accepted == 4


def test_an_echo_connection_that_idles_is_closed_and_one_that_speaks_is_not() -> None:
    with turned(listen=("echo://127.0.0.1:0",), idle_timeout=10.0) as home:
        silent, speaker = home.peer(), home.peer()
        for _ in range(3):
            home.advance(4.0)
            speaker.send(b"x")
            assert received(speaker, 1) == b"x"
        silent.eof()
        silent.close()
        home.until(lambda: len(home.server.connections) == 1)
        assert home.reasons == {"idle-timeout": 1}
        speaker.send(b"y")
        assert received(speaker, 1) == b"y"


def test_a_socket_of_datagrams_that_keeps_failing_is_asked_once_a_turn(home: Turned) -> None:
    class Failing:
        calls = 0

        def recvfrom(self, size: int) -> None:
            self.calls += 1
            raise OSError(errno.EIO, "it stays so")

    datagrams = next(listener for listener in home.server._listeners if isinstance(listener, EchoDatagrams))
    real, failing = datagrams.sock, Failing()
    datagrams.sock = failing
    try:
        datagrams.on_readable()
    finally:
        datagrams.sock = real
    assert failing.calls == 1
