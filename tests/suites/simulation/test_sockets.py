"""Does the simulated socket behave as the real one does?

Every test runs twice, over this machine's kernel and over the simulated one, in the same words. What
the simulation finds is worth as much as these tests say. Where systems differ, Linux' way is meant.
"""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any

import pytest

from tests.suites.simulation.machines import (
    BOTH,
    READ,
    WRITE,
    connected,
    fill,
    number_of,
    ready,
    received,
    reset,
    until_it_says_EAGAIN,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux' sockets are what is simulated")


# --- data ------------------------------------------------------------------------------------------


def test_bytes_arrive_in_order_however_they_were_cut(machine: Any) -> None:
    client, server = connected(machine)
    assert client.send(b"ab") == 2
    assert client.sendmsg([b"cd", bytearray(b"e"), memoryview(b"fg")]) == 5
    assert received(machine, server, 7) == b"abcdefg"


@pytest.mark.parametrize("follows", ["send", "shutdown", "close"])
def test_more_to_come_leaves_with_what_follows(machine: Any, follows: str) -> None:
    client, server = connected(machine)
    assert client.send(b"ab", socket.MSG_MORE) == 2
    if follows == "send":
        client.send(b"cd")
        assert received(machine, server, 4) == b"abcd"
    else:
        client.shutdown(socket.SHUT_WR) if follows == "shutdown" else client.close()
        assert received(machine, server, 2) == b"ab"
        machine.until(lambda: ready(machine, server, READ) == READ, "the FIN")
        assert server.recv(1) == b""


def test_recv_takes_no_more_than_was_asked_for_and_leaves_the_rest(machine: Any) -> None:
    client, server = connected(machine)
    client.send(b"abcdef")
    machine.until(lambda: ready(machine, server, READ) == READ, "data")
    machine.settle()
    assert server.recv(2) == b"ab"
    assert ready(machine, server, READ) == READ  # level-triggered
    assert server.recv(100) == b"cdef"
    assert ready(machine, server, READ) == 0


def test_recv_into_fills_the_front_of_the_buffer(machine: Any) -> None:
    client, server = connected(machine)
    client.send(b"abc")
    machine.until(lambda: ready(machine, server, READ) == READ, "data")
    buffer = bytearray(b"12345")
    with memoryview(buffer) as view:
        assert server.recv_into(view) == 3
    assert buffer == b"abc45"


def test_nothing_to_read_is_EAGAIN(machine: Any) -> None:
    client, server = connected(machine)
    assert number_of(lambda: server.recv(1)) == errno.EAGAIN
    assert number_of(lambda: client.recv_into(bytearray(1))) == errno.EAGAIN


def test_nothing_is_sent_of_nothing(machine: Any) -> None:
    client, _ = connected(machine)
    assert client.send(b"") == 0


def test_an_unread_connection_fills_up_and_says_EAGAIN_and_is_writable_once_it_is_read(machine: Any) -> None:
    client, server = connected(machine)
    sent = fill(machine, client)
    # A real kernel may have made room since: its persist timer sends what the window takes, though that is little.
    for send in (lambda: client.send(b"x"), lambda: client.sendmsg([b"x", b"x"])):
        sent += until_it_says_EAGAIN(machine, send)
    machine.until(lambda: ready(machine, client) == 0, "no room")
    assert received(machine, server, sent) == b"x" * sent
    machine.until(lambda: ready(machine, client) == WRITE, "room to send")
    assert client.send(b"y") == 1
    assert received(machine, server, 1) == b"y"


def test_a_send_larger_than_the_room_is_taken_in_part(machine: Any) -> None:
    client, _ = connected(machine)
    assert 0 < client.send(bytes(64 * 1024 * 1024)) < 64 * 1024 * 1024


def test_sendmsg_takes_at_most_1024_buffers(machine: Any) -> None:
    client, server = connected(machine)
    assert client.sendmsg([b"x"] * 1024) == 1024
    assert number_of(lambda: client.sendmsg([b"x"] * 1025)) == errno.EMSGSIZE
    assert received(machine, server, 1024) == b"x" * 1024


# --- ending ----------------------------------------------------------------------------------------


def test_after_a_half_close_the_peer_reads_the_rest_then_EOF_for_ever_and_still_sends(machine: Any) -> None:
    client, server = connected(machine)
    client.send(b"last")
    client.shutdown(socket.SHUT_WR)
    assert received(machine, server, 4) == b"last"
    machine.until(lambda: ready(machine, server, READ) == READ, "FIN")
    assert server.recv(10) == b""
    assert server.recv(10) == b""
    assert ready(machine, server) == BOTH
    assert server.send(b"reply") == 5
    assert received(machine, client, 5) == b"reply"


def test_after_ones_own_half_close_sending_is_EPIPE_and_it_counts_as_writable(machine: Any) -> None:
    client, _ = connected(machine)
    client.shutdown(socket.SHUT_WR)
    assert number_of(lambda: client.send(b"x")) == errno.EPIPE
    assert ready(machine, client) == WRITE


def test_a_close_is_EOF_to_the_peer_after_everything_that_was_sent(machine: Any) -> None:
    client, server = connected(machine)
    client.send(b"bye")
    client.close()
    assert received(machine, server, 3) == b"bye"
    machine.until(lambda: ready(machine, server, READ) == READ, "FIN")
    assert server.recv(1) == b""


def test_a_FIN_goes_out_behind_what_waits_for_room(machine: Any) -> None:
    client, server = connected(machine)
    sent = fill(machine, client)
    client.close()
    assert received(machine, server, sent) == b"x" * sent
    machine.until(lambda: ready(machine, server, READ) == READ, "FIN")
    assert server.recv(1) == b""


def test_close_with_unread_input_is_a_RST(machine: Any) -> None:
    client, server = connected(machine)
    server.send(b"unread")
    machine.until(lambda: ready(machine, client, READ) == READ, "data")
    client.close()
    machine.until(lambda: ready(machine, server, READ) == READ, "RST")
    assert number_of(lambda: server.recv(1)) == errno.ECONNRESET


def test_a_byte_for_a_closed_socket_is_answered_with_a_RST(machine: Any) -> None:
    client, server = connected(machine)
    client.close()
    machine.until(lambda: ready(machine, server, READ) == READ, "FIN")
    assert server.send(b"too late") == 8
    machine.settle()
    assert number_of(lambda: server.send(b"again")) == errno.EPIPE
    assert server.recv(1) == b""  # the FIN came first


def test_linger_zero_closes_with_a_RST_and_loses_what_was_not_sent(machine: Any) -> None:
    client, server = connected(machine)
    reset(client)
    machine.until(lambda: ready(machine, server, READ) == READ, "RST")
    assert number_of(lambda: server.recv(1)) == errno.ECONNRESET
    assert server.recv(1) == b""  # the error is told once


def test_what_came_before_a_RST_can_still_be_read(machine: Any) -> None:
    client, server = connected(machine)
    client.send(b"before")
    machine.until(lambda: ready(machine, server, READ) == READ, "data")
    reset(client)
    machine.settle()
    assert server.recv(100) == b"before"
    assert number_of(lambda: server.recv(1)) == errno.ECONNRESET


def received_until_it_breaks(machine: Any, sock: Any) -> bytes:
    """Everything up to ECONNRESET."""
    got = bytearray()

    def broken() -> bool:
        try:
            while data := sock.recv(1 << 16):
                got.extend(data)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        raise AssertionError("EOF without a reset")

    machine.until(broken, "RST")
    return bytes(got)


def test_no_byte_arrives_behind_a_gap(machine: Any) -> None:
    for _ in range(20):  # who comes first, the RST or what was sent behind the gap, is chance
        client, server = connected(machine)
        client.send(b"before")
        got = received(machine, server, 6)
        machine.lose(client, b"GAP")
        client.send(b"behind it")
        reset(client)
        got += received_until_it_breaks(machine, server)
        assert b"beforeGAPbehind it".startswith(got)  # a real kernel may have had the time to send it again
        assert server.recv(100) == b""


def test_nothing_is_received_after_a_reset(machine: Any) -> None:
    client, server = connected(machine)
    sent = fill(machine, client)
    reset(client)
    got = received_until_it_breaks(machine, server)
    assert len(got) < sent  # what still waited in the sender is lost
    for _ in range(3):
        machine.settle()
        assert server.recv(100) == b""
    assert ready(machine, server) == BOTH


def test_after_a_RST_sending_tells_the_error_once_and_then_EPIPE(machine: Any) -> None:
    client, server = connected(machine)
    reset(client)
    machine.until(lambda: ready(machine, server, READ) == READ, "RST")
    assert number_of(lambda: server.send(b"x")) == errno.ECONNRESET
    assert number_of(lambda: server.send(b"x")) == errno.EPIPE
    assert server.recv(1) == b""


def test_after_a_RST_there_is_nothing_to_shut_down_and_no_peer(machine: Any) -> None:
    client, server = connected(machine)
    reset(client)
    machine.until(lambda: ready(machine, server, READ) == READ, "RST")
    assert number_of(lambda: server.shutdown(socket.SHUT_WR)) == errno.ENOTCONN
    assert number_of(server.getpeername) == errno.ENOTCONN


def test_SO_ERROR_tells_a_RST_once(machine: Any) -> None:
    client, server = connected(machine)
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    reset(client)
    machine.until(lambda: ready(machine, server, READ) == READ, "RST")
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_a_closed_socket_has_no_number_and_is_EBADF_and_closes_twice(machine: Any) -> None:
    client, _ = connected(machine)
    client.close()
    client.close()
    assert client.fileno() == -1
    for call in (lambda: client.recv(1), lambda: client.send(b"x"), lambda: client.shutdown(socket.SHUT_WR)):
        assert number_of(call) == errno.EBADF


# --- accepting and connecting ------------------------------------------------------------------------


def test_a_fresh_socket_is_not_connected(machine: Any) -> None:
    sock = machine.socket()
    assert number_of(lambda: sock.recv(1)) == errno.ENOTCONN
    assert number_of(lambda: sock.send(b"x")) == errno.EPIPE
    assert number_of(lambda: sock.shutdown(socket.SHUT_WR)) == errno.ENOTCONN
    assert number_of(sock.getpeername) == errno.ENOTCONN
    assert ready(machine, sock, WRITE) == WRITE


def test_a_socket_pair_wakes_at_once(machine: Any) -> None:
    one, other = machine.pair()
    assert ready(machine, other, READ) == 0
    assert one.send(b"\0") == 1
    assert ready(machine, other, READ) == READ
    assert other.recv(4096) == b"\0"
